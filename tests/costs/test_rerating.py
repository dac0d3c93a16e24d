"""A corrected price re-rates what is booked: as if it had stood from the start, once, and with what was kept."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import Error, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLog
from costs import metering, pricing, rerating, services
from costs.models import CostRecord, CostRevision, DailyCost, Price
from costs.services import close_price
from forge.operations import runner
from forge.operations.models import Operation
from tests.costs import spending
from tests.costs.books import ACTOR, NOW, own_price, rerated
from tests.costs.meters import assert_sums_agree, reach, total
from tests.factories import BudgetFactory, OrganizationFactory, WorkSpaceFactory
from workspaces.models import WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
OPEN = {"valid_to": None, "now": MARCH - timedelta(days=1), "reason": ""}
FIGURES = (
    "period_start", "running_seconds", "billed_hours", "storage_gb", "compute_cost", "storage_cost", "total_cost",
    "basis", "running_mode", "bundle_type",
)  # fmt: skip


def on(day, hour=0.0, month=3):
    return datetime(2026, month, day, tzinfo=UTC) + timedelta(hours=hour)


def records(workspace):
    return list(CostRecord.objects.filter(workspace=workspace).order_by("period_start").values_list(*FIGURES))


def daily(organization):
    """What the sums hold, in one order whoever the rows belong to."""
    rows = DailyCost.objects.filter(organization=organization)
    facts = ("day", "basis", "running_mode", "billed_hours", "compute_cost", "storage_cost", "total_cost")
    return sorted(rows.values_list(*facts))


def fleet(organization):
    """A machine that runs on and off, one that is made larger, one that goes over to AlwaysOn, and one that ends."""
    both = {"organization": organization, "root_volume_gb": 80, "user_volume_gb": 100}
    steps = [(on(27, 9.1), "AVAILABLE"), (on(27, 18), "STOPPED"), (on(29, 8.4), "AVAILABLE")]
    wandering = WorkSpaceFactory(history=steps, **both)
    grown, switched, ended = (WorkSpaceFactory(history=[(on(27, n), "AVAILABLE")], **both) for n in range(3))
    WorkSpace.objects.filter(pk=grown.pk).update(bundle_type="PERFORMANCE", configured_at=on(28, 4.5))
    WorkSpace.objects.filter(pk=switched.pk).update(running_mode="ALWAYS_ON", configured_at=on(28, 20.2))
    reach(ended, on(28, 7.5), "TERMINATED")
    return [wandering, grown, switched, ended]


def prices(organization, **changes):
    """Both running modes, so that a switch meets both."""
    own_price(organization, MARCH, **changes)
    always = {"running_mode": "ALWAYS_ON", "hourly_amount": Decimal(0), "monthly_amount": Decimal(35)}
    own_price(organization, MARCH, **(changes | always))


def test_a_corrected_price_books_what_it_would_have_booked_from_the_start():
    wronged, right = OrganizationFactory(), OrganizationFactory()
    corrected = {
        "monthly_amount": Decimal("8.123457"), "hourly_amount": Decimal("0.271"), "included_storage_gb": 100,
        "storage_gb_month_amount": Decimal("0.11"),
    }  # fmt: skip
    prices(wronged, **OPEN, included_storage_gb=130, storage_gb_month_amount=Decimal("0.05"))
    prices(right, **OPEN, **corrected)
    ours, theirs = fleet(wronged), fleet(right)
    metering.meter(now=NOW)
    before = [records(machine) for machine in ours]
    own_price(wronged, MARCH, **corrected)
    always = {"running_mode": "ALWAYS_ON", "monthly_amount": Decimal(35), "hourly_amount": Decimal(0)}
    own_price(wronged, MARCH, **(corrected | always))
    for result in rerated():
        assert result["records"] > 30
    for one, other in zip(ours, theirs, strict=True):
        assert records(one) == records(other)
    assert daily(wronged) == daily(right)
    assert [records(machine) for machine in ours] != before
    assert {record.price.monthly_amount for record in CostRecord.objects.filter(workspace=ours[0])} == {
        Decimal("8.123457")
    }
    assert_sums_agree()
    metering.meter(now=NOW + timedelta(hours=3))
    for one, other in zip(ours, theirs, strict=True):
        assert records(one) == records(other)


def test_old_and_new_are_kept_with_the_reason_and_nobody_changes_them():
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    machine = WorkSpaceFactory(organization=organization, history=[(on(30), "AVAILABLE"), (on(30, 3), "STOPPED")])
    metering.meter(now=NOW)
    was, count = total(machine), CostRecord.objects.count()
    made = own_price(organization, on(30, 1), hourly_amount=Decimal("0.40"), reason="letter of 1 April")
    (result,) = rerated()
    kept = CostRevision.objects.order_by("period_start")
    assert len(kept) == count - 1
    assert {(k.reason, k.new_price_id, k.old_basis, k.new_basis) for k in kept} == {
        ("letter of 1 April", made.pk, "METERED", "METERED")
    }
    first = kept[0]
    assert first.period_start == on(30, 1)
    assert first.new_total_cost - first.old_total_cost == Decimal("0.10")
    assert total(machine) == was + Decimal("0.20")
    assert result == {"records": count - 1, "difference": "0.200000"}
    entry = AuditLog.objects.get(action_type="COST_RERATE")
    assert (entry.resource_id, entry.context["reason"], entry.context["difference"]) == (
        str(made.pk), "letter of 1 April", "0.200000",
    )  # fmt: skip
    with pytest.raises(Error, match=r"append-only|permission denied"), transaction.atomic():
        kept.update(reason="another")


def test_doing_it_again_changes_nothing():
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    fleet(organization)
    metering.meter(now=NOW)
    own_price(organization, MARCH, hourly_amount=Decimal("0.40"))
    rerated()
    kept, charged = CostRevision.objects.count(), len(spending.collected)
    Operation.objects.update(status="queued", finished_at=None, next_attempt_at=NOW, steps=[])
    rerated()
    assert (CostRevision.objects.count(), len(spending.collected)) == (kept, charged)
    assert_sums_agree()


def test_a_worker_killed_between_two_chunks_leaves_the_rest_to_the_next(monkeypatch):
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    machines = fleet(organization)
    metering.meter(now=NOW)
    own_price(organization, MARCH, hourly_amount=Decimal("0.40"))
    monkeypatch.setattr(rerating, "MACHINE_HOURS", 1)
    whole, done = rerating.Rerate._chunk, []

    def killed_before_the_third(claim, price, ids):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(ids)
        whole(claim, price, ids)

    monkeypatch.setattr(rerating.Rerate, "_chunk", staticmethod(killed_before_the_third))
    with pytest.raises(KeyboardInterrupt):
        runner.run_one(now=NOW)
    assert_sums_agree()
    monkeypatch.setattr(rerating.Rerate, "_chunk", staticmethod(whole))
    (result,) = rerated(NOW + timedelta(minutes=10))
    assert result["records"] == CostRevision.objects.count()
    assert {record.price.hourly_amount for record in CostRecord.objects.filter(workspace=machines[0])} == {
        Decimal("0.40")
    }
    assert_sums_agree()


def test_the_locks_are_meterings_with_the_operation_between_scopes_and_machines():
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    WorkSpaceFactory(organization=organization, history=[(on(30), "AVAILABLE")])
    metering.meter(now=NOW)
    own_price(organization, MARCH, hourly_amount=Decimal("0.40"))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        rerated()
    marks = [f"FROM accounts_{name} WHERE id = ANY" for name in ("user", "team", "organization")]
    marks += ['FROM "operations_operation"', "FROM workspaces_workspace WHERE id = ANY", "costs_rerate("]
    statements = [query["sql"] for query in queries]
    start = next(nr for nr, sql in enumerate(statements) if marks[0] in sql)
    places = [next(nr for nr, sql in enumerate(statements) if nr >= start and mark in sql) for mark in marks]
    assert places == sorted(places)
    assert "FOR NO KEY UPDATE" in statements[places[3]]
    assert "ORDER BY id FOR NO KEY UPDATE" in statements[places[4]]


def test_hours_of_the_providers_bill_and_of_others_stay():
    organization, other = OrganizationFactory(), OrganizationFactory()
    ours, theirs = (WorkSpaceFactory(organization=o, history=[(on(31), "AVAILABLE")]) for o in (organization, other))
    metering.meter(now=NOW)
    CostRecord.objects.filter(workspace=ours, period_start=on(31, 4)).update(basis="BILLED")
    before = records(theirs)
    own_price(organization, MARCH, hourly_amount=Decimal("0.50"))
    rerated()
    found = dict(CostRecord.objects.filter(workspace=ours).values_list("period_start", "total_cost"))
    assert found[on(31, 4)] < Decimal("0.40") < found[on(31, 5)]
    assert records(theirs) == before


def test_a_price_for_all_reaches_every_organization_but_those_with_a_price_of_their_own():
    own, common, foreign = OrganizationFactory(), OrganizationFactory(), OrganizationFactory(currency="EUR")
    prices(own, **OPEN)
    machines = [WorkSpaceFactory(organization=o, history=[(on(31), "AVAILABLE")]) for o in (own, common, foreign)]
    metering.meter(now=NOW)
    own_before, common_before = records(machines[0]), total(machines[1])
    own_price(None, MARCH, hourly_amount=Decimal("0.50"))
    results = rerated()
    assert len(results) == 2
    assert records(machines[0]) == own_before
    hours = sum(record[2] for record in records(machines[1]))
    assert total(machines[1]) == common_before + hours * Decimal("0.20")
    assert records(machines[2]) == []


# -- Making room -------------------------------------------------------------------------------------------------------


def test_a_price_in_the_past_needs_a_reason_and_changes_nothing_without():
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    before = list(Price.objects.order_by("id").values())
    with pytest.raises(services.ReasonRequired):
        own_price(organization, MARCH, reason=" ")
    assert list(Price.objects.order_by("id").values()) == before
    assert not Operation.objects.exists()


def test_a_correction_cuts_what_it_corrects_and_leaves_the_rest():
    organization = OrganizationFactory()
    old = own_price(organization, MARCH, **OPEN)
    made = own_price(organization, on(5), valid_to=on(9), hourly_amount=Decimal("0.5"))
    found = Price.objects.filter(organization=organization).order_by("valid_from")
    assert [(price.valid_from, price.valid_to, price.hourly_amount) for price in found] == [
        (MARCH, on(5), Decimal("0.3")), (on(5), on(9), Decimal("0.5")), (on(9), None, Decimal("0.3")),
    ]  # fmt: skip
    assert [found[0].pk, found[1].pk] == [old.pk, made.pk]
    entries = AuditLog.objects.filter(action_type__in=["PRICE_CREATE", "PRICE_CLOSE"]).order_by("occurred_at", "id")
    assert sorted(entry.resource_id for entry in entries) == sorted(
        str(pk) for pk in (old.pk, old.pk, made.pk, found[2].pk)
    )


def test_a_price_that_is_corrected_from_its_first_hour_on_is_withdrawn_and_in_force_at_no_time():
    organization = OrganizationFactory()
    old = own_price(organization, MARCH, **OPEN)
    made = own_price(organization, MARCH, hourly_amount=Decimal("0.5"))
    old.refresh_from_db()
    assert old.is_withdrawn
    in_force = Price.objects.filter(organization=organization).in_force(MARCH)
    assert [price.pk for price in in_force] == [made.pk]
    with pytest.raises(services.PriceEndsInPast):
        close_price(actor=ACTOR, price_id=old.pk, now=NOW)


def test_a_price_that_is_still_to_come_makes_no_room():
    organization = OrganizationFactory()
    own_price(organization, on(1, month=5), valid_to=None, reason="")
    with pytest.raises(services.PricesOverlap):
        own_price(organization, MARCH)
    own_price(organization, MARCH, valid_to=on(1, month=5))


# -- Beside others -----------------------------------------------------------------------------------------------------


def test_budgets_settle_by_the_difference(settings):
    settings.FORGE_SPEND_HOOKS = ["budgets.ledger.settle"]
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    march = BudgetFactory(organization=organization)
    april = BudgetFactory(organization=organization, period_start=on(1, month=4), period_end=on(1, month=5))
    fleet(organization)
    metering.meter(now=NOW)
    before = [budget_of(budget) for budget in (march, april)]
    own_price(organization, MARCH, hourly_amount=Decimal("0.20"))
    rerated()
    cheaper = [budget_of(budget) for budget in (march, april)]
    assert all(0 < now < was for was, now in zip(before, cheaper, strict=True))
    own_price(organization, MARCH, hourly_amount=Decimal("0.30"))
    rerated()
    assert [budget_of(budget) for budget in (march, april)] == before


def budget_of(budget):
    """What the budget has spent, which is what its records sum to."""
    budget.refresh_from_db()
    period = {"period_start__gte": budget.period_start, "period_start__lt": budget.period_end}
    records = CostRecord.objects.filter(organization=budget.organization, **period)
    assert budget.spent == sum(records.values_list("total_cost", flat=True))
    return budget.spent


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_beside_metering_both_come_to_what_the_new_price_books(monkeypatch):
    """Two sweeps and two workers at once over the same machines, in chunks of a few."""
    monkeypatch.setattr(rerating, "CHUNK", 3)
    organization = OrganizationFactory()
    prices(organization, **OPEN)
    machines = [
        WorkSpaceFactory(organization=organization, history=[(on(31, number / 3), "AVAILABLE")]) for number in range(12)
    ]
    metering.meter(now=on(1, 2, month=4))
    own_price(organization, MARCH, hourly_amount=Decimal("0.41"))
    own_price(organization, on(31, 12), hourly_amount=Decimal("0.47"))
    barrier, failures = threading.Barrier(4), []

    def sweep():
        for hour in range(3, 12):
            metering.meter(now=on(1, hour + 0.01, month=4), chunk=4)

    def work():
        while runner.run_one(now=NOW):
            pass

    def alone(what):
        try:
            barrier.wait()
            what()
        except Exception as error:  # noqa: BLE001  shown by the test, whatever it is
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=alone, args=[what]) for what in (sweep, work, sweep, work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    rerated()
    metering.meter(now=NOW)
    for record in CostRecord.objects.filter(workspace__in=machines).select_related("price"):
        hourly = Decimal("0.47") if record.period_start >= on(31, 12) else Decimal("0.41")
        fee = pricing.accrual(Decimal("9.75"), record.period_start)
        assert (record.price.hourly_amount, record.compute_cost) == (hourly, record.billed_hours * hourly + fee)
    assert_sums_agree()
