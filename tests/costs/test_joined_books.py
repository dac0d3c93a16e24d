"""Metering, corrected prices, the provider's bills and budgets at once: the books agree, and nothing is forgotten."""

import tempfile
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count as numbers
from pathlib import Path

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from budgets import adoption, raising, transferring
from budgets import services as budgets
from budgets.models import Budget, Reservation
from costs import metering
from costs.bills.importing import import_file
from costs.models import CostRecord, CostRevision, DailyCost
from forge.api.errors import Conflict, Refused
from forge.operations import runner
from tests import factories
from tests.budgets.threads import together
from tests.costs.bills.sheets import APRIL, LAUNCHED, MARCH, as_csv, line
from tests.costs.books import ACTOR, own_price
from tests.costs.meters import reach
from workspaces.models import WorkSpace

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("months"),
]

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = (
    "day", "user_id", "team_id", "project_id", "blueprint_id", "cost_center", "bundle_type", "region", "running_mode",
    "basis",
)  # fmt: skip
PARTS = ("billed_hours", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost")
SCOPES = {"USER": "user_id", "TEAM": "team_id", "PROJECT": "project_id", "ORGANIZATION": "organization_id"}


def bill(*lines):
    return (
        "bill",
        [(number, Decimal(millionths).scaleb(-6), hour, hours) for number, millionths, hour, hours in lines],
    )


SEEN_TO_FAIL = (
    # A bill in place of one that confirmed, credits beyond the charges, an end known late, an end behind the month.
    [("confirm", 2), bill((1, -1908677, 41, 1), (2, -34349, 44, 1)), ("end_late", 1), ("end", 2), ("bill", []),
     ("limit", 5, 257), ("end", 1)],
    # States of the billed month known late, of machines that have ended behind it by the time no bill names them.
    [("confirm", 0), ("turn", 0, 52), ("end", 0), ("bill", []), ("meter",)],
    [bill((0, 5_000_000, 0, 744), (1, 900_000, 7, 5)), ("turn", 0, 60), ("turn", 0, 55), ("turn", 1, 51), ("end", 0),
     ("end", 1), ("correct", 3, 410_000, False), ("rerate",), ("confirm", 2)],
    [("confirm", 1), ("correct", -5, 77_000, False), ("rerate",), ("turn", 1, 53), ("confirm", 1), ("end", 1)],
)  # fmt: skip
"""Histories that an earlier state of the code or of this test did not survive."""

serial = numbers()
machines = st.integers(0, 2)
amounts = st.decimals(min_value=Decimal(-20), max_value=Decimal(60), places=10, allow_nan=False)
lines = st.tuples(machines, amounts, st.integers(0, 47), st.sampled_from([1, 5, 744]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("meter")),
        st.tuples(st.just("turn"), machines, st.integers(0, 75)),
        st.tuples(st.just("end"), machines),
        st.tuples(st.just("end_late"), machines),
        st.tuples(st.just("correct"), st.integers(-5, 70), st.integers(0, 900_000), st.booleans()),
        st.tuples(st.just("rerate")),
        st.tuples(st.just("bill"), st.lists(lines, max_size=6)),
        st.tuples(st.just("bill"), st.lists(lines, max_size=6)),
        st.tuples(st.just("confirm"), machines),
        st.tuples(st.just("limit"), st.integers(0, 5), st.integers(0, 300)),
        st.tuples(st.just("adopt"), st.integers(0, 5)),
    ),
    min_size=6,
    max_size=9,
)


class Books:
    """Three machines since 30 March, two teams, budgets of March and of a quarter; it is the third of April."""

    def __init__(self):
        self.now = datetime(2026, 4, 3, 0, 20, tzinfo=UTC)
        self.account = factories.ProviderAccountFactory()
        self.organization = self.account.organization
        self.teams = [factories.TeamFactory(organization=self.organization) for _ in range(2)]
        self.project = factories.ProjectFactory(organization=self.organization)
        self.prices, self.turned = [], {}
        self.correct(-5, 300_000, is_stale=True)
        self.machines = [self._machine(number) for number in range(3)]
        facts = {"organization": self.organization, "amount": Decimal(50)}
        quarter = {"period_start": MARCH, "period_end": JUNE}
        scopes = [("TEAM", team.id) for team in self.teams] + [("PROJECT", self.project.id)]
        self.budgets = [
            factories.BudgetFactory(**facts, **quarter, scope=scope, scope_id=scope_id, adopted_at=adopted)
            for (scope, scope_id), adopted in zip(scopes, (MARCH, MARCH, None), strict=True)
        ]
        self.budgets.append(factories.BudgetFactory(**facts))
        april = {"period_start": APRIL, "period_end": datetime(2026, 5, 1, tzinfo=UTC)}
        self.budgets.append(factories.BudgetFactory(**facts, **april, adopted_at=None))
        user = {"scope": "USER", "scope_id": self.machines[0].owner_id}
        self.budgets.append(factories.BudgetFactory(**facts, **user, adopted_at=None))
        self.meter()

    def _machine(self, number, **facts):
        return factories.WorkSpaceFactory(
            organization=self.organization,
            provider_account=self.account,
            provider_id=f"ws-{next(serial):09d}",
            team=self.teams[number % 2],
            project=self.project if number else None,
            root_volume_gb=80,
            user_volume_gb=(50, 100, 150)[number],
            history=[(LAUNCHED + number * HOUR, "PENDING"), (LAUNCHED + number * HOUR, "AVAILABLE")],
            **facts,
        )

    def play(self, step):
        """One step; what the rules refuse leaves nothing."""
        kind, *arguments = step
        with suppress(Refused, Conflict):
            getattr(self, kind)(*arguments)

    def meter(self):
        self.now += HOUR
        metering.meter(now=self.now)

    def turn(self, number, hours_ago):
        """Stopped or started, known up to three days late: within the month that bills are of, too."""
        machine = self._fresh(number)
        at = max(self.now - hours_ago * HOUR, machine.state_since + HOUR / 3)
        if machine.state != "TERMINATED" and at <= self.now:
            reach(machine, at, "STOPPED" if machine.state == "AVAILABLE" else "AVAILABLE")
            self.turned[number] = at

    def end(self, number):
        self._end(number, self.now)

    def end_late(self, number):
        """Ended on 31 March, as is known only now."""
        self._end(number, LAUNCHED + 30.4 * HOUR)

    def _end(self, number, at):
        machine = self._fresh(number)
        if machine.state != "TERMINATED" and machine.state_since < at:
            reach(machine, at, "TERMINATED")

    def _fresh(self, number):
        return WorkSpace.objects.get(pk=self.machines[number].pk)

    def correct(self, hours, millionths, is_stale):
        facts = {
            "hourly_amount": Decimal(millionths).scaleb(-6),
            "included_storage_gb": 130,
            "storage_gb_month_amount": Decimal("0.07") + Decimal(millionths).scaleb(-7),
            "as_of": date(2025, 1, 1) if is_stale else date(2026, 3, 1),
        }
        since = LAUNCHED + hours * HOUR
        own_price(self.organization, since, now=self.now, **facts)
        self.prices.append((since, self.now, facts))

    def rerate(self):
        while runner.run_one(now=self.now):
            pass

    def bill(self, lines):
        self._import([
            line(self.machines[number], amount, at=LAUNCHED + hour * HOUR if hours < 744 else MARCH, hours=hours)
            for number, amount, hour, hours in lines
        ])  # fmt: skip

    def confirm(self, number):
        """A bill that says of one machine what our records say, and nothing of the others."""
        records = CostRecord.objects.filter(workspace=self.machines[number], period_start__lt=APRIL)
        self._import([line(self.machines[number], record.total_cost, at=record.period_start) for record in records])

    def _import(self, rows):
        told = line("", "0", usage=f"example {next(serial)}", account=self.account.account)  # no two are the same
        with tempfile.TemporaryDirectory() as folder:
            path = as_csv(Path(folder) / "bill.csv", [*rows, told])
            actor = Actor.command("import_bill").in_organization(self.organization.id)
            import_file(actor=actor, organization=self.organization, path=path, now=self.now)

    def limit(self, number, amount):
        budget, other = self.budgets[number], self.budgets[1 - number % 2]
        budgets.change(actor=ACTOR, budget_id=budget.id, amount=Decimal(amount), now=self.now)
        ends_at = self.now.replace(minute=0) + 9 * HOUR
        asked = {"actor": ACTOR, "reason": "a test", "now": self.now, "amount": Decimal(amount) / 7}
        with suppress(Refused):
            raising.raise_limit(**(asked | {"amount": Decimal(7)}), budget_id=budget.id, ends_at=ends_at)
        transferring.transfer(**(asked | {"amount": Decimal(1)}), giver_id=budget.id, receiver_id=other.id)

    def adopt(self, number):
        adoption.adopt(budget_id=self.budgets[number].id, now=self.now)

    def assert_agree(self):
        """Records, daily sums by their whole key, machines, budgets and reservations tell of the same money."""
        records = CostRecord.objects.filter(organization=self.organization)
        by_key = {}
        for record in records:
            key = (record.period_start.date(), *(getattr(record, name) for name in KEY[1:]))
            sums = by_key.setdefault(key, [Decimal(0)] * len(PARTS))
            by_key[key] = [one + getattr(record, name) for one, name in zip(sums, PARTS, strict=True)]
        daily = DailyCost.objects.filter(organization=self.organization)
        told = {row[: len(KEY)]: list(row[len(KEY) :]) for row in daily.values_list(*KEY, *PARTS)}
        assert {key: sums for key, sums in told.items() if any(sums)} == {
            key: sums for key, sums in by_key.items() if any(sums)
        }
        for machine in self.machines:
            assert machine_total(records.filter(workspace=machine)) == self._of(machine).cost_to_date
        for budget in Budget.objects.filter(organization=self.organization, adopted_at__isnull=False):
            period = {"period_start__gte": budget.period_start, "period_start__lt": budget.period_end}
            assert budget.spent == machine_total(records.filter(**{SCOPES[budget.scope]: budget.scope_id}, **period))
            held = Reservation.objects.live().filter(budget=budget).aggregate(held=Sum("remaining"))["held"] or 0
            assert (budget.reserved, budget.reserved >= 0) == (held, True)
        self._assert_revisions()

    def _assert_revisions(self):
        """The revisions of a record follow each other without a gap and end with what it is."""
        last = {}
        for one in CostRevision.objects.filter(organization=self.organization).order_by("id"):
            key = (one.workspace_id, one.period_start)
            if key in last and "BILLED" in (one.old_basis, last[key].new_basis):
                assert (one.old_basis, one.old_total_cost) == (last[key].new_basis, last[key].new_total_cost)
            last[key] = one
        for record in CostRecord.objects.filter(organization=self.organization, basis="BILLED"):
            told = last[record.workspace_id, record.period_start]
            assert (told.new_basis, told.new_total_cost) == (record.basis, record.total_cost)

    @staticmethod
    def _of(machine):
        return WorkSpace.objects.get(pk=machine.pk)

    def without_bills(self):
        """What the records come to once all is metered and re-rated and no bill names a machine."""
        self.meter()
        self.rerate()
        self._import([])
        self.meter()
        return [figures(machine) for machine in self.machines]


def machine_total(records):
    return records.aggregate(total=Sum("total_cost"))["total"] or 0


def figures(machine):
    """What stands in the machine's records, but for hours behind its end, which have fallen to nothing."""
    names = ("period_start", "basis", "running_seconds", "billed_hours", "compute_cost", "storage_cost", "total_cost")
    rows = CostRecord.objects.filter(workspace=machine).order_by("period_start").values_list(*names)
    return [row for row in rows if any(row[2:])]


def assert_same(found, wanted):
    """Told by the first hours that differ, of which there may be many."""
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        differing = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
        assert not differing[:2], number


def undisturbed(books):
    """The same machines under the same prices, known from the start and metered once."""
    organization = factories.OrganizationFactory()
    for since, now, facts in books.prices:
        own_price(organization, since, now=now, **facts)
    twins = []
    for machine in books.machines:
        changes = list(machine.state_changes.order_by("id").values_list("occurred_at", "to_state"))
        same = {name: getattr(machine, name) for name in ("root_volume_gb", "user_volume_gb")}
        twins.append(factories.WorkSpaceFactory(organization=organization, history=changes, **same))
    metering.meter(now=books.now)
    return [figures(twin) for twin in twins]


@pytest.fixture(autouse=True)
def of_budgets(settings, spent):
    settings.FORGE_SPEND_HOOKS = ["budgets.ledger.settle"]
    settings.FORGE_PRICE_STALE_DAYS = 90


def seen(histories):
    """The test with each of these as an example."""

    def with_examples(test):
        for steps in histories:
            test = example(steps)(test)
        return test

    return with_examples


def test_whatever_comes_in_whatever_order_the_books_agree_and_bills_leave_no_trace(scale):
    @settings(
        max_examples=scale(300, 2), phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @seen(SEEN_TO_FAIL)
    @given(STEPS)
    def check(steps):
        books = Books()
        for step in steps:
            books.play(step)
            books.assert_agree()
        assert_same(books.without_bills(), undisturbed(books))
        books.assert_agree()

    check()


def test_all_at_once_nothing_waits_crosswise_and_the_books_agree(scale):
    for _ in range(scale(50, 1)):
        at_once()


def at_once():
    """Two sweeps, two workers with corrected prices, an import and an adoption over the same machines."""
    books = Books()
    books.bill([(number, Decimal(30), 0, 744) for number in range(3)])
    books.correct(3, 410_000, is_stale=False)
    books.correct(20, 520_000, is_stale=False)
    books.turn(1, 5)
    books.end(2)
    work = [books.meter, books.rerate, lambda: books.confirm(0), books.meter, lambda: books.adopt(2), books.rerate]
    together(lambda act: act(), work)
    books.assert_agree()
    assert_same(books.without_bills(), undisturbed(books))
    books.assert_agree()
