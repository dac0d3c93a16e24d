"""A table as a Parquet file, and the file held against the table again: streamed, a row group at a time.

Types are the database's own: times are microseconds in UTC, numeric(p, s) are decimals of that precision and scale,
uuid and jsonb are text. Rows stand in the order of the primary key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connections, transaction

from audit.archive.sources import Source
from audit.places import CopyDiffers

GROUP = 10_000
"""Rows of a row group: so many are in memory at once."""

_COLUMNS = """
    SELECT attname, format_type(coalesce(nullif(typbasetype, 0), atttypid),
                                CASE WHEN typbasetype = 0 THEN atttypmod ELSE typtypmod END)
      FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEY = """
    SELECT attname FROM pg_index CROSS JOIN unnest(indkey) WITH ORDINALITY AS key (number, place)
      JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number
     WHERE indrelid = %s::regclass AND indisprimary ORDER BY key.place
"""
_TYPES: dict[str, pa.DataType] = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "text": pa.string(),
    "uuid": pa.string(),
    "jsonb": pa.string(),
    "bytea": pa.binary(),
}
_AS_TEXT = ("uuid", "jsonb")
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")


def write(path: Path, source: Source) -> int:
    """Write all rows of the table to a new file; returns how many. Raises TypeError for a type without a counterpart,
    OSError."""
    rows = 0
    with path.open("xb") as file:
        schema, groups = _read(source)
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in groups:
                writer.write_batch(group, row_group_size=GROUP)
                rows += group.num_rows
        file.flush()
        os.fsync(file.fileno())
    return rows


def compare(path: Path, source: Source) -> int:
    """Hold every value in the file against the table; returns the number of rows. Raises CopyDiffers, OSError."""
    schema, groups = _read(source)
    rows = 0
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema):
                raise CopyDiffers(f"{path} has other columns than {source.table}")
            for ours, theirs in zip_longest(groups, _groups_of(file)):
                if ours is None or theirs is None or not ours.equals(theirs):
                    raise CopyDiffers(f"{path} differs from {source.table} in or after row {rows + 1}")
                rows += ours.num_rows
    except pa.ArrowException as error:
        raise CopyDiffers(f"{path} cannot be read: {error}") from error
    return rows


def _groups_of(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    for number in range(file.num_row_groups):
        group = file.read_row_group(number)
        columns = [pa.concat_arrays(column.chunks) for column in group.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=group.schema)


def _read(source: Source) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with connections[source.using].cursor() as cursor:
        cursor.execute(_COLUMNS, [source.table])
        columns = [(name, kind) for name, kind in cursor.fetchall() if name not in source.left_out]
        cursor.execute(_KEY, [source.table])
        key = ", ".join(f'"{name}"' for (name,) in cursor.fetchall())
    schema = pa.schema([(name, _type_of(name, kind)) for name, kind in columns])
    chosen = ", ".join(f'"{name}"::text' if kind in _AS_TEXT else f'"{name}"' for name, kind in columns)
    return schema, _batches(source, schema, f"SELECT {chosen} FROM {source.table} ORDER BY {key}")  # noqa: S608


def _batches(source: Source, schema: pa.Schema, statement: str) -> Iterator[pa.RecordBatch]:
    with transaction.atomic(using=source.using), connections[source.using].chunked_cursor() as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(GROUP):
            columns = zip(*rows, strict=True)
            yield pa.RecordBatch.from_arrays(
                [pa.array(map(_plain, column), type=kind) for column, kind in zip(columns, schema.types, strict=True)],
                schema=schema,
            )


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _type_of(name: str, kind: str) -> pa.DataType:
    if found := _TYPES.get(kind):
        return found
    if kind.startswith("character varying"):
        return pa.string()
    if match := _NUMERIC.fullmatch(kind):
        return pa.decimal128(int(match[1]), int(match[2]))
    raise TypeError(f"Column {name} is of type {kind}, which has no counterpart in Parquet here.")
