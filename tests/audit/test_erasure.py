"""Erasure: what is personal about one person goes, every hash holds, and nothing is taken unseen."""

import contextlib
import json
import uuid
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from audit import holds, registry
from audit.actors import Actor, Interface, Kind
from audit.erasure import erasing, people
from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.services import append
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from tests.audit.attacker import MONTHS, build
from tests.audit.support import ANN, entry, leave, leave_one, person
from tests.factories import MembershipFactory, UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("without_whitenoise"),
]

WITH_PERSONAL = registry.register("TEST_WITH_NAMES", personal=("email", "name", "identifier"))
BOB = uuid.UUID(int=0xB0B)
ORGANIZATION = uuid.UUID(int=0xA)
EMAIL = "ann@example.com"


class Killed(BaseException):
    """Nothing catches it, as nothing survives a kill."""


def bob(**fields):
    return person(**{"user_id": BOB, "email": "bob@example.com", "source_ip": "203.0.113.9", **fields})


def nobody():
    return Actor(kind=Kind.ANONYMOUS, interface=Interface.API, source_ip="192.0.2.1", user_agent="curl/8")


def about_ann(**fields):
    values = {"action": WITH_PERSONAL, "actor": bob(), "context": {"email": EMAIL, "number": 1}}
    return leave_one(**(values | fields))


def run(**options):
    out = StringIO()
    call_command("audit_erase", **{"user": str(ANN), "reason": "ticket 7", "json": True, **options}, stdout=out)
    return json.loads(out.getvalue())


def row_of(receipt):
    return AuditLog.objects.get(id=receipt.entry_id)


def values_of(receipt):
    row = row_of(receipt)
    return row.user_email, row.source_ip, row.user_agent, row.personal, row.salt


def hashes():
    return list(AuditLog.objects.order_by("id").values_list("id", "log_hash", "content_hash", "content"))


def found():
    return [finding.kind for finding in [*verify().findings, *verify_seals().findings]]


def mentions(superuser, text):
    """Rows of the log in which the text stands in any column."""
    return superuser(
        "SELECT array_agg(id) FROM audit_auditlog AS log WHERE strpos(lower(log::text), lower(%s)) > 0", text
    ).fetchone()[0]


def test_the_persons_entries_lose_all_that_is_personal_and_others_what_is_about_the_person(outside, superuser):
    own = leave(3)
    about = about_ann()
    tried = leave_one(action="AUTH_FAILED", actor=nobody(), context={"identifier": "Ann@Example.COM"})
    counted = leave_one(actor=nobody(), context={"credential_prefix": ANN.hex})
    named = about_ann(context={"name": "Ann", "number": 2}, resource_type="User", resource_id=str(ANN))
    others = [
        leave_one(actor=bob()),
        about_ann(context={"email": "joann@example.com"}),
        about_ann(context={"email": "ann@example.com.au"}),
        leave_one(action="AUTH_FAILED", actor=nobody(), context={"identifier": "bob@example.com"}),
    ]
    seal()
    before, untouched = hashes(), [values_of(receipt) for receipt in others]

    report = run()
    assert (report["entries"], report["about"], report["out_of_reach"]) == (5, 2, 0)
    for receipt in (*own, tried, counted):
        assert values_of(receipt) == (None,) * 5
    for receipt in (about, named):
        kept = values_of(receipt)
        assert kept[:4] == ("bob@example.com", "203.0.113.9", bob().user_agent, None)
        assert kept[4] is not None
    assert [values_of(receipt) for receipt in others] == untouched
    assert mentions(superuser, "nn@example.com") == [others[1].entry_id, others[2].entry_id]
    assert hashes()[: len(before)] == before
    assert found() == []
    seal()
    assert found() == []
    for receipt in (*own, about, tried, counted, named, *others):
        assert verify_receipt(receipt).findings == []


def test_the_log_tells_what_was_erased_by_whom_and_why(seen):
    leave(3)
    gap = leave_one(actor=bob())
    last = leave_one()
    seen()
    report = run(user=EMAIL)
    (told,) = seen()
    assert (told.action_type, told.result, told.actor_kind) == ("AUDIT_ERASE", "SUCCESS", "COMMAND")
    assert (told.resource_type, told.resource_id) == ("User", str(ANN))
    assert told.organization_id == person().organization_id
    assert told.context == {
        "command": "audit_erase",
        "reason": "ticket 7",
        "month": f"{timezone.now().astimezone(UTC):%Y-%m}",
        "entries": [[gap.entry_id - 3, gap.entry_id - 1], [last.entry_id, last.entry_id]],
        "about": [],
    }
    assert report["steps"] == 1


def test_a_second_run_finds_nothing_and_leaves_nothing(seen):
    leave(3)
    about_ann()
    assert run()["entries"] == 3
    seen()
    assert {name: run()[name] for name in ("entries", "about", "steps")} == {"entries": 0, "about": 0, "steps": 0}
    assert seen() == []


def test_a_dry_run_counts_and_writes_nothing(seen):
    leave(3)
    about_ann()
    before = list(AuditLog.objects.values())
    report = run(dry_run=True, reason="")
    assert (report["entries"], report["about"], report["steps"]) == (3, 1, 0)
    assert list(AuditLog.objects.values()) == before


def test_an_actor_erased_after_the_person_of_an_entry_goes_too():
    about = about_ann()
    assert run(user=EMAIL)["about"] == 1
    run(user=str(BOB))
    assert values_of(about) == (None,) * 5
    assert found() == []


def test_many_rows_go_in_steps_whose_entries_hold_the_limit(monkeypatch):
    monkeypatch.setattr(erasing, "LIMIT", 7)
    with transaction.atomic():
        for number in range(40):
            append(entry(number, actor=person() if number % 2 else bob()))
    assert run()["steps"] == 3
    told = AuditLog.objects.filter(action_type="AUDIT_ERASE")
    assert [len(row.context["entries"]) for row in told.order_by("timestamp")] == [7, 7, 6]
    assert found() == []


def test_the_largest_entry_fits():
    ids = [(255 << 44) + 2 * number for number in range((1 << 44) // 2 - erasing.LIMIT, (1 << 44) // 2)]
    size = len(json.dumps(erasing.ranges(ids)))
    assert len(erasing.ranges(ids)) == erasing.LIMIT
    assert size < 40 * erasing.LIMIT < 60_000


def test_entries_of_each_organization_are_told_there():
    leave_one()
    leave_one(actor=person(organization_id=ORGANIZATION))
    leave_one(action="AUTH_FAILED", actor=nobody(), context={"identifier": EMAIL})
    assert run()["steps"] == 3
    told = AuditLog.objects.filter(action_type="AUDIT_ERASE").values_list("organization_id", flat=True)
    assert set(told) == {person().organization_id, ORGANIZATION, None}
    assert found() == []


def test_an_address_that_nobody_has_is_erased_where_it_was_tried():
    tried = leave_one(action="AUTH_FAILED", actor=nobody(), context={"identifier": "x@example.com"})
    assert run(user="X@example.com")["entries"] == 1
    assert values_of(tried) == (None,) * 5
    assert found() == []


def test_an_account_gives_the_address_that_the_log_lacks():
    user = UserFactory(email="carol@example.com", is_active=False)
    tried = leave_one(action="AUTH_FAILED", actor=nobody(), context={"identifier": "carol@example.com"})
    assert run(user=str(user.id))["entries"] == 1
    assert values_of(tried) == (None,) * 5


def test_several_months_are_told_apart_and_each_verifies(outside, superuser):
    build(superuser)
    count = AuditLog.objects.count()
    assert run()["entries"] == count
    told = AuditLog.objects.filter(action_type="AUDIT_ERASE")
    assert {row.context["month"] for row in told} == {f"{month:%Y-%m}" for month in MONTHS}
    seal()
    assert found() == []
    for month in MONTHS:
        assert verify(month=month).findings == []
    for row in AuditLog.objects.all():
        assert verify_receipt(row.receipt).findings == []


# -- what is in the way ------------------------------------------------------------------------------------------------


def refused(**options):
    before = list(AuditLog.objects.order_by("id").values())
    with pytest.raises(CommandError) as refusal:
        run(**options)
    assert list(AuditLog.objects.order_by("id").values()) == before
    return str(refusal.value)


def hold(**criteria):
    user = UserFactory(organization=None)
    actor = Actor(kind=Kind.USER, interface=Interface.API, user=user, user_id=user.id)
    return holds.place(actor=actor, reason="case", now=timezone.now(), **criteria)


@pytest.mark.parametrize(
    ("criteria", "is_in_the_way"),
    [
        ({"user_id": ANN}, True),
        ({"user_id": BOB}, True),  # an entry of Bob's about Ann
        ({"user_id": uuid.UUID(int=1)}, False),
        ({"resource_type": "Thing", "resource_id": "1"}, True),
        ({"resource_type": "Thing", "resource_id": "99"}, False),
        ({"period_start": datetime(2020, 1, 1, tzinfo=UTC)}, True),
        ({"period_end": datetime(2020, 1, 1, tzinfo=UTC)}, False),
        ({"user_id": ANN, "organization_id": ORGANIZATION}, False),
    ],
)
def test_a_hold_over_one_entry_refuses_the_whole_erasure_and_is_named(criteria, is_in_the_way):
    leave(3)
    about_ann()
    placed = hold(**criteria)
    if not is_in_the_way:
        assert run()["entries"] == 3
        return
    assert str(placed.id) in refused()
    with pytest.raises(CommandError, match=str(placed.id)):
        run(dry_run=True)
    user = UserFactory(organization=None)
    actor = Actor(kind=Kind.USER, interface=Interface.API, user=user, user_id=user.id)
    holds.release(actor=actor, hold=placed, reason="over", now=timezone.now())
    assert run()["entries"] == 3


def test_a_hold_that_is_placed_meanwhile_ends_the_erasure_between_two_steps(monkeypatch):
    leave(10)
    monkeypatch.setattr(erasing, "LIMIT", 4)
    step, steps = erasing._step, []

    def place_before_the_second(*args, **kwargs):
        steps.append(1)
        if len(steps) == 2:
            hold(user_id=ANN)
        return step(*args, **kwargs)

    monkeypatch.setattr(erasing, "_step", place_before_the_second)
    monkeypatch.setattr(erasing, "survey", lambda person: erasing.Erasure(person.user_id))
    with pytest.raises(CommandError, match="A legal hold covers"):
        run()
    gone = AuditLog.objects.filter(salt=None).count()
    assert gone in (0, 4)
    assert found() == []


@pytest.mark.parametrize("whom", ["somebody", str(uuid.UUID(int=77)), ""])
def test_an_unknown_person_is_refused(whom):
    leave(1)
    assert "neither" in refused(user=whom) or "No entry" in refused(user=whom)


def test_an_active_account_is_refused():
    user = UserFactory(email=EMAIL)
    leave_one(actor=person(user_id=user.id))
    assert "switch it off" in refused(user=EMAIL)
    user.is_active = False
    user.save()
    assert run(user=EMAIL)["entries"] == 1


def test_an_address_of_two_people_is_refused_until_one_is_named():
    one, other = leave_one(), leave_one(actor=person(user_id=BOB))
    assert str(BOB) in refused(user=EMAIL)
    run(user=str(BOB))
    assert values_of(other) == (None,) * 5
    assert row_of(one).user_email == EMAIL


def test_a_reason_is_needed_and_must_not_hold_the_address():
    leave(1)
    assert "--reason" in refused(reason=" ")
    assert "leave the address out" in refused(reason="asked for by Ann@example.com")


def test_an_address_out_of_reach_is_told():
    leave(1)
    leak = leave_one(actor=bob(), context={"note": f"for {EMAIL}"})
    with pytest.raises(CommandError, match=f"1 entries have an address .* the first is {leak.entry_id}"):
        run()
    assert found() == []


def test_a_second_erasure_at_once_is_refused(superuser_connection):
    leave(1)
    superuser_connection.execute("SELECT pg_advisory_lock(%s)", [erasing._LOCK])
    assert "Another erasure" in refused()
    superuser_connection.execute("SELECT pg_advisory_unlock(%s)", [erasing._LOCK])
    assert run()["entries"] == 1


def test_nothing_is_erased_when_the_entry_cannot_be_written(superuser):
    leave(3)
    superuser("REVOKE INSERT ON audit_auditlog FROM forge_owner")
    try:
        assert "cannot be written" in refused()
    finally:
        superuser("GRANT INSERT ON audit_auditlog TO forge_owner")
    assert run()["entries"] == 3


@pytest.mark.parametrize("steps", range(8))
def test_a_run_that_was_killed_after_any_step_is_repeated(monkeypatch, steps):
    """What others say about the person goes first: where no account has it, the own entries alone know the address."""
    monkeypatch.setattr(erasing, "LIMIT", 2)
    leave(5)
    for _ in range(3):
        about_ann()
    step, left = erasing._step, [steps]

    def killed(*args, **kwargs):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return step(*args, **kwargs)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(erasing, "_step", killed)
        run()
    assert found() == []
    run()
    assert not AuditLog.objects.filter(user_email=EMAIL).exists()
    assert not AuditLog.objects.filter(personal__has_key="context.email").exists()
    assert found() == []


def test_the_application_may_not_erase(make_app_connection):
    receipt = leave_one()
    with pytest.raises(Exception, match="permission denied"):
        make_app_connection().execute("UPDATE audit_auditlog SET salt = NULL")
    assert row_of(receipt).salt is not None


def test_on_the_applications_connection_the_command_says_so_and_changes_nothing(monkeypatch):
    leave(2)
    monkeypatch.setattr(erasing, "OWNER", "default")
    assert "permission denied for table audit_auditlog" in refused()


def test_the_person_is_told_apart_by_whole_addresses():
    found_by = people.Person(None, ("a.b+c@x.io",)).pattern
    leave_one(actor=bob(), action=WITH_PERSONAL, context={"email": "aXb+c@x.io"})
    assert found_by is not None
    assert run(user="a.b+c@x.io")["about"] == 0
    mail = leave_one(actor=bob(), action=WITH_PERSONAL, context={"name": "Write to <A.B+C@x.io>."})
    assert run(user="a.b+c@x.io")["about"] == 1
    assert row_of(mail).personal is None


def test_an_entry_belongs_to_the_transaction_of_the_erasure():
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError):
        append(entry(), using="owner")


# -- what people see ---------------------------------------------------------------------------------------------------


def test_the_api_and_the_console_say_what_was_erased():
    user = MembershipFactory(role="auditor", team=None).user
    here = {"organization_id": user.organization_id}
    own = leave_one(actor=person(**here), action=WITH_PERSONAL, context={"email": EMAIL, "number": 1})
    about = about_ann(actor=bob(**here))
    kept = leave_one(actor=bob(**here))
    run()

    api = APIClient()
    api.force_authenticate(user)
    shown = {row["id"]: row for row in api.get("/api/v1/audit/").json()["results"]}
    assert shown[own.entry_id]["erased"] == ["context.email", "source_ip", "user_agent", "user_email"]
    assert shown[own.entry_id]["user_email"] is None
    assert shown[own.entry_id]["context"] == {"number": 1}
    assert shown[about.entry_id]["erased"] == ["context.email"]
    assert shown[about.entry_id]["user_email"] == "bob@example.com"
    assert shown[kept.entry_id]["erased"] == []
    assert "AUDIT_ERASE" in {row["action_type"] for row in shown.values()}

    console = Client()
    console.force_login(user)
    assert f"{ANN} (erased)" in console.get("/admin/audit/auditlog/").content.decode()
    page = console.get(f"/admin/audit/auditlog/{own.entry_id}/change/").content.decode()
    assert "context.email, source_ip, user_agent, user_email" in page
    assert EMAIL not in page
    page = console.get(f"/admin/audit/auditlog/{about.entry_id}/change/").content.decode()
    assert "bob@example.com" in page
