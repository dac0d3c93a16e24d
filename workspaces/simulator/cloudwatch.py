"""GetMetricData for the metrics of WorkSpaces, computed from what each machine was when and from its usage pattern."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from workspaces.simulator import pages
from workspaces.simulator.errors import AwsError
from workspaces.simulator.history import History
from workspaces.simulator.machine import Machine
from workspaces.simulator.usage import chance
from workspaces.simulator.world import Place

NAMESPACE = "AWS/WorkSpaces"
SAMPLE_SECONDS = 300
DAY = 86_400
_MOST_QUERIES = 500
_MOST_POINTS = 100_800
_UNITS = {"UserConnected": "Count", "CPUUsage": "Percent", "MemoryUsage": "Percent", "InSessionLatency": "Milliseconds"}
_RUNS = {"AVAILABLE", "IMPAIRED", "UNHEALTHY"}
_PERCENTILE = re.compile(r"^p(\d{1,2}(?:\.\d+)?|100)$")
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": fmean,
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}

Request = Mapping[str, Any]
Point = tuple[float, float]


def get_metric_data(place: Place, now: float, request: Request) -> dict[str, Any]:
    queries, begins, ends = request["MetricDataQueries"], request["StartTime"], request["EndTime"]
    _check(queries, begins, ends)
    most = request.get("MaxDatapoints", _MOST_POINTS)
    if not 1 <= most <= _MOST_POINTS:
        raise AwsError("InvalidParameterValue", f"MaxDatapoints must be from 1 to {_MOST_POINTS}.")
    question = {name: value for name, value in request.items() if name != "NextToken"}
    after = pages.after(request, question, code="InvalidNextToken")
    is_ascending = request.get("ScanBy") == "TimestampAscending"
    points = (
        (query, point)
        for query in queries
        if query.get("ReturnData", True)
        for point in _points(place, now, query["MetricStat"], begins, ends, is_ascending=is_ascending)
    )
    numbered = ((number, item) for number, item in enumerate(points) if number > after)
    found, token = pages.cut(numbered, size=most, question=question)
    by_query: dict[str, list[Point]] = {query["Id"]: [] for query in queries}
    for query, point in found:
        by_query[query["Id"]].append(point)
    asked = [query for query in queries if query.get("ReturnData", True)]
    shown = [_result(query, by_query[query["Id"]], is_last=token is None) for query in asked]
    return pages.page("MetricDataResults", shown, token) | {"Messages": []}


def _result(query: Request, points: Sequence[Point], *, is_last: bool) -> dict[str, Any]:
    return {
        "Id": query["Id"],
        "Label": query.get("Label", query["MetricStat"]["Metric"]["MetricName"]),
        "Timestamps": [when for when, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": "Complete" if is_last else "PartialData",
    }


def _check(queries: Sequence[Request], begins: float, ends: float) -> None:
    if not queries:
        raise AwsError("MissingParameter", "The parameter MetricDataQueries is required.")
    if len(queries) > _MOST_QUERIES:
        text = f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}."
        raise AwsError("ValidationError", text)
    if begins >= ends:
        raise AwsError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    ids = [query["Id"] for query in queries]
    if len(set(ids)) < len(ids):
        raise AwsError("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
    for query in queries:
        _check_query(query)


def _check_query(query: Request) -> None:
    if not re.fullmatch(r"[a-z][A-Za-z0-9_]*", query["Id"]):
        raise AwsError("ValidationError", f"The value {query['Id']} for parameter Id must start with a small letter.")
    if "Expression" in query or "MetricStat" not in query:
        raise AwsError("ValidationError", "Each query must be a MetricStat: expressions are not offered here.")
    stat, period = query["MetricStat"]["Stat"], query["MetricStat"]["Period"]
    if stat not in _STATISTICS and not _PERCENTILE.match(stat):
        raise AwsError("ValidationError", f"The value {stat} for parameter Stat is not supported.")
    if period % 60:
        raise AwsError("ValidationError", f"The value {period} for parameter Period is no multiple of 60.")


def _points(
    place: Place, now: float, asked: Request, begins: float, ends: float, *, is_ascending: bool
) -> Iterator[Point]:
    """One point for each period that holds samples; what CloudWatch keeps no longer is not there."""
    metric, period = asked["Metric"], asked["Period"]
    dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
    name = metric.get("MetricName")
    if metric.get("Namespace") != NAMESPACE or name not in _UNITS or set(dimensions) != {"WorkspaceId"}:
        return
    found = place.past(dimensions["WorkspaceId"], now)
    if found is None or asked.get("Unit", _UNITS[name]) != _UNITS[name]:
        return
    machine, history = found
    first = int(max(_rounded(begins, now), now - _kept_seconds(period)) // period) * period
    starts = range(first, int(min(ends, now)) + 1, period)
    for start in starts if is_ascending else reversed(starts):
        if start < ends:
            values = list(_samples(machine, history, name, start, min(start + period, now)))
            if values:
                yield float(start), _statistic(asked["Stat"], values)


def _rounded(begins: float, now: float) -> float:
    """StartTime rounded down as CloudWatch does it, more coarsely for the far past."""
    age = now - begins
    step = 60 if age < 15 * DAY else 300 if age < 63 * DAY else 3600
    return begins // step * step


def _kept_seconds(period: float) -> float:
    return (15 if period < 300 else 63) * DAY


def _samples(machine: Machine, history: History, name: str, begins: float, ends: float) -> Iterator[float]:
    """The samples that a machine sent between two instants: one each five minutes while it ran."""
    first = -int(-begins // SAMPLE_SECONDS) * SAMPLE_SECONDS
    for instant in range(first, int(-(-ends // 1)), SAMPLE_SECONDS):
        was = history.at(instant)
        if was is None or was[0] not in _RUNS:
            continue
        value = _value(machine, name, instant, is_connected=was[1])
        if value is not None:
            yield value


def _value(machine: Machine, name: str, instant: float, *, is_connected: bool) -> float | None:
    seed = machine.usage.seed if machine.usage else 0
    noise = chance(seed, machine.person, name, instant)
    match name:
        case "UserConnected":
            return float(is_connected)
        case "InSessionLatency":
            return round(20 + 60 * noise, 1) if is_connected else None
        case "MemoryUsage":
            return round((40 if is_connected else 20) + 15 * noise, 1)
    if machine.usage is not None and machine.usage.is_busy(machine.person, instant):
        return round(70 + 28 * noise, 1)
    return round(10 + 40 * noise if is_connected else 0.5 + 3 * noise, 1)


def _statistic(stat: str, values: Sequence[float]) -> float:
    simple = _STATISTICS.get(stat)
    if simple is not None:
        return round(float(simple(values)), 4)
    ordered = sorted(values)
    place = float(stat[1:]) / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below), 4)
