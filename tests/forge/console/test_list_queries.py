"""Each long list of the console asks as much of few rows as of many, as tests/query_counts.json has it."""

import pytest
from django.test import Client

from forge.db.ids import uuid7
from forge.operations.models import Operation
from tests import factories, query_counts
from tests import world as worlds
from tests.audit.walk import rows
from workspaces.models import Decision, Finding

pytestmark = pytest.mark.django_db
LISTS = (
    "accounts/membership",
    "accounts/user",
    "budgets/reservation",
    "operations/operation",
    "outbox/mail",
    "workspaces/decision",
    "workspaces/finding",
    "workspaces/statechange",
    "workspaces/unmanagedmachine",
    "workspaces/workspace",
)


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def world():
    return worlds.build()


def fill(world, budget, count):
    """A row more in every list, so many times."""
    own = {"organization": world.organization}
    for _ in range(count):
        machine = factories.WorkSpaceFactory(**own, team=world.team, provider_account=world.account)
        factories.MembershipFactory(user=machine.owner, team=world.team)
        factories.ReservationFactory(budget=budget, workspace=machine)
        factories.UnmanagedMachineFactory(**own, provider_account=world.account, owner=machine.owner, team=world.team)
        at = machine.state_since
        Decision.objects.create(
            **own, workspace=machine, rule="idle", outcome="warned", inputs={}, correlation_id=uuid7(), decided_at=at
        )
        Finding.objects.create(
            **own,
            provider_account=world.account,
            workspace=machine,
            subject=str(machine.pk),
            check_name="protocol",
            severity="HIGH",
            found_at=at,
        )
        Operation.objects.create(
            organization_id=world.organization.id,
            kind="workspace.stop",
            target_type="WorkSpace",
            target_id=machine.pk,
            owner_id=machine.owner_id,
            correlation_id=uuid7(),
            finished_at=at,
            status="succeeded",
        )
        rows.mail(world)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("name", LISTS)
def test_a_list_asks_as_much_of_few_rows_as_of_many(world, name):
    browser = Client()
    browser.force_login(world.admin)
    address = f"/admin/{name}/"
    budget = factories.BudgetFactory(organization=world.organization)
    fill(world, budget, 2)
    browser.get(address)  # what is asked once per process is asked now
    few = query_counts.hold(f"console list {name}", lambda: browser.get(address))
    fill(world, budget, 8)
    many = query_counts.hold(f"console list {name}", lambda: browser.get(address))
    assert 2 <= len(few.context["cl"].result_list) < len(many.context["cl"].result_list)
