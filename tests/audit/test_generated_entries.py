"""Entries of every kind of value: written, read back through PostgreSQL, and their canonical bytes are the same."""

import hashlib
from datetime import datetime

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit import registry
from audit.actors import Actor, Interface, Kind
from audit.canonical import MAX_INTEGER, UnauditableValueError, canonical, digest, plain, timestamp
from audit.entries import MAX_CONTEXT_BYTES, RESULTS, Entry
from audit.models import AuditLog
from audit.services import append, record_many
from audit.verification.rows import verify

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]

GENERATED = registry.register("TEST_GENERATED", personal=("email", "age", "néé"))
PERSONAL = sorted(registry.get(GENERATED).personal)
BATCH = 10

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
KEYS = st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="\x00"), max_size=20).filter(
    lambda key: plain(key) not in PERSONAL
)
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones())  # noqa: DTZ001
NUMBERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.sampled_from([0, MAX_INTEGER, -MAX_INTEGER])
SCALARS = (
    st.none() | st.booleans() | NUMBERS | TEXT | TIMES | st.dates() | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def is_auditable(values):
    """False where two keys have one NFC form, which `plain` refuses."""
    try:
        return len(canonical(plain(values))) < MAX_CONTEXT_BYTES / 4
    except UnauditableValueError:
        return False


PERSONAL_VALUES = st.dictionaries(st.sampled_from(PERSONAL), st.none() | st.booleans() | NUMBERS | TEXT | TIMES)
DOCUMENTS = st.builds(
    lambda values, personal: values | personal, st.dictionaries(KEYS, VALUES, max_size=5), PERSONAL_VALUES
).filter(is_auditable)
ACTORS = st.builds(
    Actor,
    kind=st.sampled_from(Kind),
    interface=st.sampled_from(Interface),
    user_id=st.none() | st.uuids(),
    email=st.none() | TEXT.filter(bool),
    organization_id=st.none() | st.uuids(),
    credential_id=st.none() | st.uuids(),
    source_ip=st.none() | st.ip_addresses().map(str),
    user_agent=st.none() | st.text(min_size=1, max_size=600),
    correlation_id=st.uuids(),
    name=st.just("") | TEXT,
)
ENTRIES = st.builds(
    Entry,
    actor=ACTORS,
    action=st.just(GENERATED),
    description=TEXT,
    resource_type=TEXT,
    resource_id=TEXT,
    result=st.sampled_from(RESULTS),
    organization_id=st.none() | st.uuids(),
    changes=st.none() | st.fixed_dictionaries({"before": st.none() | DOCUMENTS, "after": st.none() | DOCUMENTS}),
    context=st.none() | DOCUMENTS,
    occurred_at=st.none() | TIMES,
)


def rebuilt(row):
    """The canonical content from what PostgreSQL gives back, put together as docs/audit.md describes it."""
    salt = bytes(row.salt)
    plains = {"user_email": row.user_email, "source_ip": row.source_ip, "user_agent": row.user_agent, **row.personal}
    ids = ("organization_id", "user_id", "credential_id", "correlation_id")
    words = (
        "actor_kind", "interface", "action_type", "action_description", "resource_type", "resource_id", "result",
        "context", "changes",
    )  # fmt: skip
    content = {
        "v": row.hash_version,
        "occurred_at": timestamp(row.occurred_at),
        "personal": {path: None if value is None else digest(salt, value) for path, value in plains.items()},
        **{name: getattr(row, name) and str(getattr(row, name)) for name in ids},
        **{name: getattr(row, name) for name in words},
    }
    return canonical(content)


def check(entry, row):
    assert rebuilt(row) == row.content.encode()
    assert bytes(row.content_hash) == hashlib.sha256(row.content.encode()).digest()
    context = plain(entry.context or {})
    if entry.actor.name:
        context.setdefault(entry.actor.kind.lower(), plain(entry.actor.name))
    assert canonical(row.full_context) == canonical(context)
    assert canonical(row.full_changes) == canonical(plain(entry.changes))
    if entry.occurred_at is not None:  # a time in the hour that a zone skips equals none of another zone
        assert timestamp(row.occurred_at) == timestamp(entry.occurred_at)
    for name in ("user_id", "credential_id", "correlation_id", "source_ip"):
        assert getattr(row, name) == getattr(entry.actor, name)
    assert row.user_email == (plain(entry.actor.email) if entry.actor.email else None)
    assert (row.result, row.resource_id) == (entry.result, plain(entry.resource_id))


def test_generated_entries_come_back_with_the_same_canonical_bytes(scale):
    """One half by `record`, the other by `record_many`, all of a batch in one transaction."""
    written = []

    @settings(
        max_examples=scale(2000, 80) // BATCH,
        phases=[Phase.generate],  # to shrink ten entries at a time takes minutes and names no fault better
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(ENTRIES, min_size=BATCH, max_size=BATCH))
    def write_and_read(entries):
        with transaction.atomic():
            receipts = [append(entry) for entry in entries[: BATCH // 2]] + record_many(entries[BATCH // 2 :])
        rows = AuditLog.objects.in_bulk([receipt.entry_id for receipt in receipts])
        for entry, receipt in zip(entries, receipts, strict=True):
            row = rows[receipt.entry_id]
            assert row.receipt == receipt
            check(entry, row)
        written.extend(receipts)

    write_and_read()
    report = verify()
    assert report.findings == []
    assert report.rows == len(written) == len(set(written)) >= scale(2000, 80)
