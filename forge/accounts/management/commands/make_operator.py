"""`manage.py make_operator`: somebody who runs the installation, and belongs to no organization; helps one in again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from forge.accounts.management.asking import checked, password_of
from forge.accounts.services import EmailTaken, create_operator, require_free_email
from forge.accounts.signin.recovering import recover_operator, require_operator
from forge.api.errors import Problem


class Answers(forms.Form):
    """What was asked for on the command line, checked as a form of the console would."""

    email = forms.EmailField(max_length=254)
    full_name = forms.CharField(max_length=200, required=False)


class Command(BaseCommand):
    help = (
        "Make an operator of the installation, who belongs to no organization. The password is asked for, or read from"
        " FORGE_OPERATOR_PASSWORD. Exits 1, and changes nothing, where somebody has the address already (with"
        " --recover: where no operator has it)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="by which the operator signs in")
        parser.add_argument("--full-name", default="", help="the address if left out")
        parser.add_argument(
            "--recover",
            action="store_true",
            help="give an operator who is there already a new password; a lock opens and all sessions end",
        )
        parser.add_argument(
            "--without-factors", action="store_true", help="with --recover: take the second factors away too"
        )

    def handle(self, *args: Any, recover: bool, without_factors: bool, **options: Any) -> None:
        if without_factors and not recover:
            raise CommandError("--without-factors goes with --recover.")
        asked = checked(Answers(options))
        try:
            said = self._recover(asked, without_factors) if recover else self._make(asked)
        except Problem as refusal:
            raise CommandError(f"{refusal.title}: {refusal.detail}") from refusal
        self.stdout.write(said)

    def _make(self, asked: dict[str, str]) -> str:
        try:
            require_free_email(asked["email"])
        except EmailTaken as taken:
            raise CommandError(f"{taken.title}: {taken.detail} --recover gives an operator a new password.") from taken
        create_operator(
            actor=Actor.command("make_operator"),
            email=asked["email"],
            full_name=asked["full_name"] or asked["email"],
            password=password_of("operator", variable="FORGE_OPERATOR_PASSWORD"),
        )
        return f"Made {asked['email']} an operator of the installation."

    def _recover(self, asked: dict[str, str], without_factors: bool) -> str:
        require_operator(asked["email"])
        operator, had_factors = recover_operator(
            actor=Actor.command("make_operator"),
            email=asked["email"],
            password=password_of("operator", variable="FORGE_OPERATOR_PASSWORD"),
            without_factors=without_factors,
        )
        gone = "Second factors are gone." if had_factors else "There were no second factors."
        factors = gone if without_factors else "Second factors are as they were."
        return f"{operator.email} has a new password; every session has ended. {factors}"
