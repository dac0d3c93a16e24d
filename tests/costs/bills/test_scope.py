"""A bill that was uploaded is booked in its organization's scope, and still knows the machines of others."""

import pytest

from costs.bills.models import Bill, BillGap
from costs.metering import meter
from forge.operations.runner import run_one
from tests import factories
from tests.audit.walk.marks import client_of
from tests.costs.bills.sheets import APRIL, LAUNCHED, fee, line, text

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
