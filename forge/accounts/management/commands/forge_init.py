"""`manage.py forge_init`: the first organization and admin of a real installation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from forge.accounts.management.asking import checked, password_of
from forge.accounts.models import Membership, Organization
from forge.accounts.rules import currency_rule, slug_rule
from forge.accounts.services import create_member, create_organization
from forge.api.errors import Problem


class Answers(forms.Form):
    """What was asked for on the command line, checked as a form of the console would."""

    organization = forms.CharField(validators=[slug_rule])
    name = forms.CharField(max_length=200, required=False)
    email = forms.EmailField(max_length=254)
    full_name = forms.CharField(max_length=200, required=False)
    currency = forms.CharField(validators=[currency_rule])
    timezone = forms.CharField(max_length=64)


class Command(BaseCommand):
    help = "Make the first organization and its admin. The password is asked for, or read from FORGE_ADMIN_PASSWORD."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--name", help="display name of the organization; the slug if left out")
        parser.add_argument("--email", required=True, help="of the admin")
        parser.add_argument("--full-name", default="")
        parser.add_argument("--currency", default="USD", help="ISO 4217; cannot be changed later")
        parser.add_argument("--timezone", default="UTC", help="IANA name, for display and schedules")

    def handle(self, *args: Any, **options: Any) -> None:
        if Organization.objects.exists():
            raise CommandError("This installation has an organization already; nothing was changed.")
        asked = checked(Answers(options))
        password = password_of("admin", variable="FORGE_ADMIN_PASSWORD")
        actor = Actor.command("forge_init")
        try:
            with transaction.atomic():
                organization = create_organization(
                    actor=actor,
                    slug=asked["organization"],
                    name=asked["name"] or asked["organization"],
                    timezone=asked["timezone"],
                    currency=asked["currency"],
                )
                create_member(
                    actor=actor,
                    organization=organization,
                    email=asked["email"],
                    full_name=asked["full_name"] or asked["email"],
                    role=Membership.Role.ADMIN,
                    now=timezone.now(),
                    password=password,
                )
        except Problem as refusal:
            raise CommandError(f"{refusal.title}: {refusal.detail}") from refusal
        self.stdout.write(f"Made organization {organization.slug} and its admin {asked['email']}.")
