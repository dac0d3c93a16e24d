"""A form of the console that shows what a row has does not undo what others changed behind it."""

import re
from datetime import timedelta
from decimal import Decimal
from inspect import signature
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Budget
from budgets.services import change as change_budget
from forge.accounts import services
from forge.accounts.models import Project
from forge.adminkit.buttons import SEEN
from forge.adminkit.problems import CHANGED_MEANWHILE
from tests import world as worlds
from tests.audit.walk import rows
from tests.audit.walk.console import BUTTONS, FORMS
from tests.factories import BudgetFactory, ProviderAccountFactory
from workspaces import providers
from workspaces.models import ProviderAccount

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def browser(world):
    client = Client()
    client.force_login(world.admin)
    return client


def press(browser, address, **fields):
    """The form as it was sent, with what `address` shows hidden in it; a second call sends it again."""
    page = browser.get(address).content.decode()
    seen = re.search(rf'<input type="hidden" name="{SEEN}" value="([^"]+)"', page)[1]
    return lambda: browser.post(address, {SEEN: seen, **fields})


def refused(answer):
    """Whether the answer is the form again, which says so and what to do."""
    page = answer.content.decode()
    return answer.status_code == 200 and CHANGED_MEANWHILE in page and "Look at it again" in page


def entry():
    row = AuditLog.objects.order_by("timestamp", "id").last()
    return row.action_type, row.result, row.context.get("code")


def change(world, **wanted):
    services.change_project(
        actor=worlds.actor(world.admin), project_id=world.project.pk, wanted=wanted, now=timezone.now()
    )


def test_a_form_of_a_project_does_not_bring_back_the_cost_center_before(world, browser):
    address = f"/admin/accounts/project/{world.project.pk}/do/change/"
    send = press(browser, address, name="Renamed", cost_center=world.project.cost_center, owner="")
    change(world, cost_center="set-by-another")
    answer = send()
    assert refused(answer)
    assert 'value="Renamed"' in answer.content.decode()
    assert entry() == ("PROJECT_UPDATE", "FAILURE", "precondition_failed")
    project = Project.objects.get(pk=world.project.pk)
    assert (project.name, project.cost_center) == (world.project.name, "set-by-another")
    assert refused(send())
    send = press(browser, address, name="Renamed", cost_center="set-by-another", owner="")
    assert send().status_code == 302
    assert Project.objects.get(pk=world.project.pk).name == "Renamed"


def test_what_has_no_version_is_compared_with_what_was_shown(world, browser):
    account = ProviderAccountFactory(organization=world.organization)
    address = f"/admin/workspaces/provideraccount/{account.pk}/do/volume-key/"
    actor = worlds.actor(world.admin)
    send = press(browser, address, volume_key="alias/mine")
    providers.set_volume_key(actor=actor, provider_account=account, volume_key="alias/theirs")
    assert refused(send())
    assert ProviderAccount.objects.get(pk=account.pk).volume_key == "alias/theirs"
    send = press(browser, address, volume_key="alias/mine")
    providers.set_enabled(actor=actor, provider_account=account, enabled=not account.enabled)  # not in this form
    assert send().status_code == 302
    assert ProviderAccount.objects.get(pk=account.pk).volume_key == "alias/mine"


def test_an_amount_that_was_decided_on_another_one_is_not_set(world):
    budget = BudgetFactory(
        organization=world.organization,
        scope="TEAM",
        scope_id=world.team.id,
        amount=20_000,
        period_end=rows.hour(ahead=99),
    )
    client = Client()
    client.force_login(world.finance)
    address = f"/admin/budgets/budget/{budget.pk}/do/amount/"
    assert "The amount is 20,000.00 USD" in client.get(address).content.decode()
    send = press(client, address, amount="800")
    change_budget(actor=worlds.actor(world.admin), budget_id=budget.pk, amount=Decimal(900), now=timezone.now())
    assert refused(send())
    assert Budget.objects.get(pk=budget.pk).amount == 900
    answer = client.post(address, {"amount": "800"}, follow=True)
    assert "The amount is 800.00 USD now." in answer.content.decode()


def test_a_project_sent_as_it_is_leaves_no_change(world, browser):
    address = f"/admin/accounts/project/{world.project.pk}/do/change/"
    project = world.project
    answer = press(browser, address, name=project.name, cost_center=project.cost_center, owner="")()
    assert "Every field is as it is already." in answer.content.decode()
    assert entry() == ("PROJECT_UPDATE", "FAILURE", "nothing_to_change")


PREFILLED = {
    (model._meta.model_name, button.name): button
    for model, one in admin.site._registry.items()
    for button in getattr(one, "buttons", ())
    if button.initial or button.is_versioned
}
BEHIND: dict[tuple[str, str], dict[str, Any]] = {
    ("budget", "amount"): {"amount": 8},
    ("budget", "off"): {"amount": 8},
    ("budget", "on"): {"amount": 8},
    ("budget", "owner"): {"amount": 8},
    ("budget", "raise"): {"amount": 8},
    ("budget", "thresholds"): {"amount": 8},
    ("budget", "transfer"): {"recurs": "MONTHLY"},
    ("lifecyclepolicy", "ceilings"): {"idle_minutes": 45},
    ("project", "change"): {"cost_center": "set-by-another"},
    ("provideraccount", "services"): {"services": ["WORKSPACES_PERSONAL"]},
    ("provideraccount", "volume-key"): {"volume_key": "alias/theirs"},
    ("regionlatency", "latency"): {"milliseconds": 33},
    ("regionpolicy", "regions"): {"regions": ["eu-west-1"]},
    ("webhook", "change"): {"name": "theirs"},
    ("workspace", "modify"): {"tags": {"by": "another"}},
    ("workspace", "move"): {"tags": {"by": "another"}},
    ("workspace", "tag"): {"tags": {"by": "another"}},
}
"""What somebody else makes of the row behind each form that shows what the row has; its row and what is filled in are
those of BUTTONS in tests/audit/walk/console.py."""


def test_every_form_that_shows_what_a_row_has_is_tried_and_says_how_it_is_compared():
    assert set(PREFILLED) == set(BEHIND), "add to BEHIND what somebody else changes, or take out what is gone"
    for button in PREFILLED.values():
        assert ("if_match" in signature(button.run).parameters) == button.is_versioned, button.name
    changes = ("_UPDATE", "_MODIFY", "_MOVE", "_TAG", "_RAISE", "_TRANSFER")
    free = {
        (model._meta.model_name, button.name)
        for model, one in admin.site._registry.items()
        for button in getattr(one, "buttons", ())
        if button.form.base_fields and button.audit_action.endswith(changes)
    }
    assert free <= set(BEHIND), "a form that changes what a row has tells it, so it is compared"
    # Django's own form of a row carries nothing to compare; this one sets all that its row has.
    assert {model for model, end in FORMS if end == "change"} == {"jobswitch"}


def changed_behind(row, fields):
    """The row as somebody else has left it, which its version or its times tell."""
    names = {field.name for field in row._meta.get_fields()}
    told = {"version": F("version") + 1} if "version" in names else {"updated_at": timezone.now()}
    type(row)._default_manager.filter(pk=row.pk).update(**fields, **told)
    return as_kept(row)


def as_kept(row):
    return type(row)._default_manager.filter(pk=row.pk).values().get()


@pytest.mark.parametrize("key", sorted(BEHIND), ids="-".join)
def test_a_form_that_was_opened_before_somebody_else_changed_the_row_changes_nothing(world, key):
    (model, name), case, button = key, BUTTONS[key], PREFILLED[key]
    row = case.row(world)
    client = Client()
    client.force_login(getattr(world, case.by))
    address = reverse(f"admin:{row._meta.app_label}_{model}_button", args=[row.pk, name])
    send = press(client, address, **case.fields(row))
    theirs = changed_behind(row, BEHIND[key])
    answer = send()
    if button.form.base_fields:
        assert refused(answer)
    else:  # nothing was filled in that would be lost, so the row's own page says it
        assert CHANGED_MEANWHILE in client.get(answer["Location"]).content.decode()
    assert as_kept(row) == theirs
    assert entry() == (button.audit_action, "FAILURE", "precondition_failed")
    assert press(client, address, **case.fields(row))().status_code == case.status
    assert as_kept(row) != theirs or model == "budget"  # whose thresholds are rows of their own
