"""A PATCH with the values that are there already changes no row and tells of no change; its entry says that it was."""

import pytest

from tests.audit.test_capture_api import Walked, address, world
from tests.audit.walk.api import CASES
from tests.audit.walk.marks import client_of, told

__all__ = ["world"]

pytestmark = pytest.mark.django_db

CEILINGS = ("idle_minutes", "session_hours", "lifetime_days", "lease_hours", "keep_alive_days")


def fields(*names):
    return lambda shown: {name: shown[name] for name in names}


def choices(shown):
    return {"notifications": [{"kind": one["kind"], "mail": one["mail"]} for one in shown["notifications"]]}


def webhook(shown):
    return {**fields("name", "url", "kinds")(shown), "is_on": shown["state"] == "ON"}


EQUAL = {
    "project-detail": fields("name", "cost_center", "owner"),
    "blueprint-detail": fields("description", "software_manifest", "configuration", "bundles"),
    "workspace-detail": fields("tags"),
    "lifecycle-policy-detail": fields(*CEILINGS),
    "region-latency-detail": fields("milliseconds", "source"),
    "region-policy-detail": fields("regions"),
    "provider-account-detail": fields("services"),
    "budget-detail": fields("amount", "is_active", "on_limit", "recurs", "owner"),
    "me-notifications": choices,
    "webhook-detail": webhook,
}
"""Of each address that takes a PATCH the body that says what its GET has shown."""

QUEUES = {"workspace-detail": 202}
"""Whose PATCH has AWS looked at all the same, as asked: docs/tags.md."""


def state_of(row):
    return None if row is None else type(row)._default_manager.filter(pk=row.pk).values().get()


def test_every_patch_is_here():
    assert {name for name, method in CASES if method == "patch"} == EQUAL.keys()


@pytest.mark.parametrize("is_changed_first", [False, True])
@pytest.mark.parametrize("name", sorted(EQUAL))
def test_equal_values_change_nothing(world, name, is_changed_first):
    walked = Walked(world, (name, "patch"))
    client = client_of(walked.user, "API")
    if is_changed_first:
        _, [entry] = walked.ask(client, row=walked.row)
        assert entry.changes is not None
    read = client.get(address(name, walked.row))
    before = state_of(walked.row)
    walked.body = EQUAL[name](read.json())
    answer, [entry] = walked.ask(client, row=walked.row)
    assert answer.status_code == QUEUES.get(name, 200), answer.content
    assert told([entry]) == [(walked.case.action, "SUCCESS")]
    if name in QUEUES:
        assert entry.changes is not None
        return
    assert entry.changes is None
    assert (answer.json(), answer.get("ETag")) == (read.json(), read.get("ETag"))
    assert state_of(walked.row) == before
