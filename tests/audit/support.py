"""A small log that every test of the audit room can fill, and the SQL that forges rows as an attacker would."""

import hashlib
import struct
import uuid
from datetime import UTC, datetime

from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from audit import actions
from audit.actors import Actor, Interface, Kind
from audit.services import Entry, Receipt, append, record_many
from forge.accounts.token_services import issue_token

ORGANIZATION = uuid.UUID("01939b1e-0000-7000-8000-00000000000a")
TEAMS = "/api/v1/teams/"
ANN = uuid.UUID("01939b1e-0000-7000-8000-0000000000a1")

SIGNING_KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB
-----END PRIVATE KEY-----
"""
"""Thirty-two bytes 1: a key of the tests. The other one belongs to an attacker."""

OTHER_SIGNING_KEY = SIGNING_KEY.replace("IAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB", f"IAIC{'AgIC' * 10}")


def client_of(user, *, interface="API", scopes=()):
    _, text = issue_token(
        actor=Actor.command("test"), user=user, name="t", now=timezone.now(), interface=interface, scopes=scopes
    )
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def person(**fields) -> Actor:
    """Ann, through the portal."""
    return Actor(
        **{
            "kind": Kind.USER,
            "interface": Interface.PORTAL,
            "user_id": ANN,
            "email": "ann@example.com",
            "organization_id": ORGANIZATION,
            "source_ip": "198.51.100.7",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
            **fields,
        }
    )


def entry(number: int = 0, **fields) -> Entry:
    return Entry(
        **{
            "actor": person(),
            "action": actions.OTHER,
            "description": f"Did thing {number}",
            "resource_type": "Thing",
            "resource_id": str(number),
            "context": {"number": number, "cost": "1.500000"},
            "changes": {"before": None, "after": {"state": "PENDING"}},
            **fields,
        }
    )


def leave(count: int, *, lane: int | None = None, **fields) -> list[Receipt]:
    """`count` entries in one transaction, so in one lane: `lane`, if nobody holds it."""
    with transaction.atomic():
        if lane is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('forge.audit_lane', %s, false)", [str(lane)])
        return record_many(entry(number, **fields) for number in range(count))


def leave_one(**fields) -> Receipt:
    with transaction.atomic():
        return append(entry(**fields))


def rechain(superuser, lane: int, timestamps: list[datetime]) -> None:
    """Rewrite a whole lane with other times, and its head: what no check inside the database can find.

    Tests use it to have a log of several months. `superuser` runs SQL past all triggers.
    """
    rows = superuser(
        "SELECT id, lane_seq, content_hash FROM audit_auditlog WHERE lane = %s ORDER BY lane_seq", lane
    ).fetchall()
    previous = bytes(32)
    for (row_id, lane_seq, content_hash), timestamp in zip(rows, timestamps, strict=True):
        hashed = log_hash(
            lane=lane, lane_seq=lane_seq, timestamp=timestamp, previous=previous, content_hash=content_hash
        )
        superuser(
            'UPDATE audit_auditlog SET "timestamp" = %s, previous_log_hash = %s, log_hash = %s WHERE id = %s',
            timestamp, previous, hashed, row_id,
        )  # fmt: skip
        previous = hashed
    superuser("UPDATE audit_auditlane SET log_hash = %s WHERE lane = %s", previous, lane)


def log_hash(
    *, lane: int, lane_seq: int, timestamp: datetime, previous: bytes, content_hash: bytes, version: int = 1
) -> bytes:
    """The hash of format v1 computed without the database, as docs/audit.md describes it."""
    since_2000 = timestamp - datetime(2000, 1, 1, tzinfo=UTC)
    microseconds = (since_2000.days * 86_400 + since_2000.seconds) * 1_000_000 + since_2000.microseconds
    fixed = struct.pack(">BHQq", version, lane, lane_seq, microseconds)
    return hashlib.sha256(b"forge.audit.entry" + fixed + previous + content_hash).digest()
