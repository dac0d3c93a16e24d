"""The bare side of `dashboard_vs_duckdb`: the dashboard's two answers by DuckDB, from the cost records in Parquet.

It is fair because this is DuckDB at its own work: one compressed file for each day with the columns that are asked for
and no others, read by all cores in this process, names of the days so that it need not open files out of the range, and
no person, role, filter or web around it. Making the files is not measured.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from pathlib import Path

import duckdb
from django.db import connection, transaction

from tests.bench.bare.dashboard import Answers

_COLUMNS = {
    "team_id": "UUID",
    "bundle_type": "VARCHAR",
    "basis": "VARCHAR",
    **dict.fromkeys(
        ("total_cost", "compute_cost", "storage_cost", "data_transfer_cost", "billed_hours"), "DECIMAL(18, 6)"
    ),
}
_COPY = """
    COPY (
        SELECT {columns} FROM costs_costrecord
         WHERE organization_id = '{organization}' AND period_start >= '{start}' AND period_start < '{end}'
    ) TO STDOUT (FORMAT csv)
"""
_SUMS = "sum(total_cost), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost), sum(billed_hours)"


class Duck:
    """The days of an organization's records as files, and a DuckDB that reads them."""

    def __init__(self, folder: Path, *, organization: uuid.UUID, first: date, end: date) -> None:
        self._folder = folder
        self._duck = duckdb.connect()
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, slug FROM accounts_team WHERE organization_id = %s", [organization])
            self._teams = dict(cursor.fetchall())
        day = first
        while day < end:
            self._write(organization, day)
            day += timedelta(days=1)

    def ask(self, *, first: date, end: date) -> Answers:
        """Both answers, from the files of the days [first, end)."""
        days = [first + timedelta(days=number) for number in range((end - first).days)]
        files = [str(path) for day in days if (path := self._folder / f"{day}.parquet").exists()]
        by_team = self._duck.execute(
            f"SELECT team_id, {_SUMS}, min(basis), max(basis) FROM read_parquet(?) GROUP BY team_id",
            [files],
        ).fetchall()
        by_day = self._duck.execute(
            f"SELECT parse_filename(filename, true), bundle_type, {_SUMS}, min(basis), max(basis)"
            "  FROM read_parquet(?, filename = true) GROUP BY 1, 2 ORDER BY 1, 2",
            [files],
        ).fetchall()
        return {self._teams[row[0]]: row[1] for row in by_team}, {(row[0], row[1]): row[2] for row in by_day}

    def close(self) -> None:
        self._duck.close()

    def _write(self, organization: uuid.UUID, day: date) -> None:
        start = datetime.combine(day, time()).isoformat() + "Z"
        end = datetime.combine(day + timedelta(days=1), time()).isoformat() + "Z"
        text = self._folder / f"{day}.csv"
        statement = _COPY.format(columns=", ".join(_COLUMNS), organization=organization, start=start, end=end)
        with (
            transaction.atomic(),
            connection.cursor() as cursor,
            text.open("wb") as file,
            cursor.cursor.copy(statement) as copy,
        ):
            for block in copy:
                file.write(block)
        names = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
        target = self._folder / f"{day}.parquet"
        self._duck.execute(
            f"COPY (SELECT * FROM read_csv('{text}', header = false, columns = {{{names}}})) TO '{target}'"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
        text.unlink()
