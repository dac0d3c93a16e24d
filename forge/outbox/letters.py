"""What a mail says: the port by which each room words its own, and the port by which an address is found.

The outbox knows neither machines nor budgets nor accounts. `FORGE_MAIL_KINDS` names for each kind of mail the function
of the room that writes it: given the row and its reader it answers a Letter, or raises NothingToTell where what it
would tell no longer holds. `FORGE_MAIL_READER` names the one function that knows people. Both are called when the mail
is sent, outside any transaction; so no address stands in a row, and a changed one counts at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from forge.db.ports import resolve
from forge.db.zones import in_zone
from forge.outbox.models import Mail


@dataclass(frozen=True)
class Reader:
    """Somebody who gets mail: where, called what, and in which time zone times are told."""

    address: str
    name: str
    zone: ZoneInfo

    def time(self, at: datetime) -> str:
        """An instant to the minute in the reader's zone, which is named."""
        return f"{in_zone(at, self.zone):%Y-%m-%d %H:%M %Z}"


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a letter."""

    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Letter:
    """What the templates `outbox/letter.txt` and `.html` say: a sentence, figures by their labels, paragraphs."""

    subject: str
    sentence: str
    rows: Sequence[tuple[str, str]] = ()
    paragraphs: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()


class NothingToTell(Exception):
    """What the mail would tell no longer holds, or nobody is there to read it; says which in a few words."""


Writer = Callable[[Mail, Reader], Letter]


def kinds() -> list[str]:
    """The kinds that this installation can word."""
    return list(settings.FORGE_MAIL_KINDS)


def letter_of(mail: Mail, reader: Reader) -> Letter:
    """What `mail` says to `reader`; raises NothingToTell."""
    write: Writer = resolve(settings.FORGE_MAIL_KINDS[mail.kind])
    return write(mail, reader)


def reader_of(recipient_id: uuid.UUID) -> Reader:
    """Whom a mail to `recipient_id` goes to; raises NothingToTell where the account is switched off or gone."""
    return resolve(settings.FORGE_MAIL_READER)(recipient_id)
