"""What mail about one's account says; named in FORGE_MAIL_KINDS."""

from __future__ import annotations

from datetime import datetime

from forge.outbox.letters import Letter, Reader
from forge.outbox.models import Mail

_CHANGES = {
    "MFA_ADD": "A second factor was added to your account.",
    "MFA_REMOVE": "A second factor was removed from your account.",
    "MFA_UPDATE": "A second factor of your account was renamed, or its recovery codes were made anew.",
    "MFA_RESET": "An admin has taken away all second factors of your account and ended your sessions.",
}


def locked(mail: Mail, reader: Reader) -> Letter:
    """That failures have shut the account, until when, and what to do if it was somebody else."""
    return Letter(
        subject="Forge: your account is locked for a while",
        sentence="Your account is locked: somebody gave a wrong password or code several times in a row.",
        rows=[
            ("Last try", reader.time(datetime.fromisoformat(mail.facts["at"]))),
            ("Opens again", reader.time(datetime.fromisoformat(mail.facts["until"]))),
        ],
        paragraphs=[
            "If it was you, wait, or ask an admin of your organization to unlock the account.",
            "If it was not, tell an admin: somebody knows your address and guesses. Your tokens work on.",
        ],
    )


def factors_changed(mail: Mail, reader: Reader) -> Letter:
    """That second factors of the account were changed."""
    return Letter(
        subject="Forge: the second factors of your account have changed",
        sentence=_CHANGES[mail.facts["action"]],
        rows=[("Changed at", reader.time(datetime.fromisoformat(mail.facts["at"])))],
        paragraphs=["If that was not you, tell an admin of your organization at once."],
    )
