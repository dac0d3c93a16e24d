"""FOCUS files as they are written: CSV, and Parquet of the same rows, both a page at a time."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from costs.focus.columns import COLUMNS
from forge.db.late import late

pa, pacsv, pq = late("pyarrow"), late("pyarrow.csv"), late("pyarrow.parquet")
schema = late("costs.focus.schema")


class FocusFormat(ABC):
    """One format: `name` in addresses, `suffix` of file names, `media_type` of answers."""

    name: str
    suffix: str
    media_type: str
    is_for_spreadsheets: bool

    @abstractmethod
    def written(self, pages: Iterator[bytes]) -> Generator[bytes]:
        """The file in pieces, of pages of rows as CSV without a header."""


class FocusCsv(FocusFormat):
    """RFC 4180 in UTF-8; an empty cell is null."""

    name = "focus-csv"
    suffix = "csv"
    media_type = "text/csv; charset=utf-8"
    is_for_spreadsheets = True

    def written(self, pages: Iterator[bytes]) -> Generator[bytes]:
        yield (",".join(COLUMNS) + "\n").encode()
        yield from pages


class FocusParquet(FocusFormat):
    """A row group per page: costs are decimals of six places, instants microseconds in UTC."""

    name = "focus-parquet"
    suffix = "parquet"
    media_type = "application/vnd.apache.parquet"
    is_for_spreadsheets = False

    def written(self, pages: Iterator[bytes]) -> Generator[bytes]:
        sink = _Sink()
        with pq.ParquetWriter(sink, schema.SCHEMA, compression="zstd") as writer:
            for page in pages:
                writer.write_table(_table(page))
                yield sink.taken()
        yield sink.taken()


FORMATS: Mapping[str, FocusFormat] = {one.name: one for one in (FocusCsv(), FocusParquet())}


class _Sink(io.RawIOBase):
    """What is written to it, to be taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _table(page: bytes) -> Any:
    if not page:
        return schema.SCHEMA.empty_table()
    return pacsv.read_csv(
        pa.BufferReader(page),
        read_options=pacsv.ReadOptions(column_names=schema.SCHEMA.names, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=schema.SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
