"""Letters of the tests' own, and a mail server that speaks SMTP on a port of this machine."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from zoneinfo import ZoneInfo

from django.db import transaction

from forge.db.ids import uuid7
from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail
from forge.outbox.services import Owed, owe

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KIND = "test.letter"
ORGANIZATION = uuid7()
KINDS = {KIND: "tests.forge.outbox.support.letter"}
READER = "tests.forge.outbox.support.reader"
NOBODY = uuid7()
"""A recipient without an account."""


def letter(mail: Mail, reader: Reader) -> Letter:
    """Words what the facts give; without a subject there is nothing to tell."""
    if "subject" not in mail.facts:
        raise NothingToTell("the machine is stopped already")
    return Letter(
        subject=mail.facts["subject"],
        sentence=mail.facts.get("sentence", ""),
        rows=[("When", reader.time(NOW))],
        paragraphs=["https://example.com/a?b=1&c=<2>"],
    )


def reader(recipient_id: object) -> Reader:
    if recipient_id == NOBODY:
        raise NothingToTell("the account of its recipient is switched off or gone")
    return Reader(address=f"{recipient_id}@example.com", name="Ann & Bob", zone=ZoneInfo("Europe/Vienna"))


def owed(**facts: object) -> Owed:
    return Owed(
        **{
            "organization_id": ORGANIZATION,
            "recipient_id": uuid7(),
            "kind": KIND,
            "target_type": "Thing",
            "target_id": uuid7(),
            "once": str(uuid7()),
            "facts": {"subject": "It happened", "sentence": "A thing happened."},
            **facts,
        }
    )


def write(*mails: Owed) -> list[Mail]:
    """Owe them, or one, at NOW; returns the rows in the order in which they are sent."""
    with transaction.atomic():
        owe(mails or (owed(),), now=NOW)
    return list(Mail.objects.order_by("due_at", "id"))


@dataclass
class Post:
    """What an SMTP server took, and how it treats its callers: refuse these recipients, hang up on those."""

    taken: list[Message] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    hung_up_on: set[str] = field(default_factory=set)


class _Talk(socketserver.StreamRequestHandler):
    """One connection: the few commands of RFC 5321 that smtplib uses."""

    def handle(self) -> None:
        post: Post = self.server.post  # type: ignore[attr-defined]
        self._say("220 ready")
        while line := self.rfile.readline():
            command = line.decode().strip()
            verb = command[:4].upper()
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "RCPT":
                address = command.partition("<")[2].partition(">")[0]
                if address in post.hung_up_on:
                    return
                self._say("550 no such mailbox" if address in post.refused else "250 ok")
            elif verb == "DATA":
                self._say("354 go on")
                post.taken.append(message_from_bytes(self._body()))
                self._say("250 taken")
            else:
                self._say("250 ok")

    def _body(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class PostOffice(socketserver.ThreadingTCPServer):
    """An SMTP server on a free port of this machine, while the block lasts."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.post = Post()
        super().__init__(("127.0.0.1", port), _Talk)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def __enter__(self) -> PostOffice:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
