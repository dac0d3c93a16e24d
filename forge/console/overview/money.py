"""Money of the overview: spent, to come, to be saved, by team and by budget; from daily sums, never from records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, F, Max, Q, QuerySet, Sum, UUIDField, When

from budgets.display import bar, money, standing
from budgets.models import Budget
from costs import forecasts
from costs.metering import metered_until
from costs.models import Advice, BookFault, costs_seen_by
from costs.pricing import cents
from forge.accounts.models import Team
from forge.adminkit.charts import MOST, OTHERS, Chart, by_day
from forge.console.costs import costs_of, in_currency
from forge.console.links import address, page_of
from forge.console.overview.figures import Figure
from forge.db.months import add_months
from workspaces.models import WorkSpace

CHART_DAYS = 30
NEAREST = 5
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Gauge:
    """A budget and where it stands."""

    budget: Budget
    standing: str

    @property
    def link(self) -> str:
        return page_of("budgets.budget", self.budget.pk)

    @property
    def bar(self) -> str:
        return bar(self.budget)

    @property
    def limit(self) -> str:
        return money(self.budget, self.budget.limit)


@dataclass(frozen=True)
class Share:
    """What one team has spent of what is drawn."""

    name: str
    amount: Decimal
    link: str


def figures(user: Any, now: datetime) -> Iterator[Figure]:
    """What this month has cost and will, beside the last; what could be saved."""
    first = now.date().replace(day=1)
    before = add_months(first, -1)
    same_day = min(before + (now.date() - first), first - timedelta(days=1))
    costs = costs_of(user)
    sums = costs.filter(day__gte=before).aggregate(
        this=Sum("total_cost", filter=Q(day__gte=first)),
        last=Sum("total_cost", filter=Q(day__lt=first)),
        so_far=Sum("total_cost", filter=Q(day__lte=same_day)),
    )
    this, last, so_far = (sums[name] or _NOTHING for name in ("this", "last", "so_far"))
    currency = user.organization.currency
    daily = "costs.dailycost"
    yield Figure(
        "Spent this month", in_currency(this, currency), _change(this, so_far, same_day), address(daily, day__gte=first)
    )
    yield Figure(
        f"{before:%B} in whole",
        in_currency(last, currency),
        "the month before",
        address(daily, day__gte=before, day__lt=first),
    )
    yield _forecast(user, costs, this, last, now)


def savings(user: Any) -> Figure:
    """What open advice would save a month; of several pieces for one machine the largest counts."""
    best = (
        Advice.objects.visible_to(user)
        .filter(status=Advice.Status.OPEN, saving_amount__gt=0, currency=user.organization.currency)
        .order_by()
        .values("workspace")
        .annotate(most=Max("saving_amount"))
        .aggregate(saving=Sum("most"), machines=Count("*"))
    )
    return Figure(
        "Could be saved a month",
        in_currency(best["saving"] or _NOTHING, user.organization.currency),
        f"advice on {best['machines']} machines",
        address("costs.advice", status__exact=Advice.Status.OPEN),
    )


def books(user: Any) -> Figure:
    """Whether records, sums and budgets tell of the same money."""
    faults = BookFault.objects.visible_to(user).open().count()
    return Figure(
        "Books",
        f"{faults} faults" if faults else "agree",
        "records, sums and budgets tell of the same money",
        address("costs.bookfault", resolved_at__isempty=1),
        is_alarm=bool(faults),
    )


def spend_by_team(user: Any, now: datetime) -> tuple[Chart, list[Share]]:
    """What the teams have spent over the last days, as a chart and as a list, the dearest first."""
    first = now.date() - timedelta(days=CHART_DAYS - 1)
    costs = costs_of(user).filter(day__gte=first)
    dearest = [
        row["team"]
        for row in costs.order_by().values("team").annotate(cost=Sum("total_cost")).order_by("-cost", "team")[:MOST]
    ]
    of_team = Case(When(team__in=dearest, then=F("team")), output_field=UUIDField())
    rows = costs.order_by().values("day").annotate(of=of_team, cost=Sum("total_cost")).values_list("of", "day", "cost")
    names = dict(Team.objects.filter(pk__in=dearest).values_list("pk", "slug"))
    sums: dict[Any, dict[date, Decimal]] = {}
    for team, day, cost in rows:
        sums.setdefault(team, {})[day] = cost
    others = sums.pop(None, None)
    named = {names[team]: by_date for team, by_date in sums.items() if team in names}
    if others:
        named[OTHERS] = others
    shares = [
        Share(names[team], sum(sums[team].values(), _NOTHING), _of_team(team, first))
        for team in dearest
        if team in names and team in sums
    ]
    if others:
        shares.append(Share(OTHERS, sum(others.values(), _NOTHING), address("costs.dailycost", day__gte=first)))
    label = f"Spend by team over {CHART_DAYS} days"
    chart = by_day(label, user.organization.currency, named, first=first, days=CHART_DAYS, most=MOST + 1)
    return chart, shares


def gauges(user: Any, now: datetime) -> list[Gauge]:
    """The budgets in force that are nearest to their limit."""
    budgets = (
        Budget.objects.visible_to(user)
        .binding(now)
        .with_limit()
        .filter(effective__gt=0, adopted_at__isnull=False)
        .with_scope_name()
        .select_related("organization")
        .prefetch_related("thresholds")
        .order_by(((F("spent") + F("reserved")) / F("effective")).desc(), "id")[:NEAREST]
    )
    return [Gauge(budget, standing(budget, now)) for budget in budgets]


def _forecast(user: Any, costs: QuerySet[Any], spent: Decimal, last: Decimal, now: datetime) -> Figure:
    """What the month will come to, reckoned as the API's forecast is."""
    organization = user.organization
    ahead = forecasts.forecast(
        costs=costs,
        machines=WorkSpace.objects.filter(costs_seen_by(user, owner="owner_id")),
        organization=organization,
        since=metered_until(organization.pk, now),
        until=add_months(now.date().replace(day=1), 1),
        now=now,
    )
    pace_since = now.date() - timedelta(days=forecasts.PACE_DAYS)
    return Figure(
        "Forecast for the month",
        in_currency(spent + ahead.fees + ahead.running, organization.currency),
        f"{cents(ahead.fees):,} fees and {cents(ahead.running):,} of running to come",
        address("costs.dailycost", day__gte=pace_since),
    )


def _change(this: Decimal, so_far: Decimal, same_day: date) -> str:
    """This month beside the same days of the last."""
    if not so_far:
        return f"nothing up to {same_day:%-d %B}"
    change = 100 * (this - so_far) / so_far
    return f"{abs(change):.0f} % {'more' if change >= 0 else 'less'} than by {same_day:%-d %B}"


def _of_team(team: Any, first: date) -> str:
    return address("costs.dailycost", team__id__exact=team, day__gte=first)
