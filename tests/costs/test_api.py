"""/api/v1/costs/ and /api/v1/bundles/: figures that agree, who sees them, and what is refused by name."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from audit.models import AuditLog
from costs import metering
from costs.models import CostRecord, Price
from forge.operations import runner
from tests import world as worlds
from tests.factories import (
    MembershipFactory,
    ProjectFactory,
    ProviderAccountFactory,
    TeamFactory,
    UserFactory,
    WorkSpaceFactory,
)
from tests.workspaces.support import WORKSPACES, client_of, entries, problem

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

COSTS = "/api/v1/costs"
BUNDLES = "/api/v1/bundles/"
QUOTE = f"{COSTS}/quote/"
PRICES = f"{COSTS}/prices/"
NOW = timezone.now().astimezone(UTC)
HOUR_AHEAD = NOW.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)  # runs may come to it late


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def spend(world, owner, **facts):
    """A machine that has run for two days and is metered."""
    terms = {"organization": world.organization, "team": world.team, "blueprint": world.blueprint}
    start = NOW - timedelta(hours=50)
    machine = WorkSpaceFactory(
        owner=owner, history=[(start, "PENDING"), (start + timedelta(hours=2), "AVAILABLE")], **terms | facts
    )
    metering.meter(now=NOW)
    machine.refresh_from_db()
    return machine


def range_of_days():
    start, end = (NOW - timedelta(days=3)).date(), (NOW + timedelta(days=1)).date()
    return f"start={start}&end={end}"


def price_body(**changes):
    return {
        "region": "us-east-1",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "monthly_amount": "8.00",
        "hourly_amount": "0.25",
        "source": "contract 4711",
        "as_of": "2026-01-01",
        "valid_from": HOUR_AHEAD.isoformat(),
        "reason": "it was read wrongly",
    } | changes


def price_of(world, *, valid_from):
    """A price of the organization, as a row."""
    return Price.objects.create(
        organization=world.organization, region="us-east-1", bundle_type="STANDARD", operating_system="LINUX",
        running_mode="AUTO_STOP", monthly_amount=Decimal(8), hourly_amount=Decimal("0.25"), included_storage_gb=130,
        currency="USD", source="contract 4711", as_of=NOW.date(), valid_from=valid_from,
    )  # fmt: skip


def get(user, path, status=200):
    answer = client_of(user).get(path)
    assert answer.status_code == status, answer.content
    return answer.json()


# -- Sums and records --------------------------------------------------------------------------------------------------


def test_total_groups_days_records_and_the_machine_agree(world):
    machines = [spend(world, world.engineer, project=world.project), spend(world, world.lead)]
    spent = sum(machine.cost_to_date for machine in machines)
    assert spent > 20
    summary = get(world.finance, f"{COSTS}/summary?group_by=user&{range_of_days()}")
    assert Decimal(summary["total"]["total_cost"]) == spent
    assert (summary["total"]["basis"], summary["currency"]) == ("METERED", "USD")
    assert {row["user"]: Decimal(row["total_cost"]) for row in summary["groups"]} == {
        machine.owner.email: machine.cost_to_date for machine in machines
    }
    by_day = get(world.finance, f"{COSTS}/timeseries/?group_by=project,bundle_type&{range_of_days()}")
    assert sum(Decimal(row["total_cost"]) for row in by_day["results"]) == spent
    assert {(row["project"], row["bundle_type"]) for row in by_day["results"]} == {
        (world.project.slug, "STANDARD"),
        (None, "STANDARD"),
    }
    assert [row["period_start"] for row in by_day["results"]] == sorted(row["day"] for row in by_day["results"])
    records = get(world.finance, f"{COSTS}/records?page_size=1000")
    assert sum(Decimal(row["total_cost"]) for row in records["results"]) == spent
    assert {(row["currency"], row["basis"]) for row in records["results"]} == {("USD", "METERED")}


def test_a_field_that_is_deprecated_is_told_by_the_link_of_its_operation_which_stays(world):
    answer = client_of(world.finance).get(f"{COSTS}/timeseries/")
    assert answer["Link"] == '</api/v1/docs/>; rel="deprecation"; type="text/html"'
    assert not {"Deprecation", "Sunset"} & set(answer.headers)
    assert "Link" not in client_of(world.finance).get(f"{COSTS}/summary/")


def test_records_come_in_pages_that_miss_none_and_repeat_none(world):
    machine = spend(world, world.engineer)
    seen, path = [], f"{COSTS}/records/?page_size=7&workspace={machine.id}"
    while path:
        page = get(world.finance, path)
        seen += [row["id"] for row in page["results"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) == CostRecord.objects.count()


@pytest.mark.parametrize(
    "dimension",
    ["organization", "team", "project", "user", "blueprint", "bundle_type", "region", "cost_center", "running_mode"],
)
def test_costs_are_grouped_by_each_dimension(world, dimension):
    project = ProjectFactory(organization=world.organization, cost_center="r-100")
    machine = spend(world, world.engineer, project=project)
    expected = {
        "organization": world.organization.slug,
        "team": world.team.slug,
        "project": project.slug,
        "user": world.engineer.email,
        "blueprint": str(world.blueprint.id),
        "bundle_type": "STANDARD",
        "region": "us-east-1",
        "cost_center": "r-100",
        "running_mode": "AUTO_STOP",
    }
    summary = get(world.finance, f"{COSTS}/summary/?group_by={dimension}&{range_of_days()}")
    assert [row[dimension] for row in summary["groups"]] == [expected[dimension]]
    assert Decimal(summary["groups"][0]["total_cost"]) == machine.cost_to_date
    assert summary["more_groups"] is False


def test_nothing_spent_is_a_zero_of_no_basis(world):
    summary = get(world.engineer, f"{COSTS}/summary/")
    assert (summary["total"]["total_cost"], summary["total"]["basis"]) == ("0.000000", None)
    assert summary["groups"] == []
    assert get(world.engineer, f"{COSTS}/timeseries/")["results"] == []


def test_everybody_sees_what_the_role_table_allows(world):
    other_team = TeamFactory(organization=world.organization)
    stranger = UserFactory(organization=world.organization)
    MembershipFactory(user=stranger, organization=world.organization, team=other_team)
    costs = {
        name: spend(world, person, team=team).cost_to_date
        for name, person, team in [
            ("engineer", world.engineer, world.team),
            ("contractor", world.contractor, world.team),
            ("stranger", stranger, other_team),
        ]
    }
    team = costs["engineer"] + costs["contractor"]
    seen = {
        world.contractor: costs["contractor"],
        world.engineer: team,
        world.lead: team,
        stranger: costs["stranger"],
        world.finance: sum(costs.values()),
        world.auditor: sum(costs.values()),
        world.admin: sum(costs.values()),
    }
    for person, amount in seen.items():
        assert Decimal(get(person, f"{COSTS}/summary/?{range_of_days()}")["total"]["total_cost"]) == amount
        records = get(person, f"{COSTS}/records/?page_size=1000")["results"]
        assert sum(Decimal(row["total_cost"]) for row in records) == amount


def test_another_organization_sees_nothing_of_it(world):
    spend(world, world.engineer)
    stranger = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    own = price_of(world, valid_from=HOUR_AHEAD)
    assert get(stranger.admin, f"{COSTS}/summary/?{range_of_days()}")["total"]["total_cost"] == "0.000000"
    assert get(stranger.admin, f"{COSTS}/records/")["results"] == []
    assert get(stranger.admin, f"{COSTS}/records/?team={world.team.slug}")["results"] == []
    assert str(own.pk) not in {row["id"] for row in get(stranger.admin, f"{PRICES}?page_size=1000")["results"]}
    client = client_of(stranger.admin)
    problem(client.get(f"{PRICES}{own.pk}/"), 404, "not_found")
    problem(client.post(f"{PRICES}{own.pk}/close/", {}), 404, "not_found")
    assert entries(client).filter(result="DENIED").count() == 2


def test_an_operator_of_the_installation_has_no_currency_to_sum_in():
    problem(client_of(UserFactory(organization=None)).get(f"{COSTS}/summary/"), 403, "no_organization")


@pytest.mark.parametrize(
    ("path", "code", "parameter"),
    [
        ("summary/?group_by=planet", "invalid_parameter", "group_by"),
        ("summary/?group_by=team,user,region", "invalid_parameter", "group_by"),
        ("timeseries/?group_by=team,user,region", "invalid_parameter", "group_by"),
        ("timeseries/?group_by=team,team", "invalid_parameter", "group_by"),
        ("timeseries/?group_by=", "invalid_parameter", "group_by"),
        ("summary/?start=yesterday", "invalid_parameter", "start"),
        ("summary/?start=2026-02-30", "invalid_parameter", "start"),
        ("summary/?start=0001-01-01", "invalid_parameter", "start"),
        ("summary/?start=2026-03-02&end=2026-03-02", "invalid_parameter", "end"),
        ("summary/?interval=week", "unknown_parameter", "interval"),
        ("timeseries/?interval=fortnight", "invalid_parameter", "interval"),
        ("timeseries/?interval=hour&start=2026-01-01&end=2026-02-02", "invalid_parameter", "start"),
        ("timeseries/?interval=hour&team=", "invalid_parameter", "team"),
        ("forecast/?end=2026-01-01", "invalid_parameter", "end"),
        ("forecast/?start=9000-01-01", "invalid_parameter", "start"),
        ("forecast/?end=8999-01-01", "invalid_parameter", "end"),
        ("forecast/?cost_center=r-100", "unknown_parameter", "cost_center"),
        ("summary/?from=2026-01-01", "unknown_parameter", "from"),
        ("summary/?team=", "invalid_parameter", "team"),
        ("summary/?bundle_type=HUGE", "invalid_parameter", "bundle_type"),
        ("summary/?blueprint=7", "invalid_parameter", "blueprint"),
        ("records/?period_start__gte=2026-01-01&period_start__lt=2026-03-01", "invalid_parameter", "period_start__gte"),
        ("records/?period_start__gte=today", "invalid_parameter", "period_start__gte"),
        ("records/?period_start__gte=2026-02-01&period_start__lt=2026-01-01", "invalid_parameter", "period_start__lt"),
        ("records/?workspace=7", "invalid_parameter", "workspace"),
        ("records/?page=2", "unknown_parameter", "page"),
        ("prices/?at=never", "invalid_parameter", "at"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_named(world, path, code, parameter):
    document = problem(client_of(world.finance).get(f"{COSTS}/{path}"), 400, code)
    assert document["errors"][0]["parameter"] == parameter


# -- Quotes ------------------------------------------------------------------------------------------------------------


def test_a_quote_agrees_with_the_dry_run_and_leaves_nothing(world):
    client = client_of(world.engineer)
    answer = client.post(QUOTE, world.body())
    assert answer.status_code == 200, answer.content
    figures = answer.json()
    assert (figures["hourly"], figures["monthly"], figures["hours"]) == ("0.300000", "9.750000", 40)
    assert (figures["currency"], figures["basis"], figures["as_of"]) == ("USD", "ESTIMATED", "2026-11-21")
    assert "AWS WorkSpaces public prices" in figures["source"]
    dry_run = client.post(f"{WORKSPACES}?dry_run=true", world.body()).json()
    assert Decimal(figures["estimated_cost"]) == pytest.approx(Decimal(dry_run["estimated_cost"]), abs=Decimal("0.4"))
    assert Decimal(figures["reservation"]) == Decimal(figures["estimated_cost"])
    assert not entries(client).exists()
    assert "Audit-Receipt" not in answer


def test_hours_make_the_difference_of_a_quote(world):
    client = client_of(world.engineer)
    none, five = (client.post(QUOTE, world.body(hours=hours)).json() for hours in (0, 5))
    assert Decimal(none["reservation"]) == Decimal(five["reservation"])
    assert Decimal(five["estimated_cost"]) - Decimal(none["estimated_cost"]) <= Decimal("1.5")


def test_somebody_who_has_a_machine_may_ask_what_another_would_cost(world):
    client = client_of(world.engineer)
    assert client.post(WORKSPACES, world.body()).status_code == 202
    assert client.post(QUOTE, world.body()).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"hours": -1}, 400, "invalid"),
        ({"hours": 745}, 400, "invalid"),
        ({"hours": "NaN"}, 400, "invalid"),
        ({"bundle_type": "HUGE"}, 400, "invalid"),
        ({"bundle_type": "POWER"}, 422, "bundle_not_offered"),
        ({"operating_system": "WINDOWS"}, 422, "operating_system_not_offered"),
        ({"region": "mars-north-1"}, 422, "region_not_offered"),
        ({"team": "not-mine"}, 422, "team_not_yours"),
    ],
)
def test_what_cannot_be_quoted_is_refused_by_name(world, changes, status, code):
    problem(client_of(world.engineer).post(QUOTE, world.body(**changes)), status, code)


def test_a_price_in_another_currency_is_refused_by_quote_dry_run_and_launch(world):
    world.organization.currency = "EUR"
    world.organization.save()
    client = client_of(world.engineer)
    for path in (QUOTE, f"{WORKSPACES}?dry_run=true", WORKSPACES):
        document = problem(client.post(path, world.body()), 422, "price_in_other_currency")
        assert (document["currency"], document["priced_in"]) == ("EUR", ["USD"])
    assert not world.organization.workspaces.exists()
    assert entries(client).filter(result="DENIED").count() == 3
    shown = get(world.engineer, BUNDLES)["results"][0]
    assert (shown["currency"], shown["prices"], shown["may_launch"]) == ("EUR", [], False)
    assert "EUR" in shown["why_not"]


def test_a_budget_can_be_set_over_machines_that_have_no_price_in_the_currency(world):
    WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team, blueprint=world.blueprint)
    world.organization.currency = "EUR"
    world.organization.save()
    period = {"period_start": "2026-01-01T00:00:00Z", "period_end": (HOUR_AHEAD + timedelta(days=30)).isoformat()}
    wanted = {"scope": "TEAM", "scope_id": str(world.team.id), "amount": "100", **period}
    answer = client_of(world.finance).post("/api/v1/budgets/", wanted)
    assert answer.status_code == 201, answer.content
    assert answer.json()["reserved"] == "0.000000"


# -- Prices ------------------------------------------------------------------------------------------------------------


def test_finance_sets_a_price_that_is_quoted_once_it_holds_and_closes_it(world):
    client = client_of(world.finance)
    past = (HOUR_AHEAD - timedelta(hours=3)).isoformat()
    answer = client.post(PRICES, price_body(valid_from=past))
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert get(world.engineer, answer["Location"]) == made
    assert (made["organization"], made["currency"], made["included_storage_gb"]) == (
        str(world.organization.id), "USD", 130,
    )  # fmt: skip
    assert client_of(world.engineer).post(QUOTE, world.body()).json()["price"] == made["id"]
    problem(client.post(PRICES, price_body()), 409, "prices_overlap")
    problem(client.post(PRICES, price_body(valid_from=past, reason="")), 422, "reason_required")
    closed = client.post(f"{PRICES}{made['id']}/close/", {})
    assert closed.status_code == 200, closed.content
    assert datetime.fromisoformat(closed.json()["valid_to"]) > timezone.now()
    actions = list(entries(client).values_list("action_type", "result"))
    assert actions == [
        ("PRICE_CREATE", "SUCCESS"), ("PRICE_CREATE", "FAILURE"), ("PRICE_CREATE", "DENIED"),
        ("PRICE_CLOSE", "SUCCESS"),
    ]  # fmt: skip


def test_a_correction_shows_what_records_were_and_a_reading_is_noted(world):
    machine = spend(world, world.engineer)
    client = client_of(world.finance)
    began = (NOW - timedelta(days=60)).replace(minute=0, second=0, microsecond=0)
    answer = client.post(PRICES, price_body(valid_from=began.isoformat(), as_of=f"{began:%Y-%m-%d}"))
    assert answer.status_code == 201, answer.content
    assert get(world.finance, f"{COSTS}/revisions/")["results"] == []
    while runner.run_one():
        pass
    shown = client.get(f"{COSTS}/revisions/").json()["results"]
    assert len(shown) == CostRecord.objects.filter(workspace=machine).count()
    assert {(one["workspace"], one["new_price"], one["reason"], one["actor"]) for one in shown} == {
        (str(machine.pk), answer.json()["id"], "it was read wrongly", str(world.finance.pk))
    }
    assert get(world.engineer, f"{COSTS}/revisions/?new_price={answer.json()['id']}")["results"] == shown
    assert get(world.contractor, f"{COSTS}/revisions/")["results"] == []
    stranger = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    assert get(stranger.admin, f"{COSTS}/revisions/")["results"] == []
    read = client.post(f"{PRICES}{answer.json()['id']}/confirm/", {"as_of": f"{NOW:%Y-%m-%d}", "source": "the bill"})
    assert (read.status_code, read.json()["source"]) == (200, "the bill")
    earlier = client.post(f"{PRICES}{answer.json()['id']}/confirm/", {"as_of": "2020-01-01"})
    problem(earlier, 422, "price_confirmed_earlier")


def test_the_same_key_sets_a_price_once(world):
    client = client_of(world.finance)
    first, second = (client.post(PRICES, price_body(), headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.status_code, second.json()) == (201, first.json())
    assert second["Idempotency-Replayed"] == "true"
    assert Price.objects.filter(organization=world.organization).count() == 1


@pytest.mark.parametrize("who", ["engineer", "contractor", "lead", "auditor"])
def test_who_may_not_set_prices_is_denied_and_on_record(world, who):
    client = client_of(getattr(world, who))
    for body in (price_body(), {}):
        problem(client.post(PRICES, body), 403, "may_not_set_prices")
    common = Price.objects.filter(organization=None).first()
    problem(client.post(f"{PRICES}{common.pk}/close/", {}), 403, "may_not_set_prices")
    assert set(entries(client).values_list("result", flat=True)) == {"DENIED"}
    assert not AuditLog.objects.filter(action_type__in=["PRICE_CREATE", "PRICE_CLOSE"], result="SUCCESS").exists()


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"monthly_amount": "-1"}, 400, "invalid"),
        ({"monthly_amount": "NaN"}, 400, "invalid"),
        ({"hourly_amount": "1e99"}, 400, "invalid"),
        ({"currency": "euro"}, 400, "invalid"),
        ({"source": "a\u0000b"}, 400, None),
        ({"as_of": "soon"}, 400, "invalid"),
        ({"valid_from": None}, 400, "invalid"),
        ({"monthly_amount": "1000000.000001"}, 422, "amount_out_of_range"),
        ({"hourly_amount": "999999999999.999999"}, 422, "amount_out_of_range"),
        ({"currency": "EUR"}, 422, "currency_not_used"),
        ({"running_mode": "ALWAYS_ON"}, 422, "hourly_when_always_on"),
        ({"valid_from": (HOUR_AHEAD + timedelta(minutes=1)).isoformat()}, 422, "price_not_whole_hours"),
        ({"valid_to": HOUR_AHEAD.isoformat()}, 422, "price_ends_before_it_starts"),
    ],
)
def test_what_is_no_price_is_refused_by_name(world, changes, status, code):
    answer = client_of(world.finance).post(PRICES, price_body(**changes))
    problem(answer, status, code or answer.json()["code"])
    assert not Price.objects.filter(organization=world.organization).exists()


# -- Bundles -----------------------------------------------------------------------------------------------------------


def test_bundles_show_size_price_and_whether_the_caller_may(world):
    document = get(world.engineer, BUNDLES)
    assert (document["next"], document["previous"]) == (None, None)
    rows = {row["bundle_type"]: row for row in document["results"]}
    assert list(rows) == ["STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN"]
    standard = rows["STANDARD"]
    assert (standard["vcpus"], standard["memory_gib"], standard["gpu"]) == (2, 4, None)
    assert (standard["region"], standard["currency"], standard["why_not"]) == ("us-east-1", "USD", None)
    members = ("operating_system", "running_mode", "monthly", "hourly")
    assert {tuple(price[name] for name in members) for price in standard["prices"]} >= {
        ("LINUX", "AUTO_STOP", "9.750000", "0.300000"),
        ("WINDOWS", "ALWAYS_ON", "35.000000", "0.000000"),
    }
    assert rows["GRAPHICSPRO_G4DN"]["may_launch"] is False
    assert rows["GRAPHICSPRO_G4DN"]["why_not"] == "As engineer you may not launch GRAPHICSPRO_G4DN."
    assert rows["GRAPHICSPRO_G4DN"]["gpu"] == "NVIDIA T4"


@pytest.mark.parametrize(
    ("who", "count"), [("contractor", 2), ("engineer", 5), ("lead", 6), ("admin", 6), ("finance", 0), ("auditor", 0)]
)
def test_each_role_may_launch_its_bundles(world, who, count):
    assert sum(row["may_launch"] for row in get(getattr(world, who), BUNDLES)["results"]) == count


def test_the_best_role_counts_unless_a_team_is_named(world):
    other = TeamFactory(organization=world.organization)
    MembershipFactory(user=world.contractor, organization=world.organization, team=other, role="team_lead")
    assert sum(row["may_launch"] for row in get(world.contractor, BUNDLES)["results"]) == 6
    assert sum(row["may_launch"] for row in get(world.contractor, f"{BUNDLES}?team={world.team.slug}")["results"]) == 2
    document = problem(client_of(world.contractor).get(f"{BUNDLES}?team=nobodys"), 400, "invalid_parameter")
    assert document["errors"][0]["parameter"] == "team"


def test_with_several_regions_one_must_be_named(world):
    ProviderAccountFactory(organization=world.organization, region="eu-west-1")
    document = problem(client_of(world.engineer).get(BUNDLES), 400, "region_required")
    assert document["regions"] == ["eu-west-1", "us-east-1"]
    assert get(world.engineer, f"{BUNDLES}?region=us-east-1")["results"][0]["may_launch"] is True
    elsewhere = get(world.engineer, f"{BUNDLES}?region=eu-west-1")["results"][0]
    assert (elsewhere["prices"], elsewhere["may_launch"]) == ([], False)
    problem(client_of(world.engineer).get(f"{BUNDLES}?region=mars-north-1"), 400, "invalid_parameter")
    problem(client_of(world.engineer).get(f"{BUNDLES}?regoin=us-east-1"), 400, "unknown_parameter")


def test_an_own_price_wins_in_the_list_of_bundles(world):
    past = (HOUR_AHEAD - timedelta(hours=3)).isoformat()
    assert client_of(world.finance).post(PRICES, price_body(valid_from=past)).status_code == 201
    prices = get(world.engineer, BUNDLES)["results"][0]["prices"]
    own = [price for price in prices if (price["operating_system"], price["running_mode"]) == ("LINUX", "AUTO_STOP")]
    assert [(price["monthly"], price["hourly"], price["source"]) for price in own] == [
        ("8.000000", "0.250000", "contract 4711")
    ]
