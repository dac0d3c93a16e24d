"""Every changing address of the API, in every outcome and over every interface, leaves exactly the entry it owes."""

from datetime import timedelta

import pytest
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from tests import world as worlds
from tests.audit.walk import rows
from tests.audit.walk.api import ADD, CASES
from tests.audit.walk.marks import (
    INTERFACES,
    check_fields,
    check_receipt,
    client_of,
    left_by,
    nowhere,
    told,
    undone,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("listed_machines_stand")]

OPEN = {"schema", "docs"}
"""Shown to everybody, so they ask nobody who it is."""

CHANGING = ("post", "put", "patch", "delete")


def routes(patterns=None, prefix=""):
    """(name, view function) of every address under /api/v1/."""
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLPattern):
            if prefix.startswith("api/v1/") or str(pattern.pattern).startswith("^api/v1/"):
                yield pattern.name, pattern.callback, list(pattern.pattern.regex.groupindex)
        else:
            yield from routes(pattern.url_patterns, prefix + str(pattern.pattern))


ROUTES = list(routes())
ACCEPTED = {(name, method) for name, view, _ in ROUTES for method in getattr(view, "actions", {}) if method in CHANGING}
VIEWS = {name: (view, keys) for name, view, keys in ROUTES}


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def address(name, row):
    keys = VIEWS[name][1]
    return reverse(name, kwargs=dict.fromkeys(keys, str(getattr(row, "pk", row)))) if keys else reverse(name)


class Walked:
    """One case in one world, asked again and again; what an answer has changed is undone."""

    def __init__(self, world, key):
        (self.name, self.method), self.case = key, CASES[key]
        self.user = getattr(world, self.case.by)
        self.row = self.case.row(world) if self.case.row else None
        self.body = self.case.body(world) if self.case.body else None
        self.content = self.case.content(world) if self.case.content else None

    def ask(self, client, *, row, query="", content=None, **headers):
        send, path = getattr(client, self.method), address(self.name, row) + query
        content = content or self.content
        if content is not None:
            return left_by(lambda: send(path, content[0], content_type=content[1], **headers))
        return left_by(lambda: send(path, self.body, **({} if self.body is None else {"format": "json"}), **headers))

    def succeeds(self, client, interface, **headers):
        with undone():
            answer, entries = self.ask(client, row=self.row, **headers)
        assert answer.status_code == self.case.status, answer.content
        assert told(entries) == self.case.success
        for entry in entries:
            check_fields(entry, user=self.user, interface=interface)
            assert entry.resource_type
            assert entry.resource_id
            assert entry.changes is not None or entry.result != "SUCCESS"
        if entries:
            check_receipt(answer, entries)

    def refused(
        self, client, status, result, *, interface="API", user=..., action=None, row=None, first=None, **request
    ):
        """Exactly one entry of that result, or none where the address only reads and nothing was denied."""
        row = self.row if row is None else row
        with undone():
            if first is not None:
                first(row)
            answer, entries = self.ask(client, row=row, **request)
        assert answer.status_code == status, answer.content
        if self.case.is_read and result != "DENIED":
            assert entries == []
            return
        assert told(entries) == [(action or self.case.action or "ACCESS_DENIED", result)], answer.content
        user = self.user if user is ... else user
        resource_id = "" if row is None else getattr(row, "pk", row)
        check_fields(entries[0], user=user, interface=interface, resource=self.case.resource, resource_id=resource_id)
        assert entries[0].context["status"] == status
        check_receipt(answer, entries)


def test_every_route_and_method_of_the_api_has_a_case_and_no_case_is_without_a_route():
    for name, method in sorted(ACCEPTED - CASES.keys()):
        pytest.fail(ADD.format(name=name, method=method))
    assert CASES.keys() - ACCEPTED == set(), "these cases of tests/audit/walk/api.py are of routes that are gone"


def test_every_view_of_the_api_is_read_only_or_a_viewset_whose_methods_the_walk_sees():
    """A plain view with a `post` would not be in ACCEPTED."""
    plain = [view.cls for _, view, _ in ROUTES if not getattr(view, "actions", None)]
    assert [cls for cls in plain if any(hasattr(cls, method) for method in CHANGING)] == []


@pytest.mark.parametrize("key", sorted(CASES), ids="-".join)
def test_success_failure_and_denial_over_every_interface(world, key, share):
    """In the share of `make test` each case is walked over one interface, in turn, and over those it is closed to."""
    walked = Walked(world, key)
    in_turn = share(INTERFACES, len(INTERFACES), sorted(CASES).index(key))
    for interface in {*in_turn, *walked.case.denied_interfaces}:
        client = client_of(walked.user, interface)
        if interface in walked.case.denied_interfaces:
            walked.refused(client, 403, "DENIED", interface=interface)
            continue
        walked.succeeds(client, interface)
        walked.refused(client, 400, "FAILURE", interface=interface, query="?nonsense=1")
        if walked.case.denied_to is not None:
            other = getattr(world, walked.case.denied_to)
            walked.refused(client_of(other, interface), 403, "DENIED", interface=interface, user=other)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("key", sorted(CASES), ids="-".join)
def test_bad_bodies_missing_and_foreign_rows_narrow_tokens_conflicts_and_strangers(world, key):
    walked = Walked(world, key)
    case, client = walked.case, client_of(walked.user, "API")
    walked.refused(client_of(walked.user, "API", scopes=("write",) if case.is_read else ("read",)), 403, "DENIED")
    if case.body is not None:
        walked.refused(client, 400, "FAILURE", content=("{", "application/json"))
    if case.body is not None or case.content is not None:
        walked.refused(client, 415, "FAILURE", content=("<x/>", "text/xml"))
    if case.row is not None:
        walked.refused(client, 404, "FAILURE", row=nowhere())
        walked.refused(client, 404, "DENIED", row=case.row(worlds.build()).pk)
    if case.conflict is not None:
        walked.refused(client, 409, "FAILURE", first=case.conflict)
    walked.refused(client_of(None, "API"), 401, "DENIED", user=None, action="AUTH_FAILED")


VERSIONED = sorted(key for key in CASES if CASES[key].row is not None and getattr(VIEWS[key[0]][0].cls, "has_etag", 0))


@pytest.mark.parametrize("key", VERSIONED, ids="-".join)
def test_a_change_bound_to_what_was_read_is_refused_once_it_is_another(world, key):
    walked = Walked(world, key)
    client = client_of(walked.user, "API")
    detail = VIEWS[key[0]][0].initkwargs["basename"] + "-detail"
    read = client.get(address(detail, walked.row))["ETag"]
    walked.refused(client, 412, "FAILURE", HTTP_IF_MATCH='"another"')
    walked.refused(client, 400, "FAILURE", HTTP_IF_MATCH="no quotes")
    walked.succeeds(client, "API", HTTP_IF_MATCH=f'"another", {read}')


def test_methods_that_an_address_does_not_take_are_failures(world):
    client, tried, open_ones = client_of(world.admin, "API"), 0, 0
    for name, view, _ in ROUTES:
        actions = getattr(view, "actions", {"get": ""})
        for method in set(CHANGING) - actions.keys():
            answer, entries = left_by(lambda: getattr(client, method)(address(name, nowhere())))  # noqa: B023
            assert answer.status_code == 405, (name, method)
            tried += 1
            if name in OPEN:
                open_ones += 1
                if open_ones > 1:  # of one address and minute: they are counted
                    assert entries == [], (name, method)
                    continue
            assert [entry.result for entry in entries] == ["FAILURE"], (name, method)
            check_fields(entries[0], user=None if name in OPEN else world.admin, interface="API")
            check_receipt(answer, entries)
    assert tried >= 100


FOREIGN = {
    "organization-detail": lambda world: world.organization,
    "team-detail": lambda world: world.team,
    "project-detail": lambda world: world.project,
    "cost-center-detail": lambda world: world.project,
    "member-detail": rows.membership,
    "service-account-detail": rows.service,
    "operation-detail": rows.operation,
    "blueprint-detail": rows.draft,
    "workspace-detail": rows.machine,
    "workspace-history": rows.machine,
    "workspace-why": rows.machine,
    "workspace-leases": rows.machine,
    "workspace-tags": rows.machine,
    "workspace-quarantines": rows.machine,
    "finding-detail": rows.finding,
    "attestation-detail": rows.attestation,
    "lifecycle-policy-detail": rows.policy,
    "application-detail": rows.stack,
    "workspace-configurations": rows.machine,
    "workspace-attributions": rows.leaving_its_project,
    "region-latency-detail": rows.latency,
    "region-policy-detail": rows.region_policy,
    "provider-account-detail": lambda world: world.account,
    "unmanaged-machine-detail": rows.unmanaged,
    "price-detail": rows.price,
    "bill-detail": rows.bill,
    "tag-key-detail": rows.tag_key,
    "issued-report-detail": rows.issued_report,
    "advice-detail": rows.advice,
    "budget-detail": rows.budget,
    "budget-reservations": rows.budget,
    "budget-raise-detail": rows.budget_raise,
    "audit-hold-detail": rows.hold,
    "audit-export-detail": rows.export,
    "webhook-detail": rows.webhook,
    "webhook-delivery-detail": rows.webhook_delivery,
}
"""A row for each address that shows one; of another organization it is answered 404 and recorded as denied."""

OF_NOBODY = {
    "audit-detail", "audit-proof-detail", "audit-checkpoint-detail", "audit-verification-detail",
    "audit-export-download", "workspace-connect",
}  # fmt: skip
"""Reads of the log itself: tests/audit/test_api.py, test_proofs_api.py, test_verifications_api.py. A download leaves an
entry of its own: test_export_operations.py; so does the way into another person's machine:
tests/workspaces/test_applications.py."""


def test_reading_another_organizations_row_is_denied_and_reading_ones_own_leaves_nothing(world):
    shown = {name for name, view, keys in ROUTES if keys and "get" in getattr(view, "actions", {"get": ""})}
    assert shown - FOREIGN.keys() - OF_NOBODY == set(), "add how to make such a row to FOREIGN of this file"
    other, client = worlds.build(), client_of(world.admin, "API")
    for name, make in FOREIGN.items():
        with undone():
            foreign = make(other)
            answer, entries = left_by(lambda: client.get(address(name, foreign)))  # noqa: B023
            assert answer.status_code == 404, name
            assert told(entries) == [("ACCESS_DENIED", "DENIED")], name
            check_fields(entries[0], user=world.admin, interface="API", resource_id=foreign.pk)
            assert entries[0].resource_type, name
            own = make(world)
            answer, entries = left_by(lambda: client.get(address(name, own)))  # noqa: B023
            assert (answer.status_code, entries) == (200, []), name
