"""`manage.py createsuperuser`, which Django has and Forge has no use for: roles are memberships."""

from __future__ import annotations

from forge.console.management.refusing import RefusingCommand


class Command(RefusingCommand):
    help = "Not a command of Forge: make_operator makes an operator of the installation."
    instead = "Forge has no superusers: run make_operator --email you@example.com"
