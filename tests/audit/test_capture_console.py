"""Every form, button, bulk action and page of the console leaves exactly the entry it owes, with before and after."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from forge.db import partitions
from tests import world as worlds
from tests.audit.walk import console
from tests.audit.walk.console import ADD, BULK, BUTTONS, FORMS, NEW_PASSWORD, OF_A_MODEL, OWN_PAGES, PAGES
from tests.audit.walk.marks import browser, check_fields, check_receipt, left_by, nowhere, told, undone
from tests.factories import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("listed_machines_stand")]

ADMINS = {model._meta.model_name: model_admin for model, model_admin in admin.site._registry.items()}
ROLES = ("operator", "admin", "finance", "auditor", "lead")


@pytest.fixture(scope="module", autouse=True)
def yesterdays_samples(django_db_setup, django_db_blocker):
    """The months of the samples that some rows need; what was made for them goes with them."""
    now = timezone.now()
    with django_db_blocker.unblock():
        made = partitions.ensure("workspaces_usagesample", (now - timedelta(days=3)).date(), now.date())
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def person(world):
    made = {}

    def of(role):
        if role not in made:
            made[role] = console.operator(world) if role == "operator" else getattr(world, role)
        return made[role]

    return of


def request_of(user):
    request = RequestFactory().get("/admin/")
    request.user = user
    return request


def address(model, end, *args):
    return reverse(f"admin:{ADMINS[model].opts.app_label}_{model}_{end}", args=args)


def shown(answer):
    """What a form that is shown again says of itself, for the message of a failed test."""
    return answer.context and (answer.context.get("errors") or [str(one) for one in answer.context.get("messages", ())])


def suffix(pattern):
    return (pattern.name or "").rpartition("_")[2]


def test_every_form_button_bulk_action_and_page_has_a_case_and_no_case_is_without_one(person):
    found = {"form": set(), "button": set(), "bulk": set(), "page": set()}
    for model, one in ADMINS.items():
        for role in ROLES:
            request = request_of(person(role))
            may = {name: getattr(one, f"has_{name}_permission") for name in ("add", "change", "delete")}
            found["form"] |= {(model, name) for name, asks in may.items() if asks(request)}
            found["bulk"] |= {(model, name) for name in one.get_actions(request)}
        found["button"] |= {(model, button.name) for button in one.buttons}
        own = {suffix(pattern) for pattern in one.get_urls() if pattern.name} - OF_A_MODEL
        found["page"] |= {(model, name) for name in own}
    known = {"form": FORMS, "button": BUTTONS, "bulk": BULK, "page": OWN_PAGES}
    for kind, names in found.items():
        for model, name in sorted(names - known[kind].keys()):
            where = ADD[kind].format(model=model, name=name)
            pytest.fail(f"The console has no case for {name} of {model}. Add to {where}")

        assert known[kind].keys() - names == set(), f"these {kind} cases are of what is gone"


def test_every_page_of_the_site_is_known():
    ours = {f"{one.opts.app_label}_{model}_{end}" for model, one in ADMINS.items() for end in OF_A_MODEL}
    ours |= {f"{ADMINS[model].opts.app_label}_{model}_{name}" for model, name in OWN_PAGES}
    names = {pattern.name for pattern in flat(admin.site.get_urls()) if pattern.name}
    for name in sorted(names - ours - PAGES.keys()):
        pytest.fail(f"The console has no case for its page {name}. Add to {ADD['page'].format(model='', name=name)}")


def flat(patterns):
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from flat(pattern.url_patterns)
        else:
            yield pattern


def changed(entries, *, action, result="SUCCESS"):
    """The one entry, with its before and after."""
    assert told(entries) == [(action, result)]
    (entry,) = entries
    if result == "SUCCESS":
        assert entry.changes.keys() == {"before", "after"}
        assert entry.changes["before"] is not None or entry.changes["after"] is not None
    return entry


@pytest.mark.parametrize("key", sorted(FORMS), ids="-".join)
def test_forms(world, person, key):
    (model, end), case = key, FORMS[key]
    row = case.row(world) if case.row else None
    path = address(model, end, *([row.pk] if row else []))
    user, resource = person(case.by), ADMINS[model].opts.object_name
    with undone():
        answer, entries = left_by(lambda: browser(user).post(path, case.fields(world)))
        assert answer.status_code == case.status, shown(answer)
        if answer.streaming:
            list(answer.streaming_content)
        check_receipt(answer, entries)
    entries = without_sign_in(entries)
    entry = changed(entries, action=case.action)
    check_fields(entry, user=user, interface="ADMIN", resource=case.resource or resource)
    assert entry.resource_id
    if row is not None:
        assert entry.changes["before"] != entry.changes["after"]

    with undone():
        answer, entries = left_by(lambda: browser(user).post(path, {"name": ""} if row is None else {"is_paused": "x"}))
        assert answer.status_code == 200 or row is not None
    if row is None:
        refused(entries, case.action, "FAILURE", user=user, resource=resource)
    for other in map(person, case.denied):
        with undone():
            answer, entries = left_by(lambda: browser(other).post(path, case.fields(world)))  # noqa: B023
        refused(entries, case.action, "DENIED", user=other, resource=resource)


def without_sign_in(entries):
    return [entry for entry in entries if entry.action_type != "AUTH_LOGIN"]


def refused(entries, action, result, *, user, resource, resource_id=None):
    entries = without_sign_in(entries)
    assert told(entries) == [(action, result)]
    check_fields(entries[0], user=user, interface="ADMIN", resource=resource, resource_id=resource_id)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("key", sorted(BUTTONS), ids="-".join)
def test_buttons(world, person, key):
    (model, name), case = key, BUTTONS[key]
    user, resource = person(case.by), ADMINS[model].opts.object_name
    row = case.row(world)
    path, console_of = address(model, "button", row.pk, name), browser(user)

    with undone():
        answer, entries = left_by(lambda: console_of.post(path, case.fields(row)))
        assert answer.status_code == case.status, shown(answer)
        check_receipt(answer, entries)
    if case.leaves:
        assert told(entries) == list(case.leaves)
    else:
        changed(entries, action=case.action)
        assert entries[0].changes["before"] != entries[0].changes["after"]
    check_fields(entries[0], user=user, interface="ADMIN")
    assert entries[0].resource_type
    assert entries[0].resource_id

    facts = {"user": user, "resource": resource}
    if case.fields(row):
        with undone():
            _, entries = left_by(lambda: console_of.post(path, {"amount": "x", "owner": "x", "valid_to_0": "x"}))
        refused(entries, case.action, "FAILURE", **facts, resource_id=row.pk)
    missing = nowhere()
    with undone():
        _, entries = left_by(lambda: console_of.post(address(model, "button", missing, name)))
    refused(entries, case.action, "FAILURE", **facts, resource_id=missing)
    if not user.is_operator:  # to whom no organization is foreign
        foreign = case.row(worlds.build()).pk
        with undone():
            _, entries = left_by(lambda: console_of.post(address(model, "button", foreign, name)))
        refused(entries, case.action, "DENIED", **facts, resource_id=foreign)
    for other in (world.engineer, world.auditor):
        with undone():
            _, entries = left_by(lambda: browser(other).post(path, case.fields(row)))  # noqa: B023
        refused(entries, case.action, "DENIED", user=other, resource=resource, resource_id=row.pk)


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("model", sorted(ADMINS))
def test_what_nobody_may_do_in_the_console_is_denied(world, person, model):
    """Adding and changing where there is no form for it, deleting everywhere, Django's own bulk deletion."""
    for role in ("operator", "admin"):
        user = person(role)
        client = browser(user)
        ends = {("add", ()), ("change", (nowhere(),)), ("delete", (nowhere(),)), ("changelist", ())}
        for end, args in sorted(ends):
            if (model, end) in FORMS:
                continue
            data = {"action": "delete_selected", "_selected_action": "1", "post": "yes"}
            _, entries = left_by(lambda: client.post(address(model, end, *args), data))  # noqa: B023
            assert [entry.result for entry in entries] in (["DENIED"], ["FAILURE"]), (model, end, entries)
            resource = ADMINS[model].opts.object_name
            check_fields(entries[0], user=user, interface="ADMIN", resource=resource, resource_id="".join(args))


def test_pages_that_only_read_leave_a_failure_when_they_are_posted_to(world):
    client = browser(world.admin)
    for name in sorted(name for name, kind in PAGES.items() if kind == "reads"):
        args = {"view_on_site": ["1", "1"], "app_list": ["audit"]}.get(name, [])
        _, entries = left_by(lambda: client.post(reverse(f"admin:{name}", args=args)))  # noqa: B023
        assert [entry.result for entry in entries] in (["FAILURE"], ["DENIED"]), name
        check_fields(entries[0], user=world.admin, interface="ADMIN")


def test_signing_in_out_and_failing(world):
    user, client = world.admin, browser(None)
    for password, expected in (("wrong", ("AUTH_FAILED", "DENIED")), (PASSWORD, ("AUTH_LOGIN", "SUCCESS"))):
        _, entries = left_by(lambda: client.post("/admin/login/", {"username": user.email, "password": password}))  # noqa: B023
        assert told(entries) == [expected]
        check_fields(entries[0], user=user if expected[1] == "SUCCESS" else None, interface="ADMIN")
    _, entries = left_by(lambda: client.post("/admin/logout/"))
    assert told(entries) == [("AUTH_LOGOUT", "SUCCESS")]
    check_fields(entries[0], user=user, interface="ADMIN", resource="User", resource_id=user.pk)


def test_ones_own_password(world):
    client, path = browser(world.admin), reverse("admin:password_change")
    _, entries = left_by(lambda: client.post(path, NEW_PASSWORD | {"old_password": "wrong"}))
    assert told(entries) == [("PASSWORD_CHANGE", "FAILURE")]
    _, entries = left_by(lambda: client.post(path, NEW_PASSWORD))
    assert told(entries) == [("PASSWORD_CHANGE", "SUCCESS")]
    check_fields(entries[0], user=world.admin, interface="ADMIN", resource="User", resource_id=world.admin.pk)


def test_somebody_without_a_session_changes_nothing_and_is_denied(world):
    for (model, name), case in sorted(BUTTONS.items())[:3]:
        with undone():
            row = case.row(world)
            _, entries = left_by(lambda: browser(None).post(address(model, "button", row.pk, name)))  # noqa: B023
        assert told(entries) == [("AUTH_FAILED", "DENIED")]
        assert AnonymousUser().is_anonymous
        check_fields(entries[0], user=None, interface="ADMIN", resource_id=row.pk)
