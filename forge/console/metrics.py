"""`/metrics` for Prometheus: the figures of /readyz and of the work, read from the database at each scrape, and what
the processes that share a folder have counted (forge.metrics.counters).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from audit.sealing import seals
from audit.verification.standing import standing
from costs import metering
from costs.models import BookFault
from costs.standing import standing as price_standing
from forge.console import work_metrics
from forge.db import partitions, scope
from forge.metrics.counters import may_read, processes
from workspaces.models import Finding

logger = logging.getLogger(__name__)


class Away(Collector):
    """What is told where the database does not answer."""

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _database_up(False)


class DatabaseCollector(Collector):
    """Every figure, as one read of the database at `now` has it. Raises what the database raises."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering it asks the database nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _database_up(True)
        yield from self._sealing()
        yield from self._verification()
        yield from self._partitions()
        yield _gauge(
            "forge_costs_metering_lag_seconds",
            "Age of the oldest machine-hour that is not booked yet.",
            metering.lag(self._now).total_seconds(),
        )
        yield from self._prices()
        yield _gauge(
            "forge_book_faults", "Sums that were found to differ from their records.", BookFault.objects.open().count()
        )
        yield from self._findings()
        yield from work_metrics.operations(self._now)
        yield from work_metrics.scheduled(self._now)
        yield from work_metrics.queues()

    def _sealing(self) -> Iterator[GaugeMetricFamily]:
        status = seals.status()
        yield _gauge("forge_audit_tree_size", "Entries of the audit log that are sealed.", status.tree_size)
        yield _gauge("forge_audit_entries_waiting", "Entries that wait for their seal.", status.waiting)
        yield _gauge(
            "forge_audit_sealing_lag_seconds", "How long the oldest of them has waited.", status.lag.total_seconds()
        )
        yield _gauge("forge_audit_seal_problems", "Problems that /readyz names under seals.", len(status.problems))
        yield _gauge("forge_audit_lanes", "Lanes in use; 256 is the limit.", seals.lanes_in_use())
        unpublished = GaugeMetricFamily(
            "forge_audit_checkpoints_unpublished", "Signed checkpoints that the sink lacks.", labels=["sink"]
        )
        for sink, count in seals.unpublished().items():
            unpublished.add_metric([sink], count)
        yield unpublished

    def _verification(self) -> Iterator[GaugeMetricFamily]:
        found = standing(self._now)
        yield _gauge("forge_audit_verification_problems", "Problems of /readyz's verification.", len(found.problems))
        if found.last is not None:
            last = found.last
            yield _gauge(
                "forge_audit_verification_timestamp_seconds", "End of the last verification.", _at(last.finished_at)
            )
            yield _gauge("forge_audit_verification_findings", "What the last verification found.", last.findings)
            outcome = GaugeMetricFamily(
                "forge_audit_verification_outcome", "1 for the outcome of the last verification.", labels=["outcome"]
            )
            for name in type(last).Outcome.values:
                outcome.add_metric([name.lower()], float(last.outcome == name))
            yield outcome
        if found.intact is not None:
            yield _gauge(
                "forge_audit_verification_intact_timestamp_seconds",
                "End of the last verification, full or since one, that found the log intact.",
                _at(found.intact.finished_at),
            )

    def _partitions(self) -> Iterator[GaugeMetricFamily]:
        ahead = GaugeMetricFamily("forge_partition_months_ahead", "Months that a table has ahead.", labels=["table"])
        faults = GaugeMetricFamily("forge_partition_faults", "Faults of a table's months.", labels=["table"])
        for report in partitions.check(self._now, using="default"):
            ahead.add_metric([report.table], report.months_ahead)
            faults.add_metric([report.table], len(report.faults))
        yield ahead
        yield faults

    def _prices(self) -> Iterator[GaugeMetricFamily]:
        found = price_standing(self._now)
        yield _gauge(
            "forge_price_age_seconds",
            "Since when nobody has read the oldest price of a live machine.",
            found.oldest.total_seconds(),
        )
        yield _gauge(
            "forge_prices_missing",
            "Kinds of live machines without a price in force, or without one of the storage that they have.",
            len(found.missing) + len(found.without_storage),
        )
        yield _gauge("forge_prices_stale", "Kinds of live machines at a price read too long ago.", len(found.stale))

    def _findings(self) -> Iterator[GaugeMetricFamily]:
        open_ = GaugeMetricFamily("forge_findings_open", "Security findings that stand.", labels=["check"])
        counts = dict(Finding.objects.open().values_list("check_name").annotate(Count("id")))
        for name in Finding.Check.values:
            open_.add_metric([name], counts.get(name, 0))
        yield open_


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures in Prometheus's text form, for whoever has FORGE_METRICS_TOKEN; without that setting for nobody.

    An address proves nothing: behind a proxy on the same machine everybody comes from there.
    """
    if not settings.FORGE_METRICS_TOKEN:
        return _plain("Metrics are off: set FORGE_METRICS_TOKEN and scrape with it as a bearer token.", 404)
    if not may_read(request.headers.get("Authorization", "")):
        answer = _plain("Send `Authorization: Bearer <FORGE_METRICS_TOKEN>`.", 401)
        answer["WWW-Authenticate"] = 'Bearer realm="forge-metrics"'
        return answer
    try:
        with scope.system():
            figures = _text_of(DatabaseCollector(timezone.now()))
    except (InterfaceError, OperationalError) as error:
        logger.warning("The database does not answer: %s", error)
        figures = _text_of(Away())
    return HttpResponse(figures + generate_latest(processes()), content_type=CONTENT_TYPE_LATEST)


metrics.audit_may_fail = True  # type: ignore[attr-defined]  # it is asked most when the database is away


def _text_of(collector: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


def _database_up(is_up: bool) -> GaugeMetricFamily:
    return _gauge("forge_database_up", "1 while the database answers; its figures are missing otherwise.", float(is_up))


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def _at(moment: datetime) -> float:
    return moment.timestamp()


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
