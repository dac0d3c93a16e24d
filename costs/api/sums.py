"""`/api/v1/costs/`: sums of costs by what they are grouped by and by time, what they will come to, and quotes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from costs import forecasts, reports
from costs.api.filters import (
    DailyCostFilterSet,
    DailyTotalFilterSet,
    ForecastFilterSet,
    ForecastMachineFilterSet,
    HourlyCostFilterSet,
)
from costs.api.parameters import days_of, group_by_of, interval_ahead, interval_of, invalid, period_ahead
from costs.api.serializers import QuotedLaunchSerializer, QuoteRequestSerializer
from costs.api.sum_serializers import CostForecastSerializer, SummarySerializer, TimeseriesSerializer
from costs.api.tags import costs_by_tag
from costs.metering import metered_until
from costs.models import CostRecord, DailyCost, DailyTotal, costs_seen_by
from costs.outlooks import TooManyGroups, TooManyParts, outlook
from costs.quotes import price_for, quote
from forge.accounts.models import Membership
from forge.accounts.services import organization_of
from forge.api.deprecations import deprecated
from forge.api.filters import filtered
from forge.api.views import ForgeViewSet
from workspaces.api.serializers import launch_spec
from workspaces.guards import blueprint_visible
from workspaces.models import WorkSpace
from workspaces.resolve import resolve_launch

MOST_GROUPS = 1000
MOST_POINTS = 10_000
MOST_DAYS_AHEAD = 366

_DIMENSIONS = ", ".join(reports.DIMENSIONS)
_RANGE = [
    OpenApiParameter("start", str, description="First UTC day; without it the first of the month."),
    OpenApiParameter("end", str, description="UTC day after the last; without it tomorrow."),
]
_GROUP_BY = OpenApiParameter(
    "group_by", str, description=f"One or two of {_DIMENSIONS}; or tag:KEY alone, of a chosen key."
)
_INTERVAL = OpenApiParameter(
    "interval",
    str,
    enum=reports.INTERVALS,
    description="Of UTC, a day without it; a week begins on Monday. By hour at most 31 days at a time.",
)
_AHEAD = [
    OpenApiParameter("start", str, description="First UTC day of what is spent; without it the first of the month."),
    OpenApiParameter("end", str, description="UTC day after the last, ahead; without it the first of the next month."),
    OpenApiParameter(
        "interval", str, enum=reports.INTERVALS_AHEAD, description="Of UTC; a week begins on Monday. Without it none."
    ),
    OpenApiParameter("group_by", str, description=f"One or two of {_DIMENSIONS}."),
]


class CostViewSet(ForgeViewSet):
    """Sums of costs that the caller may see, what they will come to, and quotes."""

    queryset = DailyCost.objects.all()
    may_lag = True
    serializer_class = SummarySerializer
    filterset_class = DailyCostFilterSet
    pagination_class = None
    extra_parameters = ("start", "end", "group_by")
    audit_resource = "DailyCost"
    audit_as_read = False

    @extend_schema(parameters=[*_RANGE, _GROUP_BY], responses={200: SummarySerializer})
    @action(detail=False, methods=["get"])
    def summary(self, request: Request) -> Response:
        """The sums of a range of days, in all and by up to two dimensions, the dearest groups first."""
        start, end = days_of(request, now=timezone.now())
        group_by = by = group_by_of(request)
        costs = self._daily(request, by)
        tagged = costs_by_tag(request, group_by)
        if tagged is not None:
            costs, by = tagged[0], [reports.TAG]
        costs = reports.between(costs, start, end)
        groups = reports.groups(costs, by=by, most=MOST_GROUPS + 1) if by else []
        is_whole = 0 < len(groups) <= MOST_GROUPS
        answer: dict[str, Any] = {
            "start": start,
            "end": end,
            "total": reports.total_of(groups) if is_whole else reports.total(costs),
            "group_by": ",".join(group_by) or None,
            "groups": groups[:MOST_GROUPS],
            "more_groups": len(groups) > MOST_GROUPS,
        }
        if tagged is not None:
            answer["tag_since"] = tagged[1].since
        return self._figures(SummarySerializer, answer, by=by)

    @extend_schema(parameters=[*_RANGE, _INTERVAL, _GROUP_BY], responses={200: TimeseriesSerializer})
    @action(detail=False, methods=["get"], extra_parameters=(*extra_parameters, "interval"))
    @deprecated(since=date(2026, 12, 1), sunset=date(2027, 12, 1), field="Point.day")
    def timeseries(self, request: Request) -> Response:
        """The sums of each hour, day, week or month, by up to two dimensions."""
        interval = interval_of(request)
        start, end = days_of(request, now=timezone.now(), interval=interval)
        group_by = by = group_by_of(request)
        costs = self._daily(request, by)
        tagged = costs_by_tag(request, group_by)
        if tagged is not None:
            if interval == reports.HOUR:
                raise invalid("interval", "Sums by tag are by day, week and month.")
            costs, by = tagged[0], [reports.TAG]
        if interval == reports.HOUR:
            costs = reports.hours_between(self._records(request), start, end)
        else:
            costs = reports.between(costs, start, end)
        points = reports.series(costs, interval=interval, by=by, most=MOST_POINTS + 1)
        if len(points) > MOST_POINTS:
            raise invalid(
                "group_by", f"That is more than {MOST_POINTS} sums; ask for less time, longer intervals or filter them."
            )
        for point in points:
            if interval == reports.DAY:
                point["day"] = point["period_start"]
            point["is_cut"] = reports.is_cut(interval, point["period_start"], start, end)
        answer: dict[str, Any] = {
            "start": start,
            "end": end,
            "interval": interval,
            "group_by": group_by,
            "results": points,
        }
        if tagged is not None:
            answer["tag_since"] = tagged[1].since
        return self._figures(TimeseriesSerializer, answer, by=by)

    @extend_schema(parameters=_AHEAD, responses={200: CostForecastSerializer})
    @action(
        detail=False,
        methods=["get"],
        filterset_class=ForecastFilterSet,
        extra_parameters=(*extra_parameters, "interval"),
    )
    def forecast(self, request: Request) -> Response:
        """What the costs of a period that is not over will come to: spent, fees still to come, running at its pace."""
        user: Any = request.user
        now = timezone.now()
        interval, by = interval_ahead(request), group_by_of(request, with_tags=False)
        start, end = period_ahead(request, now=now, most=MOST_DAYS_AHEAD)
        machines = WorkSpace.objects.filter(costs_seen_by(user, owner="owner_id"))
        given: dict[str, Any] = {
            "costs": self._daily(request, by),
            "machines": filtered(machines, ForecastMachineFilterSet, self._filters(request, ForecastMachineFilterSet)),
            "organization": organization_of(user),
            "since": max(metered_until(organization_of(user).pk, now), datetime.combine(start, time(), UTC)),
            "until": end,
            "now": now,
        }
        ahead = forecasts.forecast(**given)
        spent = reports.total(reports.between(given["costs"], start, end))
        answer = {
            "start": start,
            "end": end,
            "spent": spent,
            "fees_to_come": ahead.fees,
            "running_to_come": ahead.running,
            "total_cost": spent["total_cost"] + ahead.fees + ahead.running,
            "pace": [{"weekday": weekday, "running_cost": amount} for weekday, amount in ahead.pace.items()],
            "machines": ahead.machines,
            **({"interval": interval} if interval else {}),
            "group_by": by,
            "results": self._parts({**given, "start": start}, by=by, interval=interval) if interval or by else [],
        }
        return self._figures(CostForecastSerializer, answer, by=by)

    @staticmethod
    def _parts(given: dict[str, Any], *, by: list[str], interval: str | None) -> list[dict[str, Any]]:
        """The forecast by interval and group; 400 where these are too many."""
        try:
            return outlook(**given, by=by, interval=interval, most_groups=MOST_GROUPS, most_parts=MOST_POINTS)
        except TooManyGroups as error:
            raise invalid("group_by", f"{error} Filter them.") from error
        except TooManyParts as error:
            raise invalid("interval", f"{error} Ask for longer intervals or less time.") from error

    def _figures(self, serializer: Any, answer: dict[str, Any], *, by: Sequence[str] = ()) -> Response:
        """The answer with the currency, beside each figure too, and until when metering has booked."""
        organization = organization_of(self.request.user)
        now = timezone.now()
        until = metered_until(organization.pk, now)
        lag = {"metered_until": until, "lag_seconds": int((now - until).total_seconds())}
        currency = {"currency": organization.currency}
        return Response(serializer({**answer, **lag, **currency}, context={**currency, "group_by": by}).data)

    def _daily(self, request: Request, group_by: list[str]) -> QuerySet[Any]:
        """The daily sums that the caller may see and asks for; those without people where nobody asks for people."""
        costs = self.filter_queryset(self.get_queryset())
        user: Any = request.user
        if "user" in group_by or "user" in request.query_params or not user.has_role(*Membership.ORGANIZATION_WIDE):
            return costs
        totals = DailyTotal.objects.visible_to(user)
        return filtered(totals, DailyTotalFilterSet, self._filters(request, DailyTotalFilterSet))

    def _records(self, request: Request) -> QuerySet[CostRecord]:
        """The records that the caller may see, filtered as the daily sums are."""
        records = CostRecord.objects.filter(costs_seen_by(request.user))  # type: ignore[arg-type]
        return filtered(records, HourlyCostFilterSet, self._filters(request, HourlyCostFilterSet))

    @staticmethod
    def _filters(request: Request, filterset: Any) -> dict[str, str]:
        return {name: value for name, value in request.query_params.items() if name in filterset.base_filters}

    @extend_schema(request=QuoteRequestSerializer, responses={200: QuotedLaunchSerializer})
    @action(detail=False, methods=["post"], audit_as_read=True, extra_parameters=())
    def quote(self, request: Request) -> Response:
        """What the machine of a launch would cost; reserves nothing, and asks neither budgets nor roles for room."""
        wanted = self.validated(QuoteRequestSerializer)
        now = timezone.now()
        resolved = resolve_launch(actor=self.actor, spec=launch_spec(wanted), now=now, only_quote=True)
        intent = resolved.intent
        blueprint_visible(intent, dry_run=True)
        price = price_for(
            organization=intent.organization,
            region=intent.region,
            bundle_type=intent.bundle_type,
            operating_system=intent.operating_system,
            running_mode=intent.running_mode,
            service_type=intent.service_type,
            now=now,
        )
        figures = quote(
            price=price,
            storage_gb=intent.root_volume_gb + intent.user_volume_gb,
            hours=wanted["hours"],
            lifetime_end=intent.lifetime_end,
            now=now,
        )
        return Response(QuotedLaunchSerializer(figures, context={"region_choice": resolved.region_choice}).data)
