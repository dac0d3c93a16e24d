"""`manage.py createsuperuser`, which Django has and Forge has no use for: roles are memberships."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Not a command of Forge: make_operator makes an operator of the installation."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Whatever options Django's own command has, they are answered alike."""
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        raise CommandError("Forge has no superusers: run make_operator --email you@example.com")
