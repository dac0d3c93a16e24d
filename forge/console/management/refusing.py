"""Commands that Django brings along and Forge has no use for."""

from __future__ import annotations

from typing import NoReturn

from django.core.management.base import BaseCommand, CommandError


class RefusingCommand(BaseCommand):
    """Answers every call with what to run instead, and exits 1."""

    instead: str
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Whatever options and words Django's own command takes, they are answered alike."""
        super().run_from_argv(argv[:2])

    def handle(self, *args: object, **options: object) -> NoReturn:
        raise CommandError(self.instead)
