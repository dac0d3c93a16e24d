"""Sending what is due; any number of senders may run, and any may be killed at any point.

A claim is one statement that commits at once: it takes the mail due longest that nobody has locked and moves its
`due_at` past the time that sending may take. No transaction is open while a mail server is talked to. A sender that is
killed after the server took the mail, and before that was written down, leaves it to be sent once more, under the same
Message-ID, by which mail programs show it once. A mail that fails, or that its senders do not survive, is tried again
with growing pauses and given up after MAX_ATTEMPTS; a server that does not answer at all costs no mail a try.
"""

from __future__ import annotations

import logging
import smtplib
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, transaction

from forge.db.jobs import JobFault
from forge.outbox.letters import NothingToTell, kinds, letter_of, reader_of
from forge.outbox.models import Mail
from forge.outbox.preferences import is_wanted
from forge.outbox.rendering import message_of

logger = logging.getLogger(__name__)

State = Mail.State
MAX_ATTEMPTS = 12
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
LEASE = timedelta(minutes=10)
"""Longer than any mail takes: each step of talking to a server ends after EMAIL_TIMEOUT seconds."""
RUN_SECONDS = 50.0
"""After this a run leaves the rest to the next one, so that no job runs for hours."""
LONGEST_ERROR = 1000

_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM outbox_mail
     WHERE due_at <= %(now)s AND kind = ANY(%(kinds)s)
     ORDER BY due_at, id
     LIMIT 1
       FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox_mail AS mail
   SET due_at = %(lease_ends)s, attempts = mail.attempts + 1, updated_at = %(now)s
  FROM due
 WHERE mail.id = due.id
RETURNING mail.*
"""


class MailServerAway(JobFault):
    """The mail server cannot be reached; everything that is due stays due."""


@dataclass
class Figures:
    """Counts of one run."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    withdrawn: int = 0


def due(*, now: datetime) -> int:
    """How many mails wait to be sent at `now`."""
    return Mail.objects.filter(due_at__lte=now).count()


def send(*, now: datetime) -> dict[str, int]:
    """Send what is due: {sent, failed, given_up, withdrawn}.

    Raises MailServerAway, with what was done before it; then no mail is charged a try for it.
    """
    figures = Figures()
    if not Mail.objects.filter(due_at__lte=now, kind__in=kinds()).exists():
        return asdict(figures)
    began = time.monotonic()
    server = get_connection()
    _reach(server, figures)
    try:
        while time.monotonic() - began < RUN_SECONDS:
            mail = _claim(now)
            if mail is None:
                break
            outcome = _send(mail, server, now)
            setattr(figures, outcome, getattr(figures, outcome) + 1)
            if outcome in ("failed", "given_up"):
                _hang_up(server)  # a server that has hung up in the middle would refuse all that follow
                _reach(server, figures)
    finally:
        _hang_up(server)
    return asdict(figures)


def _reach(server: BaseEmailBackend, figures: Figures) -> None:
    try:
        server.open()
    except (OSError, smtplib.SMTPException) as error:
        raise MailServerAway(f"The mail server cannot be reached: {error}", asdict(figures)) from error


def _hang_up(server: BaseEmailBackend) -> None:
    try:
        server.close()
    except (OSError, smtplib.SMTPException) as error:
        logger.info("The mail server was gone before it was hung up on: %s", error)


def _claim(now: datetime) -> Mail | None:
    parameters = {"now": now, "kinds": kinds(), "lease_ends": now + LEASE}
    with transaction.atomic(durable=True):
        return next(iter(Mail.objects.raw(_CLAIM, parameters)), None)


def _send(mail: Mail, server: BaseEmailBackend, now: datetime) -> str:
    if mail.attempts > MAX_ATTEMPTS:
        return _note(mail, State.GIVEN_UP, now, last_error="Its senders vanished while they were at it.")
    if mail.useless_after is not None and mail.useless_after <= now:
        return _withdraw(mail, "it came too late to be of use", now)
    if not is_wanted(mail.recipient_id, mail.kind):
        return _withdraw(mail, "its recipient has switched off mail of this kind", now)
    address = ""
    try:
        reader = reader_of(mail.recipient_id)
        address = reader.address
        message_of(mail, letter_of(mail, reader), reader, connection=server).send()
    except NothingToTell as reason:
        return _withdraw(mail, str(reason), now)
    except DatabaseError:
        raise
    except Exception as error:
        # Backends of providers raise exceptions of their own kinds; one mail must not keep the others waiting.
        logger.exception("Mail %s was not sent", mail.id)
        return _failed(mail, _without(address, error), now)
    return _note(mail, State.SENT, now, sent_at=now, last_error="")


def _failed(mail: Mail, error: str, now: datetime) -> str:
    if mail.attempts >= MAX_ATTEMPTS:
        return _note(mail, State.GIVEN_UP, now, last_error=error)
    pause = min(FIRST_PAUSE * 2 ** (mail.attempts - 1), LONGEST_PAUSE)
    return _note(mail, State.DUE, now, due_at=now + pause, last_error=error)


def _withdraw(mail: Mail, reason: str, now: datetime) -> str:
    return _note(mail, State.WITHDRAWN, now, withdrawn_because=reason[:200])


def _note(mail: Mail, state: State, now: datetime, **fields: Any) -> str:
    """Write the outcome, unless another sender has it by now; that a mail was sent holds whoever did it."""
    fields = {"due_at": None, **fields}
    standing = Mail.objects.filter(pk=mail.pk, state=State.DUE)
    if state != State.SENT:
        standing = standing.filter(attempts=mail.attempts)
    if not standing.update(state=state, updated_at=now, **fields):
        logger.warning("Mail %s was sent by somebody else meanwhile", mail.id)
    return "failed" if state == State.DUE else state.value.lower()


def _without(address: str, error: Exception) -> str:
    """What went wrong, for whoever looks at the row: without the address, which belongs to the account alone."""
    said = f"{type(error).__name__}: {error}".replace("\x00", "")
    if address:
        said = said.replace(address, "(the recipient)")
    return said[:LONGEST_ERROR]
