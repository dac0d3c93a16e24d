"""Owing mail: rows written in the transaction of what they tell, with what webhooks hear of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from forge.api.errors import Conflict
from forge.db.ids import uuid7
from forge.outbox.letters import kinds
from forge.outbox.models import Mail
from forge.outbox.webhooks.announcing import Event, announce

MAIL_HOST = "forge.invalid"
"""Right side of Message-IDs: ours alone, and no host's name leaves the house by it."""


class MailNotGivenUp(Conflict):
    code = "mail_not_given_up"
    title = "Only a mail that was given up is sent again"


@dataclass(frozen=True)
class Owed:
    """One mail to one person: `kind` and `about` say what, `facts` are ids, figures and times, never names.

    `once` tells this mail from every other of its kind to the same person: of those that agree in it one is written.
    `team_id` says of which team it tells, to the webhooks that hear of one team alone.
    """

    organization_id: uuid.UUID
    recipient_id: uuid.UUID
    kind: str
    target_type: str
    target_id: uuid.UUID
    once: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: uuid.UUID | None = None
    due_at: datetime | None = None
    useless_after: datetime | None = None
    team_id: uuid.UUID | None = None

    @classmethod
    def of(cls, event: Event, *, recipient_id: uuid.UUID, correlation_id: uuid.UUID | None = None) -> Owed:
        """The mail that tells one person of what happened."""
        return cls(**vars(event), recipient_id=recipient_id, correlation_id=correlation_id)

    @property
    def dedupe_key(self) -> str:
        return f"{self.kind}:{self.recipient_id}:{self.once}"

    @property
    def event(self) -> Event:
        """What happened, whoever is told of it by mail."""
        return Event(
            organization_id=self.organization_id,
            kind=self.kind,
            target_type=self.target_type,
            target_id=self.target_id,
            once=self.once,
            facts=self.facts,
            team_id=self.team_id,
        )


def owe(mails: Iterable[Owed], *, now: datetime, events: Iterable[Event] = ()) -> None:
    """Write what is owed, in the caller's transaction: sent once that commits, gone with it if it does not.

    Webhooks hear of the same: each once of what several people are told, and of `events` also where nobody is there to
    be told. What is already written is left as it is. Raises LookupError for a kind that no room words.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("A mail is written inside the transaction of what it tells.")
    owed = list(mails)
    rows = [_row(one, now) for one in owed]
    Mail.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    announce([*events, *(one.event for one in owed)], now=now)


def put_back(*, mail: Mail, now: datetime) -> Mail:
    """Let a mail that was given up be tried again from now on; in the caller's transaction, which records who asked.

    Raises MailNotGivenUp.
    """
    mail = Mail.objects.select_for_update(no_key=True).get(pk=mail.pk)
    if not mail.is_retryable:
        raise MailNotGivenUp(extra={"state": mail.state})
    mail.state, mail.due_at, mail.attempts = Mail.State.DUE, now, 0
    mail.updated_at = now
    mail.save(update_fields=["state", "due_at", "attempts", "updated_at"])
    return mail


def _row(owed: Owed, now: datetime) -> Mail:
    if owed.kind not in kinds():
        raise LookupError(f"No room words mail of kind {owed.kind!r}: FORGE_MAIL_KINDS names {', '.join(kinds())}.")
    key = uuid7()
    return Mail(
        id=key,
        organization_id=owed.organization_id,
        recipient_id=owed.recipient_id,
        kind=owed.kind,
        facts=dict(owed.facts),
        target_type=owed.target_type,
        target_id=owed.target_id,
        correlation_id=owed.correlation_id,
        dedupe_key=owed.dedupe_key,
        message_id=f"<mail-{key}@{MAIL_HOST}>",
        due_at=owed.due_at or now,
        useless_after=owed.useless_after,
        created_at=now,
    )
