"""`manage.py make_operator`: somebody who runs the installation, and belongs to no organization."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from forge.accounts.management.asking import checked, password_of
from forge.accounts.services import create_operator, require_free_email
from forge.api.errors import Problem


class Answers(forms.Form):
    """What was asked for on the command line, checked as a form of the console would."""

    email = forms.EmailField(max_length=254)
    full_name = forms.CharField(max_length=200, required=False)


class Command(BaseCommand):
    help = (
        "Make an operator of the installation, who belongs to no organization. The password is asked for, or read from"
        " FORGE_OPERATOR_PASSWORD. Exits 1, and changes nothing, where somebody has the address already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="by which the operator signs in")
        parser.add_argument("--full-name", default="", help="the address if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = checked(Answers(options))
        try:
            require_free_email(asked["email"])
            create_operator(
                actor=Actor.command("make_operator"),
                email=asked["email"],
                full_name=asked["full_name"] or asked["email"],
                password=password_of("operator", variable="FORGE_OPERATOR_PASSWORD"),
            )
        except Problem as refusal:
            raise CommandError(f"{refusal.title}: {refusal.detail}") from refusal
        self.stdout.write(f"Made {asked['email']} an operator of the installation.")
