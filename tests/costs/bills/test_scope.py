"""A bill that was uploaded is booked in its organization's scope, and still knows the machines of others."""

from datetime import timedelta

import pytest

from costs.bills.models import Bill, BillGap
from costs.metering import meter
from forge.operations.runner import run_one
from tests import factories
from tests.audit.walk.marks import client_of
from tests.costs.bills.sheets import APRIL, LAUNCHED, fee, line, text
from tests.costs.meters import total
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_another_organizations_machine_in_the_same_account_is_passed_over_and_not_told(fleet, account):
    (ours,) = fleet(1, prefix="a")
    other = factories.ProviderAccountFactory(account=account.account, region="us-west-2")
    theirs = factories.WorkSpaceFactory(
        organization=other.organization,
        provider_account=other,
        provider_id="ws-theirs",
        region="us-east-1",
        history=[(LAUNCHED, "PENDING"), (LAUNCHED, "AVAILABLE")],
    )
    meter(now=APRIL)
    finance = factories.UserFactory(organization=account.organization)
    factories.MembershipFactory(user=finance, organization=account.organization, team=None, role="finance")
    body = text([fee(ours, "10"), fee(theirs, "20"), line("ws-far", "3", account="999999999999")])
    answer = client_of(finance, "API").post("/api/v1/costs/bills/", body, content_type="text/csv")
    assert answer.status_code == 202
    run_one(answer.json()["operation_id"])

    bill = Bill.objects.get()
    assert (bill.elsewhere_lines, bill.machine_lines) == (2, 1)
    assert not BillGap.objects.exists()


def test_a_line_is_booked_by_the_organization_whose_row_the_machine_had_then(fleet, account):
    """A row of ours ended while AWS had the machine, another organization of the account took it over a day later."""
    (ours,) = fleet(1)
    ended, again = LAUNCHED + timedelta(hours=11), LAUNCHED + timedelta(days=1)
    WorkSpace.objects.filter(pk=ours.pk).update(state="TERMINATED", terminated_at=ended)
    other = factories.ProviderAccountFactory(account=account.account, region="us-west-2")
    far = factories.ProviderAccountFactory(account="999999999999")
    facts = {"provider_id": ours.provider_id, "history": [(again, "PENDING"), (again, "AVAILABLE")]}
    theirs = factories.WorkSpaceFactory(organization=other.organization, provider_account=other, **facts)
    WorkSpace.objects.filter(pk=theirs.pk).update(state="TERMINATED", terminated_at=again + timedelta(hours=5))
    factories.WorkSpaceFactory(organization=far.organization, provider_account=far, **facts)
    meter(now=APRIL)
    at = LAUNCHED
    rows = [
        line(ours, "1", at=at), line(ours, "2", at=at + timedelta(hours=12)), line(ours, "50", at=again),
        fee(ours, "7"),
    ]  # fmt: skip
    for whose, machine, amount, elsewhere in ((account, ours, 3, 2), (other, theirs, 57, 2)):
        finance = factories.UserFactory(organization=whose.organization)
        factories.MembershipFactory(user=finance, organization=whose.organization, team=None, role="finance")
        answer = client_of(finance, "API").post("/api/v1/costs/bills/", text(rows), content_type="text/csv")
        run_one(answer.json()["operation_id"])
        bill = Bill.objects.get(organization=whose.organization)
        assert (bill.state, bill.elsewhere_lines, bill.machine_lines) == ("BOOKED", elsewhere, 4 - elsewhere)
        assert total(machine) == amount
    assert not BillGap.objects.exists()
