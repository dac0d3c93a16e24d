"""Sampling the use of running machines: who is connected, how busy they are, and the newest sign of use."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from forge.db import partitions
from forge.db.jobs import JobFault
from forge.db.models import JobRun
from workspaces import aws
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, UsageSample, WorkSpace
from workspaces.places import place_of
from workspaces.rules.ceilings import ceilings_of
from workspaces.rules.deadlines import gap_worth_writing, idle_time_in_force
from workspaces.rules.settings import COLLECT_EVERY, RECENT, idle_cpu

logger = logging.getLogger(__name__)

JOB = "collect_usage"
TABLE = "workspaces_usagesample"
CHUNK = 500
MOST_BEHIND = timedelta(hours=3)
"""After an outage the figures of CloudWatch are read this far back."""

Gaps = Mapping[uuid.UUID, timedelta]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A source that says something later, or again, fills in what it did not say before; a sample is written once.
_INSERT = """
    INSERT INTO workspaces_usagesample AS sample (
        workspace_id, organization_id, at, source, connected, cpu, memory, in_session_latency
    )
    SELECT * FROM unnest(
        %(workspaces)s::uuid[], %(organizations)s::uuid[], %(ats)s::timestamptz[], %(sources)s::text[],
        %(connected)s::boolean[], %(cpu)s::float8[], %(memory)s::float8[], %(latency)s::float8[]
    )
    ON CONFLICT (workspace_id, at, source) DO UPDATE
       SET connected = coalesce(EXCLUDED.connected, sample.connected), cpu = coalesce(EXCLUDED.cpu, sample.cpu),
           memory = coalesce(EXCLUDED.memory, sample.memory),
           in_session_latency = coalesce(EXCLUDED.in_session_latency, sample.in_session_latency)
     WHERE (EXCLUDED.connected, EXCLUDED.cpu, EXCLUDED.memory, EXCLUDED.in_session_latency)
           IS DISTINCT FROM (sample.connected, sample.cpu, sample.memory, sample.in_session_latency)
"""

# Rows are locked in the order of their ids first: two collectors at once never wait for each other crosswise.
_LOCK = """
    SELECT id FROM workspaces_workspace WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""

# A newer sign is put off until it is worth the write, but for a machine whose people were warned since the sign that is
# written down: use voids a warning, so none is held back.
_ACTIVE = """
    UPDATE workspaces_workspace AS machine
       SET last_activity_at = new.at, last_signal = new.signal, updated_at = %(now)s
      FROM (
          SELECT DISTINCT ON (id) id, at, signal, gap
            FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[], %(signals)s::text[], %(gaps)s::interval[])
              AS seen (id, at, signal, gap)
           ORDER BY id, at DESC, signal DESC
      ) AS new
     WHERE machine.id = new.id AND machine.state = %(state)s
       AND (machine.last_activity_at IS NULL OR new.at - machine.last_activity_at >= new.gap
            OR (new.at > machine.last_activity_at AND machine.stop_warned_at >= machine.last_activity_at))
"""

# Not put off like _ACTIVE: people read it, and no rule is reckoned anew because of it.
_CONNECTED = """
    UPDATE workspaces_workspace AS machine
       SET last_connected_at = seen.at, updated_at = %(now)s
      FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS seen (id, at)
     WHERE machine.id = seen.id AND (machine.last_connected_at IS NULL OR machine.last_connected_at < seen.at)
"""


class UsageNotCollected(JobFault):
    """The use of some machines could not be sampled; that of all others was."""


@dataclass
class Figures:
    """Counts of one run; `unreachable` counts provider accounts that AWS did not answer for."""

    machines: int = 0
    samples: int = 0
    active: int = 0
    unreachable: int = 0
    failed: int = 0


@dataclass
class _Batch:
    """Samples to write, signs of use found in them, and when people were last connected as AWS has it."""

    samples: list[UsageSample] = field(default_factory=list)
    signs: list[tuple[uuid.UUID, datetime, str]] = field(default_factory=list)
    connected: list[tuple[uuid.UUID, datetime]] = field(default_factory=list)


def slot_of(now: datetime) -> datetime:
    """The start of the five minutes that hold `now`: what a connection's sample is filed under."""
    return now - (now - _EPOCH) % COLLECT_EVERY


def collect(*, now: datetime) -> dict[str, int]:
    """Sample every running machine, account by account; returns the counts of Figures.

    Writing is idempotent by machine, instant and source. An account that does not answer keeps no other from its
    turn: UsageNotCollected is raised at the end.
    """
    figures = Figures()
    faults: list[str] = []
    since = _since(now)
    partitions.ensure_span(TABLE, since, now)
    patience = aws.Patience()
    for account in ProviderAccount.objects.order_by("id"):
        try:
            _collect_account(account, figures, patience, since=since, now=now)
        except aws.AwsError as error:
            figures.unreachable += 1
            faults.append(f"provider account {account.id}: {error}")
            logger.warning("the use of provider account %s was not sampled: %s", account.id, error)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("the use of provider account %s could not be sampled", account.id)
            figures.failed += 1
            faults.append(f"provider account {account.id}: {type(error).__name__}")
    if faults:
        raise UsageNotCollected(f"{len(faults)} faults: {'; '.join(faults[:20])}", asdict(figures))
    return asdict(figures)


def _since(now: datetime) -> datetime:
    """From when on CloudWatch is asked: a little before the last run that got everything."""
    last = JobRun.objects.filter(job=JOB, outcome=JobRun.Outcome.SUCCEEDED).order_by("-slot").first()
    asked = last.started_at if last else now
    return slot_of(max(now - MOST_BEHIND, min(now, asked) - RECENT))


def _collect_account(
    account: ProviderAccount, figures: Figures, patience: aws.Patience, *, since: datetime, now: datetime
) -> None:
    """Connections first: whatever keeps CloudWatch from answering, they are known."""
    for machines in _chunks(account):
        figures.machines += len(machines)
        by_provider_id = {machine.provider_id: machine for machine in machines}
        gaps = _gaps(machines)
        place = place_of(account)
        seen = aws.Gateway(place, patience=patience).connections(list(by_provider_id)).values()
        _write(_of_connections(seen, by_provider_id, now=now), gaps, figures, now=now)
        measured = aws.Metrics(place, patience=patience).read(list(by_provider_id), since=since, until=slot_of(now))
        _write(_of_metrics(measured, by_provider_id), gaps, figures, now=now)


_READ = ("organization_id", "team_id", "provider_id", "auto_stop_timeout_minutes", "blueprint__name")


def _gaps(machines: Sequence[WorkSpace]) -> Gaps:
    """How much newer a sign of use of each machine must be than the known one, by the idle time in force."""
    ceilings = ceilings_of(machines)
    own = {machine.id: timedelta(minutes=machine.auto_stop_timeout_minutes) for machine in machines}
    return {one: gap_worth_writing(idle_time_in_force(own[one], ceilings[one].idle)) for one in own}


def _chunks(account: ProviderAccount) -> Iterator[Sequence[WorkSpace]]:
    """Running machines of WorkSpaces Personal: sessions of Applications are followed by reconcile."""
    personal = WorkSpace.objects.filter(provider_account=account, service_type=WorkSpace.ServiceType.PERSONAL)
    running = personal.filter(state=State.AVAILABLE).exclude(provider_id="")
    wanted = running.select_related("blueprint").only(*_READ).order_by("id")
    after: uuid.UUID | None = None
    while chunk := list((wanted.filter(id__gt=after) if after else wanted)[:CHUNK]):
        yield chunk
        if len(chunk) < CHUNK:
            return
        after = chunk[-1].id


def _of_connections(seen: Iterable[aws.Connection], machines: dict[str, WorkSpace], *, now: datetime) -> _Batch:
    batch = _Batch()
    for status in seen:
        machine = machines[status.provider_id]
        batch.samples.append(
            _sample(machine, UsageSample.Source.CONNECTION, slot_of(now), connected=status.is_connected)
        )
        used_at = now if status.is_connected else status.last_connected_at
        if used_at is not None:
            batch.signs.append((machine.id, min(used_at, now), WorkSpace.Signal.CONNECTED))
            batch.connected.append((machine.id, min(used_at, now)))
    return batch


def _of_metrics(measured: Iterable[aws.Figures], machines: dict[str, WorkSpace]) -> _Batch:
    batch = _Batch()
    for one in measured:
        machine = machines[one.provider_id]
        connected = None if one.connected is None else one.connected > 0
        values = {"cpu": one.cpu, "memory": one.memory, "in_session_latency": one.in_session_latency}
        batch.samples.append(_sample(machine, UsageSample.Source.CLOUDWATCH, one.at, connected=connected, **values))
        if connected:
            batch.signs.append((machine.id, one.at, WorkSpace.Signal.CONNECTED))
        elif one.cpu is not None and one.cpu >= idle_cpu():
            batch.signs.append((machine.id, one.at, WorkSpace.Signal.CPU))
    return batch


def _sample(machine: WorkSpace, source: str, at: datetime, **values: Any) -> UsageSample:
    return UsageSample(workspace_id=machine.id, organization_id=machine.organization_id, at=at, source=source, **values)


def _write(batch: _Batch, gaps: Gaps, figures: Figures, *, now: datetime) -> None:
    if not batch.samples:
        return
    samples = sorted(batch.samples, key=lambda sample: (sample.workspace_id, sample.at))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            {
                "workspaces": [sample.workspace_id for sample in samples],
                "organizations": [sample.organization_id for sample in samples],
                "ats": [sample.at for sample in samples],
                "sources": [str(sample.source) for sample in samples],
                "connected": [sample.connected for sample in samples],
                "cpu": [sample.cpu for sample in samples],
                "memory": [sample.memory for sample in samples],
                "latency": [sample.in_session_latency for sample in samples],
            },
        )
        figures.samples += cursor.rowcount
        if batch.signs:
            _write_signs(batch, gaps, cursor, figures, now=now)


def _write_signs(batch: _Batch, gaps: Gaps, cursor: CursorWrapper, figures: Figures, *, now: datetime) -> None:
    ids, ats, signals = zip(*batch.signs, strict=True)
    signs: dict[str, Any] = {
        "ids": list(ids),
        "ats": list(ats),
        "signals": [str(signal) for signal in signals],
        "gaps": [gaps[one] for one in ids],
        "now": now,
        "state": State.AVAILABLE.value,
    }
    cursor.execute(_LOCK, signs)
    cursor.execute(_ACTIVE, signs)
    figures.active += cursor.rowcount
    if batch.connected:
        ids, ats = zip(*batch.connected, strict=True)
        cursor.execute(_CONNECTED, {"ids": list(ids), "ats": list(ats), "now": now})
