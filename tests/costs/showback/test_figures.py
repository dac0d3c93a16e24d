"""Whatever a month cost: CSV, JSON, PDF and the API tell the same total to the cent, and what is shown adds up."""

import os
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs.models import DailyCost
from costs.pricing import cents
from costs.showback import table
from costs.showback.figures import PARTS
from forge.accounts.models import Team
from tests import world as worlds
from tests.costs.showback.support import MONTH, asked, csv_of, foot_of, json_of, pdf_of, spend
from tests.factories import ProjectFactory, TeamFactory, UserFactory
from tests.plugins.scale import count
from tests.workspaces.support import client_of

pytestmark = pytest.mark.django_db
EXAMPLES = count(300, 5, soak=os.environ.get("FORGE_SOAK", "0"))
SUMMARY = "/api/v1/costs/summary/?start={}&end={}"

NAMES = (
    "=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\t=1", "two\nlines\r\nof it", 'a "quoted", name', "x" * 200,
    "\u202eturned", "Команда", "   ", "Total (EUR) 1.00",
)  # fmt: skip
millionths = st.one_of(st.just(0), st.integers(0, 30_000), st.integers(0, 10**15))
spent = st.tuples(
    st.integers(0, 3), st.sampled_from(["STANDARD", "POWER", "GRAPHICS_G4DN"]),
    st.sampled_from(["ESTIMATED", "METERED", "BILLED"]), millionths, millionths, millionths,
)  # fmt: skip


def of_millionths(number):
    return Decimal(number).scaleb(-6)


def columns(rows):
    return {name: sum(row[name] for row in rows) for name in ("total_cost", *PARTS)}


def test_csv_json_pdf_and_api_agree_to_the_cent_and_every_column_adds_up():
    world = worlds.build()
    client = client_of(world.finance)
    teams = [TeamFactory(organization=world.organization) for _ in range(4)]

    @settings(max_examples=EXAMPLES)
    @given(st.lists(spent, max_size=9), st.lists(st.sampled_from(NAMES), min_size=4, max_size=4))
    def check(month, names):
        DailyCost.objects.all().delete()
        for team, name in zip(teams, names, strict=True):
            Team.objects.filter(pk=team.pk).update(name=name)
        for number, (team, bundle, basis, *costs) in enumerate(month):
            compute, storage, transfer = map(of_millionths, costs)
            spend(
                world, compute, storage=storage, transfer=transfer, team=teams[team], bundle_type=bundle, basis=basis,
                day=MONTH + timedelta(days=number * 3), region=f"region-{number}",
            )  # fmt: skip
        exact = of_millionths(sum(sum(costs) for _, _, _, *costs in month))

        summary = client.get(SUMMARY.format("2026-02-01", "2026-03-01")).json()
        rows, document, pages = csv_of(asked(world)), json_of(asked(world)), pdf_of(asked(world))
        groups = [row for row in rows if row["row"] == "group"]
        total = next(row for row in rows if row["row"] == "total")
        amount = total["total_cost"]

        assert amount == cents(exact) == cents(Decimal(summary["total"]["total_cost"]))
        assert Decimal(document["total"]["total_cost"]) == amount
        assert Decimal(document["exact_total_cost"]) == exact
        foot = foot_of(pages)
        assert foot[-1] == amount == sum(foot[:-1])
        assert columns(groups) == {name: total[name] for name in ("total_cost", *PARTS)}
        assert sum(total[part] for part in PARTS) == amount
        assert sum(row["total_cost"] for row in rows if row["row"] == "basis") == amount
        told = [[row["team"], row["name"], str(row["total_cost"])] for row in groups]
        stripped = [[code, name.removeprefix("'"), cost] for code, name, cost in told]
        assert stripped == [[row["team"], row["name"], row["total_cost"]] for row in document["groups"]]
        by_team = {team.slug: Decimal(0) for team in teams}
        for team, _, _, *costs in month:
            by_team[teams[team].slug] += of_millionths(sum(costs))
        for row in groups:
            assert abs(row["total_cost"] - by_team[row["team"]]) < Decimal("0.01")
            assert not row["name"].startswith(("=", "+", "-", "@", "\t"))

    check()


def test_one_cent_among_three_goes_to_one_of_them_and_nobody_gets_less_than_nothing():
    world = worlds.build()
    for number in range(3):
        team = TeamFactory(organization=world.organization, slug=f"t{number}")
        spend(world, "0.003333", storage="0.000001", team=team)
    rows = csv_of(asked(world))
    assert [(row["row"], row["team"], row["total_cost"], row["STANDARD"], row["storage"]) for row in rows[:4]] == [
        ("group", "t0", Decimal("0.01"), Decimal("0.01"), Decimal("0.00")),
        ("group", "t1", Decimal("0.00"), Decimal("0.00"), Decimal("0.00")),
        ("group", "t2", Decimal("0.00"), Decimal("0.00"), Decimal("0.00")),
        ("total", "", Decimal("0.01"), Decimal("0.01"), Decimal("0.00")),
    ]


def test_what_nobody_bears_is_a_line_of_its_own_and_only_the_month_and_the_team_count():
    world = worlds.build()
    other = TeamFactory(organization=world.organization)
    project = ProjectFactory(organization=world.organization, slug="p", name="Pipes")
    spend(world, 10, project=project, cost_center="r-1", basis="METERED")
    spend(world, 4, cost_center="r-2", basis="BILLED")
    spend(world, 1, project=project, team=other, basis="ESTIMATED", day=date(2026, 2, 28))
    spend(world, 99, day=date(2026, 3, 1))
    spend(world, 99, day=date(2026, 1, 31))
    spend(worlds.build(), 99)

    def told(*wanted, **options):
        rows = csv_of(asked(world, *wanted, **options))
        return [(row["row"], row[wanted[0]], row["name"], row["total_cost"], row["basis"]) for row in rows]

    assert told("project", "CHARGEBACK") == [
        ("group", "p", "Pipes", 11, "MIXED"), ("unallocated", "", "", 4, "BILLED"), ("allocated", "", "", 11, ""),
        ("total", "", "", 15, ""), ("basis", "", "", 4, "BILLED"), ("basis", "", "", 1, "ESTIMATED"),
        ("basis", "", "", 10, "METERED"),
    ]  # fmt: skip
    assert told("project", "CHARGEBACK", team=other)[:3] == [
        ("group", "p", "Pipes", 1, "ESTIMATED"), ("allocated", "", "", 1, ""), ("total", "", "", 1, ""),
    ]  # fmt: skip
    assert told("cost_center")[:4] == [
        ("group", "r-1", "", 10, "METERED"), ("group", "r-2", "", 4, "BILLED"),
        ("unallocated", "", "", 1, "ESTIMATED"), ("total", "", "", 15, ""),
    ]  # fmt: skip
    assert told("user")[0] == ("group", world.engineer.email, world.engineer.full_name, 15, "MIXED")
    assert json_of(asked(world, "project", "CHARGEBACK"))["unallocated"]["total_cost"] == "4.00"
    pages = pdf_of(asked(world, "project", "CHARGEBACK"))
    assert "Allocated 11.00 11.00" in pages[1]
    assert "Unallocated (no project) 4.00 4.00" in pages[1]
    assert foot_of(pages) == [15, 15]


def test_the_pdf_sums_up_what_it_does_not_show_and_the_csv_shows_it(monkeypatch):
    monkeypatch.setattr(table, "MOST_LINES", 2)
    world = worlds.build()
    for number in range(5):
        spend(world, number + 1, storage="0.5", user=UserFactory(organization=world.organization))
    pages = pdf_of(asked(world, "user"))
    assert "3 others" in pages[1]
    assert "6.00 1.50 7.50" in pages[1]
    assert foot_of(pages) == [15, Decimal("2.5"), Decimal("17.5")]
    assert [row["row"] for row in csv_of(asked(world, "user"))].count("group") == 5
