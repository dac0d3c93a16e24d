"""`/api/v1/audit/`: each role sees its part of the log, in pages that miss and repeat nothing."""

import uuid
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from audit import registry
from audit.models import AuditLog
from audit.receipts import Receipt
from forge.accounts.models import Membership
from tests.audit.support import leave, leave_one, person
from tests.factories import MembershipFactory, OrganizationFactory, TeamFactory, UserFactory

pytestmark = pytest.mark.django_db

LOG = "/api/v1/audit/"
Role = Membership.Role
WITH_PERSONAL = registry.register("TEST_WITH_PERSONAL", personal=("email",))


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def organization():
    return OrganizationFactory()


def member(organization, role, team=None):
    user = UserFactory(organization=organization)
    MembershipFactory(user=user, team=team, role=role)
    return user


def client_of(user):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


def leave_for(user, **fields):
    return leave_one(actor=person(user_id=user.id, email=user.email, organization_id=user.organization_id), **fields)


def ids(response):
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


def test_each_role_sees_its_part(organization):
    team, other_team = TeamFactory(organization=organization), TeamFactory(organization=organization)
    people = {
        "contractor": member(organization, Role.CONTRACTOR, team),
        "engineer": member(organization, Role.ENGINEER, team),
        "lead": member(organization, Role.TEAM_LEAD, team),
        "outsider": member(organization, Role.ENGINEER, other_team),
        "finance": member(organization, Role.FINANCE),
        "auditor": member(organization, Role.AUDITOR),
        "admin": member(organization, Role.ADMIN),
    }
    foreigner = member(OrganizationFactory(), Role.ADMIN)
    operator = UserFactory(organization=None)
    entries = {name: leave_for(user).entry_id for name, user in people.items()}
    everything = set(entries.values())
    foreign = leave_for(foreigner).entry_id
    leave_one(actor=person(organization_id=None, user_id=None))

    def seen_by(user):
        return set(ids(client_of(user).get(LOG)))

    assert seen_by(people["contractor"]) == {entries["contractor"]}
    assert seen_by(people["engineer"]) == {entries["engineer"]}
    assert seen_by(people["lead"]) == {entries["contractor"], entries["engineer"], entries["lead"]}
    assert seen_by(people["finance"]) == set()
    assert seen_by(people["auditor"]) == everything
    assert seen_by(people["admin"]) == everything
    assert seen_by(foreigner) == {foreign}
    assert seen_by(operator) > everything | {foreign}
    assert APIClient().get(LOG).status_code == 401


def test_an_entry_of_another_organization_is_not_there(organization):
    admin = client_of(member(organization, Role.ADMIN))
    foreign = leave_one().entry_id
    assert admin.get(f"{LOG}{foreign}/").status_code == 404
    assert AuditLog.objects.filter(action_type="ACCESS_DENIED", resource_id=str(foreign), result="DENIED").count() == 1
    assert admin.get(f"{LOG}0/").status_code == 404
    assert admin.get(f"{LOG}nonsense/").status_code == 404


def test_the_detail_shows_the_entry_with_its_personal_values_and_hashes(organization):
    admin = member(organization, Role.ADMIN)
    receipt = leave_for(
        admin,
        action=WITH_PERSONAL,
        context={"email": "bob@example.com", "reason": "r"},
        changes={"before": None, "after": {"email": "bob@example.com", "role": "engineer"}},
    )
    body = client_of(admin).get(f"{LOG}{receipt.entry_id}").json()
    assert body["context"] == {"email": "bob@example.com", "reason": "r"}
    assert body["changes"] == {"before": None, "after": {"email": "bob@example.com", "role": "engineer"}}
    assert (body["user_email"], body["source_ip"]) == (admin.email, "198.51.100.7")
    assert Receipt.parse(body["receipt"]) == receipt
    assert body["log_hash"] == receipt.log_hash.hex()
    assert not {"salt", "content", "personal", "lane"} & body.keys()


def test_nothing_can_be_written(organization):
    admin = client_of(member(organization, Role.ADMIN))
    receipt = leave_one()
    for method in ("post", "put", "patch", "delete"):
        assert getattr(admin, method)(LOG, {}).status_code == 405
        assert getattr(admin, method)(f"{LOG}{receipt.entry_id}/", {}).status_code == 405


FILTERS = [
    ("action_type=TEST_WITH_PERSONAL", [1]),
    ("action_type__in=TEST_WITH_PERSONAL,OTHER", [2, 1, 0]),
    ("resource_id=r-1", [1]),
    ("resource_type=Machine", [2]),
    ("result=DENIED", [2]),
    ("result__in=DENIED,FAILURE", [2]),
    ("interface=CLI", [0]),
    ("actor_kind=JOB", []),
    ("source_ip=203.0.113.5", [2]),
    ("source_ip=2001:DB8::0:7", [0]),
    ("user_id={bob}", [1]),
    ("user_email=Bob@Example.com", [1]),
    ("credential_id={bob}", []),
    ("organization_id={bob}", []),
    ("q=THING+did", [2, 1, 0]),
    ("q=nothing+did", []),
    ("q=100%25_", []),
    ("user_id__in={bob},{bob}", [1]),
    ("correlation_id={correlation}", [1]),
    ("timestamp__gte={second}", [2, 1]),
    ("timestamp__lt={second}", [0]),
    ("occurred_at__gte={last_year}&occurred_at__lt={now}", [0]),
    ("result=SUCCESS&user_id={bob}&action_type=OTHER", []),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters(organization, query, expected):
    admin, bob, correlation = member(organization, Role.ADMIN), uuid.uuid4(), uuid.uuid4()
    now = timezone.now()

    def actor(**fields):
        return person(organization_id=organization.id, **fields)

    receipts = [
        leave_one(
            actor=actor(interface="CLI", source_ip="2001:db8::7"),
            occurred_at=now - timedelta(days=200),
            result="SUCCESS",
        ),
        leave_one(
            actor=actor(user_id=bob, email="bob@example.com", correlation_id=correlation),
            action=WITH_PERSONAL,
            resource_id="r-1",
        ),
        leave_one(actor=actor(source_ip="203.0.113.5"), resource_type="Machine", result="DENIED"),
    ]
    second = AuditLog.objects.get(id=receipts[1].entry_id).timestamp
    values = {
        "bob": bob,
        "correlation": correlation,
        "second": quote(second.isoformat()),
        "last_year": quote((now - timedelta(days=365)).isoformat()),
        "now": quote((now - timedelta(days=1)).isoformat()),
    }
    found = ids(client_of(admin).get(f"{LOG}?{query.format(**values)}"))
    assert found == [receipts[number].entry_id for number in expected]


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "action_type=NEVER_DECLARED",
        "source_ip=nobody",
        "result=MAYBE",
        "user_id=1",
        "timestamp__gte=x",
        "q=",
        "q=a+b+c+d+e+f+g+h+i",
        "user_email=",
        "organization_id=1",
    ],
)
def test_a_filter_that_cannot_be_meant_is_400(organization, query):
    response = client_of(member(organization, Role.ADMIN)).get(f"{LOG}?{query}")
    assert response.status_code == 400
    assert response.json()["errors"]


def test_pages_show_each_entry_once_over_equal_timestamps(organization):
    admin = client_of(member(organization, Role.ADMIN))
    receipts = leave(30, actor=person(organization_id=organization.id))
    seen, address = [], f"{LOG}?page_size=7"
    while address:
        body = admin.get(address).json()
        seen += [row["id"] for row in body["results"]]
        address = body["next"]
    assert seen == [receipt.entry_id for receipt in reversed(receipts)]
