from datetime import UTC, datetime

import pytest

from audit.actors import Actor
from costs.bills.importing import import_file
from costs.metering import meter
from forge.accounts.models import Organization
from tests import factories
from tests.costs.bills.sheets import APRIL, LAUNCHED
from tests.factories import WorkSpaceFactory

NOW = datetime(2026, 4, 3, tzinfo=UTC)
STOPPED = LAUNCHED.replace(hour=10)


@pytest.fixture(autouse=True)
def of_months(months):
    """All tests of bills need the partitions of 2026."""


@pytest.fixture
def account(db):
    return factories.ProviderAccountFactory()


@pytest.fixture
def fleet(account):
    """`fleet(n)` are n machines that have run for ten hours of 30 March and stand since, metered to April."""

    def build(count, *, launched=LAUNCHED, stopped=STOPPED, **facts):
        machines = [
            WorkSpaceFactory(
                organization=account.organization,
                provider_account=account,
                provider_id=f"ws-{facts.pop('prefix', '')}{number:09d}",
                history=[(launched, "PENDING"), (launched, "AVAILABLE"), (stopped, "STOPPING"), (stopped, "STOPPED")],
                **facts,
            )
            for number in range(count)
        ]
        meter(now=APRIL)
        return machines

    return build


@pytest.fixture
def give(account):
    """`give(path)` imports a bill of the organization as a command."""

    def give(path, *, organization=None, now=NOW, **options):
        whose = organization or Organization.objects.get(pk=account.organization_id)
        actor = Actor.command("import_bill").in_organization(whose.id)
        return import_file(actor=actor, organization=whose, path=path, now=now, **options)

    return give
