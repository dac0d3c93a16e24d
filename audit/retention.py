"""The retention of the log itself: what must hold before one of its months may leave, and what its copy is made of."""

from __future__ import annotations

import gzip
import json
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
from forge.db.months import add_months

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


# What the file of personal values must hold: a line for each row that has any left, and in it what is left.
_PERSONAL = f"""
    SELECT count(*), coalesce(sum(id), 0)::numeric, count(salt), count(personal),
           coalesce(sum(id) FILTER (WHERE personal IS NOT NULL), 0)::numeric
      FROM {twin(TABLE)} AS log
     WHERE "timestamp" >= %(first)s AND "timestamp" < %(end)s
       AND num_nonnulls({", ".join(PERSONAL)}) > 0
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
    if _personal_of(folder / BUNDLE / layout.PERSONAL) != _personal_here(month):
        raise CopyDiffers(f"the personal values of {month:%Y-%m} are not those that the database has")
    rows = sum(last - first + 1 for _, first, last in spans_of(month))
    if report.entries != rows:
        raise CopyDiffers(f"the bundle of {month:%Y-%m} holds {report.entries} entries, the month {rows}")


def _personal_of(path: Path) -> tuple[int, ...]:
    """Lines, their ids added up, salts, lines with values beside the actor's own, and the ids of these added up.

    Each value that is there was held against its digest before; what is left to show is that none is missing, and none
    there that was erased here.
    """
    lines = ids = salts = others = ids_of_others = 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in map(json.loads, file):
            lines, ids = lines + 1, ids + line["id"]
            salts += line["salt"] is not None
            if line["personal"] is not None:
                others, ids_of_others = others + 1, ids_of_others + line["id"]
    return lines, ids, salts, others, ids_of_others


def _personal_here(month: date) -> tuple[int, ...]:
    bounds = {"first": _midnight(month), "end": _midnight(add_months(month, 1))}
    return tuple(int(one) for one in fetch(_PERSONAL, bounds)[0])


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
