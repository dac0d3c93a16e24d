"""What a verifier says of values that are gone: only an erasure that stands in the log, sealed, explains them."""

import hashlib
import json
import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import registry
from audit.actors import Actor
from audit.erasure import erasing, people
from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.services import Entry, append
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from tests.audit.attacker import MONTHS, Attacker, build
from tests.audit.support import ANN, ORGANIZATION, leave, leave_one, person
from tests.plugins.database import empty_database

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("outside"),
]

WITH_NAMES = registry.register("TEST_WITH_NAMES", personal=("email", "name", "identifier"))
BOB = uuid.UUID(int=0xB0B)
ALL = "user_email = NULL, source_ip = NULL, user_agent = NULL, personal = NULL, salt = NULL"


def erase(user=ANN):
    with StringIO() as out:
        call_command("audit_erase", user=str(user), reason="ticket 7", stdout=out)


def bad():
    """Ids of rows that the whole verification finds wrong."""
    return sorted(finding.id for finding in verify().findings if finding.kind == "bad_row")


@pytest.fixture
def log():
    """Three entries of Ann, one of Bob about her, one of Bob alone; sealed."""
    own = leave(3)
    about = leave_one(
        actor=person(user_id=BOB, email="bob@example.com"), action=WITH_NAMES, context={"email": "ann@example.com"}
    )
    other = leave_one(actor=person(user_id=BOB, email="bob@example.com"))
    seal()
    return own, about, other


@pytest.mark.parametrize(
    "values",
    [
        ALL,
        "salt = NULL",
        "personal = NULL",
        "user_email = NULL",
        "source_ip = NULL",
        "user_agent = NULL",
        "personal = NULL, salt = NULL",
        "user_email = NULL, source_ip = NULL, user_agent = NULL, personal = NULL",
    ],
)
def test_values_that_no_erasure_names_are_missed(log, superuser, values):
    own, _, other = log
    erase()
    seal()
    superuser(f"UPDATE audit_auditlog SET {values} WHERE id = %s", other.entry_id)
    assert bad() == [other.entry_id]
    assert [finding.kind for finding in verify_receipt(other).findings] == ["bad_row"]
    assert verify_receipt(own[0]).findings == []


def test_an_erased_row_must_have_lost_all_and_get_nothing_back(log, superuser):
    (first, second, third), about, _ = log
    erase()
    for receipt, value in (
        (first, "user_email = 'eve@example.com'"),
        (second, "personal = '{}'"),
        (third, "salt = decode(repeat('00', 16), 'hex')"),
        (about, "user_email = 'eve@example.com'"),
    ):
        superuser(f"UPDATE audit_auditlog SET {value} WHERE id = %s", receipt.entry_id)
    assert bad() == [first.entry_id, second.entry_id, third.entry_id, about.entry_id]


def test_an_erasure_of_values_about_somebody_does_not_vouch_for_who_acted(log, superuser):
    _, about, _ = log
    erase()
    superuser(f"UPDATE audit_auditlog SET {ALL} WHERE id = %s", about.entry_id)
    assert bad() == [about.entry_id]


def test_an_edit_of_an_erased_row_is_found_as_any_other(log, superuser):
    (first, second, _), about, _ = log
    erase()
    superuser("UPDATE audit_auditlog SET action_description = 'Nothing' WHERE id = %s", first.entry_id)
    superuser("UPDATE audit_auditlog SET content = 'nothing' WHERE id = %s", second.entry_id)
    superuser("UPDATE audit_auditlog SET resource_id = 'x' WHERE id = %s", about.entry_id)
    assert bad() == [first.entry_id, second.entry_id, about.entry_id]


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit_auditlog SET context = context || '{\"entries\": [[1, 99999999999]]}'",
        "UPDATE audit_auditlog SET result = 'FAILURE'",
        "DELETE FROM audit_auditlog",
    ],
)
def test_an_erasure_that_was_changed_or_removed_vouches_for_nothing(log, superuser, attack):
    own, about, _ = log
    erase()
    seal()
    superuser(f"{attack} WHERE action_type = 'AUDIT_ERASE'")
    erased = [receipt.entry_id for receipt in (*own, about)]
    assert set(erased) <= set(bad())
    for receipt in (*own, about):
        assert [finding.kind for finding in verify_receipt(receipt).findings] == ["bad_row"]


def test_an_erasure_that_was_rewritten_with_all_its_hashes_vouches_for_nothing_once_it_is_sealed(log, superuser):
    """The attacker widens the erasure to Bob's entry, and relinks the lane and its head."""
    _, _, other = log
    erase()
    seal()
    erasure = AuditLog.objects.filter(action_type="AUDIT_ERASE").latest("timestamp")
    wider = erasure.context | {"entries": [[other.entry_id, other.entry_id]]}
    attacker = Attacker(superuser)
    content = json.loads(erasure.content) | {"context": wider}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    superuser(
        "UPDATE audit_auditlog SET context = %s, content = %s, content_hash = %s WHERE id = %s",
        json.dumps(wider), text, hashlib.sha256(text.encode()).digest(), erasure.id,
    )  # fmt: skip
    attacker.relink(erasure.lane)
    superuser(f"UPDATE audit_auditlog SET {ALL} WHERE id = %s", other.entry_id)
    assert other.entry_id in bad()


@pytest.mark.parametrize(
    "context",
    [
        {"entries": "all"},
        {"entries": [["1", "9"], [5], [None, None], [99, 1], [-5, 99], 7, {}]},
        {"entries": {}, "about": 3},
    ],
)
def test_a_malformed_erasure_names_nothing_and_breaks_nothing(log, superuser, context):
    _, _, other = log
    erase()
    month = AuditLog.objects.filter(action_type="AUDIT_ERASE").latest("timestamp").context["month"]
    with transaction.atomic():
        append(
            Entry(
                actor=Actor.command("x"),
                action="AUDIT_ERASE",
                description="x",
                context={"reason": "x", "month": month, **context},
            )
        )
    superuser(f"UPDATE audit_auditlog SET {ALL} WHERE id = %s", other.entry_id)
    assert bad() == [other.entry_id]


def test_an_erasure_forged_by_the_normal_path_stands_in_the_log_for_all_to_see(log, superuser):
    """Who may append and is superuser can erase as the command does; nobody can do it unseen."""
    _, _, other = log
    month = f"{AuditLog.objects.get(id=other.entry_id).timestamp:%Y-%m}"
    with transaction.atomic():
        forged = append(
            Entry(
                actor=person(email="eve@example.com"),
                action="AUDIT_ERASE",
                description="Erased",
                context={"reason": "x", "month": month, "entries": [[other.entry_id] * 2], "about": []},
            )
        )
    superuser(f"UPDATE audit_auditlog SET {ALL} WHERE id = %s", other.entry_id)
    seal()
    assert verify().is_intact
    assert verify_seals().findings == []
    shown = AuditLog.objects.filter(action_type="AUDIT_ERASE").get()
    assert (shown.receipt, shown.user_email, shown.organization_id) == (forged, "eve@example.com", ORGANIZATION)


def test_each_month_is_vouched_for_by_erasures_of_a_later_one(superuser):
    build(superuser)
    erase()
    seal()
    for month in MONTHS:
        report = verify(month=month)
        assert report.is_intact
        assert report.rows > 0
    superuser("DELETE FROM audit_auditlog WHERE action_type = 'AUDIT_ERASE'")
    for month in MONTHS:
        assert not verify(month=month).is_intact


PEOPLE = [
    (uuid.UUID(int=number), f"{name}@example.com") for number, name in enumerate(("ann", "joann", "bob", "x"), start=1)
]
KINDS = ("own", "about", "tried", "named", "plain")


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25),
    erased=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    is_sealed=st.booleans(),
)
def test_any_log_with_any_erasures_verifies_and_keeps_nothing_of_the_erased(rows, erased, is_sealed):
    empty_database()
    with transaction.atomic():
        for kind, actor, other in rows:
            append(entry_of(kind, PEOPLE[actor], PEOPLE[other]))
    seal(sinks=[])
    before = list(AuditLog.objects.order_by("id").values_list("id", "log_hash", "content"))
    for number in erased:
        someone = people.Person(PEOPLE[number][0], (PEOPLE[number][1],))
        erasing.erase(someone, actor=Actor.command("audit_erase"), reason="ticket")
        if is_sealed:
            seal(sinks=[])
    assert [*verify().findings, *verify_seals().findings] == []
    assert (
        list(
            AuditLog.objects.filter(id__in=[row[0] for row in before])
            .order_by("id")
            .values_list("id", "log_hash", "content")
        )
        == before
    )
    for number in erased:
        assert rows_with(PEOPLE[number][1]) == 0
    for kind, number, _ in rows:
        if kind != "tried" and number not in erased:
            assert rows_with(PEOPLE[number][1]) > 0  # what acted stays, also where the other person was erased


def entry_of(kind, actor, other):
    acting = person(user_id=actor[0], email=actor[1])
    nobody = person(user_id=None, email=None, kind="ANONYMOUS")
    about = {"resource_type": "User", "resource_id": str(other[0])}
    return Entry(
        **{
            "own": {"actor": acting, "action": "OTHER"},
            "about": {"actor": acting, "action": WITH_NAMES, "context": {"email": other[1], "n": 1}},
            "tried": {"actor": nobody, "action": "AUTH_FAILED", "context": {"identifier": other[1].upper()}},
            "named": {
                "actor": acting, "action": WITH_NAMES, "changes": {"before": None, "after": {"name": other[1]}}, **about
            },
            "plain": {"actor": acting, "action": "OTHER", "context": {"id": str(other[0])}, **about},
        }[kind],
        description="Did",
    )  # fmt: skip


def rows_with(address):
    """Rows in which the whole address stands in any column."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_auditlog AS log WHERE log::text ~* %s",
            [people.Person(None, (address,)).pattern],
        )
        return cursor.fetchone()[0]
