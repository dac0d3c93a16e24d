"""A form of the console that shows what a row has does not undo what others changed behind it."""

import re
from datetime import timedelta
from inspect import signature

import pytest
from django.contrib import admin
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts import services
from forge.accounts.models import Project
from forge.adminkit.buttons import SEEN
from forge.adminkit.problems import CHANGED_MEANWHILE
from tests import world as worlds
from tests.factories import ProviderAccountFactory, WorkSpaceFactory
from workspaces import providers
from workspaces.models import ProviderAccount, WorkSpace

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


@pytest.mark.parametrize(("name", "fields"), [("move", {"project": ""}), ("tag", {"tags": "stage=test"})])
def test_a_form_of_a_machine_does_not_undo_a_change_of_it(world, browser, name, fields):
    machine = WorkSpaceFactory(organization=world.organization, team=world.team, owner=world.engineer)
    send = press(browser, f"/admin/workspaces/workspace/{machine.pk}/do/{name}/", team=world.team.slug, **fields)
    WorkSpace.objects.filter(pk=machine.pk).update(tags={"by": "another"}, version=machine.version + 1)
    assert refused(send())
    assert WorkSpace.objects.get(pk=machine.pk).tags == {"by": "another"}


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


def test_every_form_that_shows_what_a_row_has_says_how_it_is_compared():
    shown = [one for model in admin.site._registry.values() for one in getattr(model, "buttons", ()) if one.initial]
    assert len(shown) >= 8
    for button in shown:
        assert ("if_match" in signature(button.run).parameters) == button.is_versioned, button.name
