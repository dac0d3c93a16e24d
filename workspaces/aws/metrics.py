"""The metrics of WorkSpaces in CloudWatch: namespace AWS/WorkSpaces, one figure of a machine each five minutes.

Source: Amazon WorkSpaces Administration Guide, "Monitor your WorkSpaces using CloudWatch metrics"; limits of
GetMetricData: CloudWatch API Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings

from workspaces.aws import pace
from workspaces.aws.clients import client_of
from workspaces.aws.faults import translated
from workspaces.aws.patience import Patience
from workspaces.aws.shapes import Place

NAMESPACE = "AWS/WorkSpaces"
PERIOD_SECONDS = 300
MOST_QUERIES = 500
"""GetMetricData takes at most this many queries in one call."""

SERVICE = "cloudwatch"

_METRICS = {
    "connected": ("UserConnected", "Maximum"),
    "cpu": ("CPUUsage", "Average"),
    "memory": ("MemoryUsage", "Average"),
    "in_session_latency": ("InSessionLatency", "Average"),
}
"""Our figure → the metric's name and the statistic of a period."""


@dataclass
class Figures:
    """The figures of one machine in the five minutes from `at` on; None where CloudWatch has none."""

    provider_id: str
    at: datetime
    connected: float | None = None
    cpu: float | None = None
    memory: float | None = None
    in_session_latency: float | None = None


class Metrics:
    """CloudWatch in one account and region; raises the family of `workspaces.aws.faults`, and may be patient."""

    def __init__(
        self, place: Place, *, before_call: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> None:
        self._client = client_of(place, settings.AWS_ENDPOINT_URL, service=SERVICE)
        self._place = place
        self._before_call = before_call
        self._patience = patience

    def read(self, provider_ids: Sequence[str], *, since: datetime, until: datetime) -> list[Figures]:
        """What CloudWatch has of machines in [since, until), in as few calls as it allows; most recent last."""
        found: dict[tuple[str, datetime], Figures] = {}
        together = MOST_QUERIES // len(_METRICS)
        for first in range(0, len(provider_ids), together):
            batch = provider_ids[first : first + together]
            for number, figure, at, value in self._points(batch, since, until):
                machine = batch[number]
                setattr(found.setdefault((machine, at), Figures(machine, at)), figure, value)
        return sorted(found.values(), key=lambda figures: (figures.at, figures.provider_id))

    def _points(
        self, provider_ids: Sequence[str], since: datetime, until: datetime
    ) -> Iterator[tuple[int, str, datetime, float]]:
        request: dict[str, Any] = {
            "MetricDataQueries": [
                _query(f"{figure}_{number}", provider_id, *_METRICS[figure])
                for number, provider_id in enumerate(provider_ids)
                for figure in _METRICS
            ],
            "StartTime": since,
            "EndTime": until,
            "ScanBy": "TimestampAscending",
        }
        while True:
            answer = self._patience.of(partial(self._ask, request)) if self._patience else self._ask(request)
            for result in answer["MetricDataResults"]:
                figure, _, number = result["Id"].rpartition("_")
                for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                    yield int(number), figure, at, value
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def _ask(self, request: dict[str, Any]) -> Any:
        pace.wait_for_turn(self._place, SERVICE)
        self._before_call()
        with pace.guarded(self._place, SERVICE), translated(looking=True):
            return self._client.get_metric_data(**request)


def _query(name: str, provider_id: str, metric: str, statistic: str) -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": NAMESPACE,
                "MetricName": metric,
                "Dimensions": [{"Name": "WorkspaceId", "Value": provider_id}],
            },
            "Period": PERIOD_SECONDS,
            "Stat": statistic,
        },
    }
