"""Legal holds: who places and releases them, what they cover, and that nobody removes one."""

import threading
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from audit import holds
from audit.actors import Actor
from audit.models import LegalHold
from audit.searches import SearchTooWide
from audit.services import AuditUnavailable
from forge.accounts.models import Membership
from tests.audit.support import ANN, ORGANIZATION, leave, leave_one, person
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("without_whitenoise"),
]

HOLDS = "/api/v1/audit/holds/"
Role = Membership.Role
NOW = timezone.now()


@pytest.fixture
def organization():
    return OrganizationFactory()


def member(organization, role):
    team = {} if role in Membership.IN_TEAM else {"team": None}
    return MembershipFactory(user=UserFactory(organization=organization), role=role, **team).user


def client_of(user):
    client = APIClient(raise_request_exception=False)
    client.force_login(user)
    return client


def browser_of(user):
    client = Client()
    client.force_login(user)
    return client


def operator():
    return UserFactory(organization=None)


def placed(**criteria):
    user = operator()
    actor = Actor(kind="USER", interface="API", user=user, user_id=user.id)
    return holds.place(actor=actor, reason="case 7", now=NOW, **criteria)


def test_an_admin_places_and_releases_a_hold_and_each_leaves_one_entry(organization, seen):
    admin = client_of(member(organization, Role.ADMIN))
    seen()
    answer = admin.post(HOLDS, {"user_id": str(ANN), "reason": "case 7"}, format="json")
    assert answer.status_code == 201, answer.json()
    hold = answer.json()
    assert (hold["organization_id"], hold["user_id"], hold["is_active"]) == (str(organization.id), str(ANN), True)
    assert answer["Location"] == f"{HOLDS}{hold['id']}/"
    (entry,) = seen()
    assert (entry.action_type, entry.resource_type, entry.resource_id) == ("LEGAL_HOLD_PLACE", "LegalHold", hold["id"])
    assert entry.organization_id == organization.id
    assert entry.full_context == {"reason": "case 7"}
    assert entry.changes["after"] == {"user_id": str(ANN)}
    assert "case 7" not in entry.content

    address = f"{HOLDS}{hold['id']}/release/"
    assert admin.post(address, {"reason": ""}, format="json").status_code == 400
    answer = admin.post(address, {"reason": "settled"}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["is_active"], answer.json()["release_reason"]) == (False, "settled")
    assert [(row.action_type, row.result) for row in seen()] == [
        ("LEGAL_HOLD_RELEASE", "FAILURE"),
        ("LEGAL_HOLD_RELEASE", "SUCCESS"),
    ]
    again = admin.post(address, {"reason": "settled"}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "hold_released")


def test_a_repeated_post_places_one_hold(organization):
    admin = client_of(member(organization, Role.ADMIN))
    answers = [
        admin.post(HOLDS, {"user_id": str(ANN), "reason": "r"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert LegalHold.objects.count() == 1


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.TEAM_LEAD, Role.FINANCE, Role.ENGINEER, Role.CONTRACTOR])
def test_nobody_else_places_or_releases(organization, role):
    hold = placed(organization_id=organization.id, user_id=ANN)
    client = client_of(member(organization, role))
    answer = client.post(HOLDS, {"user_id": str(ANN), "reason": "r"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "may_not_hold")
    expected = 403 if role == Role.AUDITOR else 404
    assert client.post(f"{HOLDS}{hold.id}/release/", {"reason": "r"}, format="json").status_code == expected
    assert LegalHold.objects.get().is_active


def test_each_sees_the_holds_of_the_own_organization(organization):
    own = placed(organization_id=organization.id, user_id=ANN)
    foreign, everywhere = placed(organization_id=OrganizationFactory().id, user_id=ANN), placed(user_id=ANN)

    def seen_by(user):
        return {row["id"] for row in client_of(user).get(HOLDS).json()["results"]}

    for role in (Role.ADMIN, Role.AUDITOR):
        assert seen_by(member(organization, role)) == {str(own.id)}
    assert seen_by(member(organization, Role.TEAM_LEAD)) == set()
    assert seen_by(operator()) == {str(hold.id) for hold in (own, foreign, everywhere)}
    admin = client_of(member(organization, Role.ADMIN))
    assert admin.post(f"{HOLDS}{foreign.id}/release/", {"reason": "r"}, format="json").status_code == 404
    body = {"organization_id": str(foreign.organization_id), "user_id": str(ANN), "reason": "r"}
    assert admin.post(HOLDS, body, format="json").status_code == 403


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, None),
        ({"resource_type": "WorkSpace"}, "resource_id"),
        ({"resource_id": "7"}, "resource_type"),
        ({"period_start": "2026-02-01T00:00:00Z", "period_end": "2026-02-01T00:00:00Z"}, "period_end"),
        ({"user_id": "ann"}, "user_id"),
        ({"user": str(ANN)}, "user"),
        ({"user_id": str(ANN), "reason": " "}, "reason"),
    ],
)
def test_a_hold_that_says_nothing_clear_is_refused(organization, body, wrong):
    answer = client_of(member(organization, Role.ADMIN)).post(HOLDS, {"reason": "r", **body}, format="json")
    assert answer.status_code == 400, answer.json()
    if wrong is None:
        assert answer.json()["code"] == "hold_without_criterion"
    else:
        assert [error["field"] for error in answer.json()["errors"]] == [wrong]
    assert not LegalHold.objects.exists()


def test_the_list_filters(organization):
    kept, gone = (placed(organization_id=organization.id, user_id=ANN) for _ in range(2))
    client = client_of(operator())
    client.post(f"{HOLDS}{gone.id}/release/", {"reason": "r"}, format="json")
    active = client.get(HOLDS, {"is_active": "true"})
    assert [row["id"] for row in active.json()["results"]] == [str(kept.id)]
    assert len(client.get(HOLDS, {"user_id": str(ANN)}).json()["results"]) == 2
    assert client.get(HOLDS, {"user_id": str(uuid.uuid4())}).json()["results"] == []


RELEASE = "UPDATE audit_legalhold SET released_at = now(), released_by = placed_by, release_reason = 'x'"
CHANGES = [
    "UPDATE audit_legalhold SET reason = 'another'",
    f"{RELEASE}, user_id = NULL, period_start = now()",
    "DELETE FROM audit_legalhold",
]


@pytest.mark.parametrize("role", ["forge_app", "forge_owner"])
def test_the_database_lets_nobody_change_or_remove_a_hold(make_app_connection, role):
    placed(user_id=ANN)
    before = list(LegalHold.objects.values())
    session = make_app_connection(role=role, autocommit=True)
    for statement in [*CHANGES, "TRUNCATE audit_legalhold"]:
        with pytest.raises(psycopg.DatabaseError) as refusal:
            session.execute(statement)
        assert refusal.value.sqlstate in ("RF001", "42501"), statement
    assert list(LegalHold.objects.values()) == before

    release = "UPDATE audit_legalhold SET released_at = now(), released_by = placed_by, release_reason = 'x'"
    session.execute(release)
    for statement in (
        release,
        "UPDATE audit_legalhold SET released_at = NULL, released_by = NULL, release_reason = ''",
    ):
        with pytest.raises(psycopg.DatabaseError, match="released once"):
            session.execute(statement)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"resource_type": "WorkSpace"},
        {"user_id": ANN, "reason": ""},
        {"period_start": NOW, "period_end": NOW},
        {"user_id": ANN, "released_at": NOW},
    ],
)
def test_the_database_refuses_a_hold_that_says_nothing_clear(fields):
    with pytest.raises(IntegrityError):
        LegalHold.objects.create(**{"reason": "r", "placed_by": ANN, "placed_at": NOW, **fields})


MONTH = datetime(NOW.year, NOW.month, 1, tzinfo=UTC)
NEXT = (MONTH + timedelta(days=32)).replace(day=1)


@pytest.mark.parametrize(
    ("criteria", "holds_the_month"),
    [
        ({"user_id": ANN}, True),
        ({"user_id": uuid.UUID(int=7)}, True),  # an entry about this person
        ({"user_id": uuid.UUID(int=8)}, False),
        ({"resource_type": "Thing", "resource_id": "0"}, True),
        ({"resource_type": "WorkSpace", "resource_id": "0"}, False),
        ({"user_id": ANN, "resource_type": "User", "resource_id": str(uuid.UUID(int=7))}, False),
        ({"period_start": MONTH}, True),
        ({"period_start": NEXT}, False),
        ({"period_end": MONTH}, False),
        ({"period_end": NEXT, "user_id": ANN, "organization_id": ORGANIZATION}, True),
        ({"user_id": ANN, "organization_id": uuid.UUID(int=9)}, False),
    ],
)
def test_a_period_is_held_by_what_covers_an_entry_of_it(criteria, holds_the_month):
    leave(3)
    about = person(user_id=uuid.UUID(int=5), email="b@example.com")
    leave_one(actor=about, resource_type="User", resource_id=str(uuid.UUID(int=7)))
    hold = placed(**criteria)
    assert holds.over_period(MONTH, NEXT) == ([hold] if holds_the_month else [])
    assert holds.over_period(NEXT, NEXT + timedelta(days=28)) == []

    user = operator()
    actor = Actor(kind="USER", interface="API", user=user, user_id=user.id)
    holds.release(actor=actor, hold=hold, reason="over", now=NOW)
    assert holds.over_period(MONTH, NEXT) == []


def test_without_a_table_every_hold_whose_period_meets_it_counts():
    hold = placed(user_id=uuid.UUID(int=8))
    placed(period_end=MONTH)
    assert holds.over_period(MONTH, NEXT, table=None) == [hold]


def test_a_hold_waits_for_an_erasure_under_way():
    began, done = threading.Event(), []

    def place():
        began.set()
        try:
            placed(user_id=ANN)
            done.append(True)
        finally:
            connection.close()

    thread = threading.Thread(target=place)
    with transaction.atomic(using="owner"):
        holds.block_erasure(using="owner")
        thread.start()
        assert began.wait(10)
        thread.join(0.3)
        assert not done
    thread.join(10)
    assert done == [True]


def test_a_hold_that_cannot_be_recorded_is_not_placed(superuser):
    superuser("REVOKE INSERT ON audit_auditlog FROM forge_owner")
    try:
        with pytest.raises(AuditUnavailable):
            placed(user_id=ANN)
    finally:
        superuser("GRANT INSERT ON audit_auditlog TO forge_owner")
    assert not LegalHold.objects.exists()


CONSOLE = "/admin/audit/legalhold/"


def test_the_console_lists_places_and_releases(organization, seen):
    admin = browser_of(member(organization, Role.ADMIN))
    seen()
    form = {"user_id": str(ANN), "resource_type": "", "resource_id": "", "reason": "case 7"}
    dates = {f"period_{end}_{part}": "" for end in ("start", "end") for part in (0, 1)}
    assert admin.post(f"{CONSOLE}add/", form | dates).status_code == 302
    hold = LegalHold.objects.get()
    assert (hold.organization_id, hold.user_id, hold.reason) == (organization.id, ANN, "case 7")
    page = admin.get(CONSOLE).content.decode()
    assert f"user id {ANN}" in page
    assert "active" in page

    refused = admin.post(f"{CONSOLE}add/", form | dates | {"user_id": ""})
    assert refused.status_code == 200
    assert "names a person, a resource or a period" in refused.content.decode()

    release = f"{CONSOLE}{hold.id}/do/release/"
    assert "cannot be taken back" in admin.get(release).content.decode()
    assert admin.post(release, {"reason": "settled"}).status_code == 302
    assert not LegalHold.objects.get().is_active
    assert [(row.action_type, row.result) for row in seen()] == [
        ("LEGAL_HOLD_PLACE", "SUCCESS"),
        ("LEGAL_HOLD_PLACE", "FAILURE"),
        ("LEGAL_HOLD_RELEASE", "SUCCESS"),
    ]
    assert admin.post(f"{CONSOLE}{hold.id}/delete/").status_code == 403


@pytest.mark.parametrize(
    ("criteria", "covers"),
    [
        ({"user_id": str(ANN)}, True),
        ({"user_id": str(uuid.UUID(int=7))}, True),  # an entry about this person
        ({"user_id": str(uuid.UUID(int=8))}, False),
        ({"resource_type": "User", "resource_id": str(uuid.UUID(int=7))}, True),
        ({"resource_type": "user", "resource_id": str(uuid.UUID(int=7))}, False),
        ({"period_start": "2099-01-01T00:00:00Z"}, False),
        ({"user_id": str(ANN), "period_end": "2020-01-01T00:00:00Z"}, False),
    ],
)
def test_whoever_places_a_hold_learns_whether_it_covers_anything(organization, criteria, covers):
    actor = person(user_id=ANN, organization_id=organization.id)
    leave_one(actor=actor, resource_type="User", resource_id=str(uuid.UUID(int=7)))
    leave_one(actor=person(user_id=uuid.UUID(int=8)))  # of nobody's organization
    admin = member(organization, Role.ADMIN)
    answer = client_of(admin).post(HOLDS, criteria | {"reason": "r"}, format="json")
    assert (answer.status_code, answer.json()["covers_entries"]) == (201, covers)

    given = {name: value.rstrip("Z").split("T") for name, value in criteria.items() if name.startswith("period")}
    dates = {f"{name}_{part}": text for name, pair in given.items() for part, text in enumerate(pair)}
    form = {name: value for name, value in criteria.items() if name not in given}
    page = browser_of(admin).post(f"{CONSOLE}add/", form | dates | {"reason": "r"}, follow=True).content.decode()
    assert ("No entry of the log is covered by this hold yet" in page) is not covers
    assert LegalHold.objects.count() == 2


def test_where_the_log_is_too_big_to_say_so_the_hold_stands_all_the_same(organization, monkeypatch):
    @contextmanager
    def too_wide():
        raise SearchTooWide
        yield

    monkeypatch.setattr(holds, "bounded", too_wide)
    admin = client_of(member(organization, Role.ADMIN))
    answer = admin.post(HOLDS, {"user_id": str(ANN), "reason": "r"}, format="json")
    assert (answer.status_code, answer.json()["covers_entries"]) == (201, None)
    assert LegalHold.objects.count() == 1


def test_an_auditor_only_looks_in_the_console(organization):
    hold = placed(organization_id=organization.id, user_id=ANN)
    auditor = browser_of(member(organization, Role.AUDITOR))
    assert "case 7" in auditor.get(f"{CONSOLE}{hold.id}/change/").content.decode()
    assert auditor.get(f"{CONSOLE}add/").status_code == 403
    auditor.post(f"{CONSOLE}{hold.id}/do/release/", {"reason": "r"})
    assert LegalHold.objects.get().is_active


def test_an_operator_places_one_over_the_installation():
    console = browser_of(operator())
    form = {"organization_id": "", "user_id": "", "resource_type": "", "resource_id": "", "reason": "court"}
    dates = {"period_start_0": "2026-01-01", "period_start_1": "00:00", "period_end_0": "", "period_end_1": ""}
    assert console.post(f"{CONSOLE}add/", form | dates).status_code == 302
    hold = LegalHold.objects.get()
    assert (hold.organization_id, hold.period_start) == (None, datetime(2026, 1, 1, tzinfo=UTC))
