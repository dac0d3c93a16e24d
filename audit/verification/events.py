"""Events that were never given to the log: rows of the house for which no entry vouches (audit.evidence).

Row and entry commit together, so one statement sees both or neither. Business time may lie before the entry's own time
(an import, a correction), never after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import sql

from audit.evidence import Evidence, declared
from audit.verification.dropped import LOG, TABLE, Dropped, load
from audit.verification.findings import SHOWN, Finding
from audit.verification.queries import fetch
from forge.db import partitions

ROWS = 20_000
"""Rows of a table that are held against the log at once."""

SLACK = timedelta(days=1)
"""By so much the clock that a row took its time from may be ahead of the database's."""

# Most entries stand within a day of their row: that look-up prunes to a month or two, and the rest looks further.
_UNVOUCHED = """
    WITH row AS MATERIALIZED (
        SELECT {id} AS id, {names}::{type} AS name, {organization} AS organization, {at} AS at, {facts} AS facts
          FROM {table}
         WHERE {organization} IS NOT NULL AND {at} >= %(since)s AND {only} AND {after}
         ORDER BY {id} LIMIT %(rows)s
    ), suspect AS MATERIALIZED (
        SELECT * FROM row WHERE NOT EXISTS (
            SELECT FROM {log} AS log
             WHERE log.organization_id = row.organization AND log.{column} = row.name
               AND log.action_type = ANY(%(actions)s) AND log.result = 'SUCCESS'
               AND {same}
               AND log."timestamp" >= row.at - %(slack)s AND log."timestamp" < row.at + %(slack)s)
    ), unvouched AS (
        SELECT id, at FROM suspect AS row WHERE NOT EXISTS (
            SELECT FROM {log} AS log
             WHERE log.organization_id = row.organization AND log.{column} = row.name
               AND log.action_type = ANY(%(actions)s) AND log.result = 'SUCCESS'
               AND {same}
               AND log."timestamp" >= row.at + %(slack)s)
         ORDER BY at, id LIMIT %(limit)s
    )
    SELECT seen.count, seen.last, unvouched.id, unvouched.at
      FROM (SELECT count(*), (array_agg(id ORDER BY id DESC))[1] AS last FROM row) AS seen
      LEFT JOIN unvouched ON true
"""


@dataclass
class Events:
    """What was held against the log: the rows seen, by table, and those without an entry."""

    rows: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def verify_events(*, since: datetime | None = None, dropped: Dropped | None = None) -> Events:
    """Hold every declared row against the log, those that came to be before `since` left out; changes nothing.

    Where months were dropped (`dropped`; default: what the log says now), rows from before their end are left out too,
    and a notice says so.
    """
    events = Events()
    begin = (load() if dropped is None else dropped).end
    if begin is not None and (since is None or begin > since):
        events.notices.append(
            f"Rows from before {begin:%Y-%m-%d} were not held against the log: months before then were dropped."
        )
    first = max([moment for moment in (since and since - SLACK, begin and begin + SLACK) if moment], default=None)
    filled = _filled({one.table for one in declared()})
    for one in declared():
        events.rows.setdefault(one.table, 0)
        if one.table not in filled:
            continue
        for count, findings in _chunks(one, first or datetime.min.replace(tzinfo=UTC)):
            events.rows[one.table] += count
            events.findings += findings[: max(SHOWN - len(events.findings), 0)]
    return events


def _filled(tables: set[str]) -> set[str]:
    """The tables that have any row: to plan a look-up in every month of the log takes longer than most of them."""
    asked = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(table), sql.Identifier(table))
        for table in sorted(tables)
    ]
    return {table for (table,) in fetch(sql.SQL(" UNION ALL ").join(asked))}


def _chunks(one: Evidence, since: datetime) -> Iterator[tuple[int, list[Finding]]]:
    parameters: dict[str, Any] = {"since": since, "rows": ROWS, "limit": SHOWN, "slack": SLACK}
    parameters |= {"actions": list(one.actions), "value": one.only and one.only[1], "after": None}
    while True:
        found = fetch(_statement(one, is_first=parameters["after"] is None), parameters)
        count, parameters["after"] = found[0][:2]
        yield count, [_finding(one, id_, at) for _, _, id_, at in found if id_ is not None]
        if count < ROWS:
            return


def _statement(one: Evidence, *, is_first: bool) -> sql.Composed:
    name = sql.Identifier
    return sql.SQL(_UNVOUCHED).format(
        id=name("id"),
        names=name(one.names),
        type=sql.SQL("uuid" if one.by_correlation else "text"),
        column=name("correlation_id" if one.by_correlation else "resource_id"),
        organization=name(one.organization),
        at=name(one.at),
        log=sql.SQL(LOG),
        table=name(one.table),
        only=sql.SQL("{} = %(value)s").format(name(one.only[0])) if one.only else sql.SQL("true"),
        facts=_facts(one),
        same=sql.SQL("log.changes -> 'after' @> row.facts" if one.after else "true"),
        after=sql.SQL("true") if is_first else sql.SQL("{} > %(after)s").format(name("id")),
    )


def _facts(one: Evidence) -> sql.Composed:
    """What the entry must say in changes.after, as JSON of texts."""
    pairs = [sql.SQL("{}, {}::text").format(sql.Literal(key), sql.Identifier(column)) for key, column in one.after]
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))


def _finding(one: Evidence, id_: Any, at: datetime) -> Finding:
    kinds = " or ".join(one.actions[:3]) + (" …" if len(one.actions) > 3 else "")
    return Finding(
        "event_without_entry", f"{one.table} {id_} has no entry of {kinds}", None,
        partition=partitions.name_of(TABLE, _day(at)), timestamp=at, table=one.table, key=str(id_),
    )  # fmt: skip


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
