"""The retention of the log itself: what must hold before one of its months may leave, and what its copy is made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from audit import holds
from audit.archive import bundles
from audit.archive.policies import Policy, register
from audit.places import CopyDiffers
from audit.sealing import keys
from audit.verification.dropped import LOG, TABLE, spans_of
from audit.verification.queries import fetch
from audit.verification.rows import verify
from audit.verifier import layout
from audit.verifier.checking import check_bundle
from forge.db import partitions
from forge.db.detached import months_of, twin

BUNDLE = "bundle"
PERSONAL = ("user_email", "source_ip", "user_agent", "personal", "salt")

# Under a signed checkpoint that has reached a sink, and with the hash that was sealed.
_UNSEALED = f"""
    SELECT count(*) FROM {LOG} AS log
      LEFT JOIN audit_auditleaf AS leaf ON leaf.lane = log.lane AND leaf.lane_seq = log.lane_seq
     WHERE log."timestamp" >= %(first)s AND log."timestamp" < %(end)s
       AND (leaf.hash = sha256('\\x00'::bytea || log.log_hash)
            AND leaf."index" < (SELECT max(tree_size) FROM audit_auditcheckpoint AS checkpoint WHERE note IS NOT NULL
                  AND EXISTS (SELECT FROM audit_auditpublication WHERE checkpoint_id = checkpoint.id))) IS NOT TRUE
"""  # noqa: S608


# A row whose values are gone is whole only as long as the erasure that took them is there.
_ERASURES = f"""
    SELECT DISTINCT log.context ->> 'month' FROM {LOG} AS log
     WHERE log.action_type = 'AUDIT_ERASE' AND log."timestamp" >= %(first)s AND log."timestamp" < %(end)s
       AND log.context ->> 'month' < %(month)s
"""  # noqa: S608


def hindrances(first: date, end: date) -> Iterator[str]:
    """Why a month [first, end) of the log stays: a legal hold, erasures that older months need, entries that are not
    sealed and published."""
    bounds = {"first": _midnight(first), "end": _midnight(end)}
    for table in (TABLE, twin(TABLE)):
        for hold in holds.over_period(bounds["first"], bounds["end"], table=table, using="default"):
            yield f"legal hold {hold.id}"
    for (month,) in fetch(_ERASURES, bounds | {"month": f"{first:%Y-%m}"}):
        if month in _months_here():
            yield f"its erasures are needed while {month} is here"
    ((unsealed,),) = fetch(_UNSEALED, bounds)
    if unsealed:
        yield f"{unsealed} entries are not under a signed and published checkpoint"


def write_bundle(month: date, folder: Path) -> None:
    """Put the export bundle of a detached month into `folder`."""
    with bundles.write(folder / BUNDLE, first=month, until=month, tables=(twin(TABLE), TABLE), using="owner"):
        pass


def check_month(month: date, folder: Path) -> None:
    """The month must be intact in the database, and its bundle intact by itself; raises CopyDiffers."""
    findings = verify(month=month).findings
    if findings:
        raise CopyDiffers(f"{month:%Y-%m} is not intact: {findings[0]}")
    report = check_bundle(folder / BUNDLE, keys=keys.verifier_keys())
    if report.status != "intact":
        reason = report.undecided or next(iter(report.findings), "")
        raise CopyDiffers(f"the bundle of {month:%Y-%m} is {report.status}: {reason}")
    rows = sum(last - first + 1 for _, first, last in spans_of(month))
    if report.entries != rows:
        raise CopyDiffers(f"the bundle of {month:%Y-%m} holds {report.entries} entries, the month {rows}")


def _months_here() -> set[str]:
    """Every month that the database has rows of."""
    present = [*partitions.attached(TABLE, using="default"), *months_of(TABLE, using="default")]
    return {f"{one.first:%Y-%m}" for one in present if one.first is not None}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


register(
    Policy(
        table=TABLE,
        setting="FORGE_AUDIT_RETENTION_MONTHS",
        hindrances=hindrances,
        write=write_bundle,
        check=check_month,
        left_out=PERSONAL,
        unfixed=(f"{BUNDLE}/{layout.PERSONAL}",),
        is_sealed=True,
    )
)
