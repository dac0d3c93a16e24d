"""`record`: what an entry holds, what it refuses, and that it lives and dies with the change it tells of."""

import functools
import hashlib
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from audit import entries, registry, services
from audit.actors import Actor
from audit.canonical import UnauditableValueError, digest
from audit.entries import ContextTooLarge, IncompleteEntryError
from audit.models import AuditLane, AuditLog
from audit.receipts import Receipt
from audit.services import AuditUnavailable, append, record_many
from forge.accounts.models import Organization
from tests.audit.faults import FAULTS, broken
from tests.audit.support import ANN, ORGANIZATION, entry, leave, leave_one, log_hash, person
from tests.factories import OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)

DIRECTORY_CHANGE = registry.register(
    "TEST_DIRECTORY_CHANGE", required=("resource_id", "context.reason"), personal=("email", "age")
)


def row_of(receipt):
    return AuditLog.objects.get(id=receipt.entry_id)


def make_organization(*, then_fail=False):
    """A business row and its entry in one transaction."""
    with transaction.atomic():
        OrganizationFactory(slug="gone")
        append(entry())
        if then_fail:
            raise ZeroDivisionError


def record_and_fail():
    with transaction.atomic():
        append(entry(2))
        raise ZeroDivisionError


def test_an_entry_holds_the_twelve_fields_and_their_hash():
    at = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
    correlation_id = uuid.uuid4()
    receipt = leave_one(
        actor=person(correlation_id=correlation_id, credential_id=ANN),
        context={"cost": Decimal("12.500000"), "at": at},
        changes={"before": {"state": "PENDING"}, "after": {"state": "AVAILABLE"}},
        occurred_at=at,
    )

    row = row_of(receipt)

    assert (row.user_id, row.user_email, row.organization_id) == (ANN, "ann@example.com", ORGANIZATION)
    assert (row.action_type, row.action_description, row.result) == ("OTHER", "Did thing 0", "SUCCESS")
    assert (row.resource_type, row.resource_id, row.interface) == ("Thing", "0", "PORTAL")
    assert (row.source_ip, row.user_agent) == ("198.51.100.7", "Mozilla/5.0 (X11; Linux x86_64)")
    assert (row.actor_kind, row.credential_id, row.correlation_id) == ("USER", ANN, correlation_id)
    assert row.context == {"cost": "12.500000", "at": "2026-03-31T22:00:00.000000Z"}
    assert row.changes == {"before": {"state": "PENDING"}, "after": {"state": "AVAILABLE"}}
    assert row.occurred_at == at
    assert row.receipt == receipt
    assert bytes(row.content_hash) == hashlib.sha256(row.content.encode()).digest()


def test_the_log_hash_can_be_computed_without_the_database():
    first, second = leave_one(), leave_one()
    for receipt, previous in ((first, bytes(32)), (second, first.log_hash)):
        row = row_of(receipt)
        assert bytes(row.previous_log_hash) == previous
        assert receipt.log_hash == log_hash(
            lane=row.lane,
            lane_seq=row.lane_seq,
            timestamp=row.timestamp,
            previous=previous,
            content_hash=bytes(row.content_hash),
        )


def test_personal_values_stand_beside_the_content_which_has_their_salted_digests():
    receipt = leave_one(
        action=DIRECTORY_CHANGE,
        context={"reason": "moved", "email": "old@example.com"},
        changes={"before": {"email": None, "role": "engineer"}, "after": {"email": "new@example.com", "age": 41}},
    )

    row = row_of(receipt)
    content = json.loads(row.content)

    assert row.context == {"reason": "moved"}
    assert row.changes == {"before": {"role": "engineer"}, "after": {}}
    assert row.personal == {
        "context.email": "old@example.com",
        "before.email": None,
        "after.email": "new@example.com",
        "after.age": 41,
    }
    for plain in ("example.com", "198.51.100.7", "Mozilla"):
        assert plain not in row.content
    salt = bytes(row.salt)
    assert content["personal"] == {
        "context.email": digest(salt, "old@example.com"),
        "before.email": None,
        "after.email": digest(salt, "new@example.com"),
        "after.age": digest(salt, 41),
        "user_email": digest(salt, "ann@example.com"),
        "source_ip": digest(salt, "198.51.100.7"),
        "user_agent": digest(salt, "Mozilla/5.0 (X11; Linux x86_64)"),
    }


def test_every_row_has_a_salt_of_its_own():
    leave(20)
    assert len({bytes(salt) for salt in AuditLog.objects.values_list("salt", flat=True)}) == 20


def test_jobs_and_commands_name_themselves():
    job = leave_one(actor=Actor.job("meter_costs", ORGANIZATION), context={})
    command = leave_one(actor=Actor.command("forge_init"), context={})
    assert (row_of(job).actor_kind, row_of(job).interface) == ("JOB", "JOB")
    assert row_of(job).context == {"job": "meter_costs"}
    assert row_of(job).organization_id == ORGANIZATION
    assert (row_of(command).actor_kind, row_of(command).interface) == ("COMMAND", "COMMAND")
    assert row_of(command).context == {"command": "forge_init"}


def test_an_entry_needs_a_transaction():
    with pytest.raises(TransactionManagementError):
        append(entry())


def test_an_entry_goes_with_the_change_that_is_rolled_back():
    with pytest.raises(ZeroDivisionError):
        make_organization(then_fail=True)
    assert not AuditLog.objects.exists()
    assert not Organization.objects.filter(slug="gone").exists()
    assert leave_one().lane_seq == 1


def test_an_entry_of_a_savepoint_goes_with_it_and_leaves_no_hole():
    with transaction.atomic():
        first = append(entry(1))
        with pytest.raises(ZeroDivisionError):
            record_and_fail()
        third = append(entry(3))
    assert (third.lane, third.lane_seq) == (first.lane, first.lane_seq + 1)
    assert bytes(row_of(third).previous_log_hash) == first.log_hash


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_whose_entry_cannot_be_written_is_rolled_back(fault, superuser):
    with broken(superuser, fault), pytest.raises(AuditUnavailable) as refusal:
        make_organization()
    assert refusal.value.status == 503
    assert not Organization.objects.filter(slug="gone").exists()
    assert not AuditLog.objects.exists()
    assert leave_one().lane_seq == 1


def test_context_beyond_64_kb_is_refused_with_the_figures():
    with pytest.raises(ContextTooLarge) as refusal:
        leave_one(context={"note": "x" * 66_000})
    assert refusal.value.status == 422
    assert refusal.value.extra["limit"] == 65_536
    assert refusal.value.extra["size"] > 65_536


def test_context_of_64_kb_is_kept():
    rest = len(b'{"note":""}') + len(b"null") + len(b"{}")
    leave_one(context={"note": "x" * (65_536 - rest)}, changes=None)
    with pytest.raises(ContextTooLarge):
        leave_one(context={"note": "x" * (65_537 - rest)}, changes=None)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"action": "NEVER_DECLARED"}, registry.UnknownActionError),
        ({"action": DIRECTORY_CHANGE}, IncompleteEntryError),
        ({"action": DIRECTORY_CHANGE, "context": {"reason": "r"}, "resource_id": ""}, IncompleteEntryError),
        ({"action": DIRECTORY_CHANGE, "context": {"reason": "r", "email": ["a"]}}, UnauditableValueError),
        ({"result": "MAYBE"}, UnauditableValueError),
        ({"changes": {"old": 1}}, UnauditableValueError),
        ({"context": {"cost": 0.1}}, UnauditableValueError),
        ({"description": "a\x00b"}, UnauditableValueError),
        ({"resource_id": "x" * 129}, UnauditableValueError),
        ({"occurred_at": datetime(2026, 1, 1)}, UnauditableValueError),  # noqa: DTZ001
    ],
)
def test_what_makes_no_sound_entry_is_refused(fields, error):
    with pytest.raises(error):
        leave_one(**fields)
    assert not AuditLog.objects.exists()


def test_a_refused_action_need_not_have_all_fields():
    leave_one(action=DIRECTORY_CHANGE, result="DENIED", resource_id="")


def test_headers_that_cannot_be_stored_are_mended_not_refused():
    row = row_of(leave_one(actor=person(user_agent="a\x00b\ud800" + "c" * 600)))
    assert row.user_agent.startswith("a\ufffdb?c")
    assert len(row.user_agent) == entries.MAX_USER_AGENT


def test_long_descriptions_are_cut():
    assert len(row_of(leave_one(description="é" * 5000)).action_description) == entries.MAX_DESCRIPTION


def test_a_batch_is_one_chain_in_the_order_given_with_one_head_update():
    receipts = leave(services.BATCH + 3)

    numbers = [receipt.lane_seq for receipt in receipts]
    rows = list(AuditLog.objects.order_by("id"))

    assert numbers == list(range(1, services.BATCH + 4))
    assert {receipt.lane for receipt in receipts} == {receipts[0].lane}
    assert [row.context["number"] for row in rows] == list(range(services.BATCH + 3))
    assert [row.receipt for row in rows] == receipts
    assert [bytes(row.previous_log_hash) for row in rows[1:]] == [receipt.log_hash for receipt in receipts[:-1]]
    head = AuditLane.objects.get(lane=receipts[0].lane)
    assert (head.lane_seq, bytes(head.log_hash)) == (receipts[-1].lane_seq, receipts[-1].log_hash)


def test_a_batch_and_single_entries_leave_the_same_columns():
    with transaction.atomic():
        one = append(entry(5, occurred_at=datetime(2026, 5, 5, tzinfo=UTC)))
        (other,) = record_many([entry(5, occurred_at=datetime(2026, 5, 5, tzinfo=UTC))])
    differing = {"id", "timestamp", "salt", "lane_seq", "previous_log_hash", "log_hash", "content", "content_hash"}
    rows = [
        {name: value for name, value in vars(row_of(receipt)).items() if name not in differing | {"_state"}}
        for receipt in (one, other)
    ]
    assert rows[0].pop("correlation_id") != rows[1].pop("correlation_id")
    assert rows[0] == rows[1]


def test_an_empty_batch_leaves_nothing():
    with transaction.atomic():
        assert record_many([]) == []


def test_one_call_of_sql_appends_an_entry(django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(1):
        append(entry())


def test_a_receipt_reads_back_from_its_text():
    receipt = leave_one()
    assert Receipt.parse(str(receipt)) == receipt
    assert str(receipt) == f"{receipt.lane}-{receipt.lane_seq}-{receipt.log_hash.hex()}"
    for text in ("", "1-2", "1-2-zz", f"{receipt} ", str(receipt).upper().replace("0", "O")):
        with pytest.raises(ValueError, match="not a receipt"):
            Receipt.parse(text)


def test_the_value_sets_are_checked_by_the_database(superuser):
    receipt = leave_one()
    for column in ("result", "interface", "actor_kind"):
        with pytest.raises(Exception, match=f"audit_auditlog_{column}"):
            superuser(f"UPDATE audit_auditlog SET {column} = 'X' WHERE id = %s", receipt.entry_id)


def test_ids_are_exact_in_json_numbers_of_other_languages():
    assert Receipt(255, 2**44 - 1, b"").entry_id < 2**53
    assert connection.ops.integer_field_range("BigIntegerField")[1] > Receipt(255, 2**44 - 1, b"").entry_id


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"resource_id": "\u0958" * 128}, "resource_id"),  # NFC makes two characters of each
        ({"actor": person(source_ip="1" * 46)}, "source_ip"),
        ({"actor": person(source_ip="10.0.0.1\x00")}, "source_ip"),
        ({"actor": Actor.job("a\x00job")}, "actor"),
        ({"context": {"deep": functools.reduce(lambda inner, _: [inner], range(2000), [])}}, "context"),
    ],
)
def test_what_the_database_would_not_take_is_refused_before_it_is_asked(fields, path):
    with pytest.raises(UnauditableValueError) as refused, transaction.atomic():
        append(entry(**fields))
    assert refused.value.path == path
    assert not AuditLog.objects.exists()
