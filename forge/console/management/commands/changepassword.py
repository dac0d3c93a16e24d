"""`manage.py changepassword`, which Django has and Forge has no use for: it leaves no entry in the audit log."""

from __future__ import annotations

from forge.console.management.refusing import RefusingCommand


class Command(RefusingCommand):
    help = "Not a command of Forge: people choose their passwords by mail, make_operator --recover sets an operator's."
    instead = (
        "It would leave no entry in the audit log: people of organizations have “Forgot your password?”, and for an"
        " operator of the installation run make_operator --recover --email ops@example.com"
    )
