"""Price list files as AWS publishes them in bulk, CSV or JSON, as far as one line or document is held in memory.

A CSV file is read line by line, whatever its size. A JSON document is read whole, because its prices stand far behind
its products: the file of one region has some thousand products. More than MOST_JSON is refused with the advice to take
the CSV.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from costs.pricelist.rows import PriceListBroken, PriceRow, amount_of, instant_of, plain, rows_of_product

MOST_JSON = 256 * 1024 * 1024
"""Bytes of a JSON document that are read, at most."""

OFFERS = ("AmazonWorkSpaces", "AmazonAppStream")
"""The lists that are read."""

_HEAD = ("formatversion", "disclaimer", "publicationdate", "version", "offercode")
_COLUMNS = ("sku", "termtype", "effectivedate", "unit", "priceperunit", "currency", "productfamily")


@dataclass(frozen=True)
class PriceList:
    """What a file is: which list, AWS's version and day of publication, and its figures, to be walked through once."""

    offer: str
    version: str
    published_at: datetime
    rows: Iterator[PriceRow]


@contextmanager
def opened(path: Path) -> Iterator[PriceList]:
    """The list in the file, for as long as the block lasts; raises PriceListBroken, or OSError as `open` does."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield _of_json(path, file) if _is_json(file) else _of_csv(path, file)
        except UnicodeDecodeError as error:
            raise PriceListBroken(f"{path.name}: not UTF-8 ({error.reason}).") from None


def _is_json(file: TextIO) -> bool:
    start = file.read(1024).lstrip()
    file.seek(0)
    return start.startswith("{")


def _of_csv(path: Path, file: TextIO) -> PriceList:
    reader = csv.reader(file, strict=True)
    head: dict[str, str] = {}
    columns = _next(reader, path)
    while len(head) < len(_HEAD) and len(columns) == 2:
        head[plain(columns[0])] = columns[1]
        columns = _next(reader, path)
    offer = _known_offer(path, head.get("offercode"), f"line {reader.line_num}")
    names = [plain(column) for column in columns]
    if missing := [name for name in _COLUMNS if name not in names]:
        raise PriceListBroken(f"{path.name}, line {reader.line_num}: there is no column {', '.join(missing)}.")
    return PriceList(
        offer=offer,
        version=head.get("version", ""),
        published_at=instant_of(head.get("publicationdate", ""), f"{path.name}, Publication Date"),
        rows=_csv_rows(path, reader, names),
    )


def _csv_rows(path: Path, reader: Any, names: list[str]) -> Iterator[PriceRow]:
    while True:
        values = _next(reader, path, ends=True)
        if values is None:
            return
        place = f"{path.name}, line {reader.line_num}"
        if not values:
            continue
        if len(values) != len(names):
            raise PriceListBroken(f"{place}: {len(values)} values under {len(names)} columns.")
        row = dict(zip(names, (value.strip() for value in values), strict=True))
        yield PriceRow(
            sku=row["sku"],
            family=row["productfamily"],
            attributes=row,
            term=row["termtype"],
            unit=row["unit"].lower(),
            amount=amount_of(row["priceperunit"], place),
            currency=row["currency"],
            first=row.get("startingrange", "0"),
            last=row.get("endingrange", "Inf"),
            effective_at=instant_of(row["effectivedate"], place),
            place=place,
        )


def _next(reader: Any, path: Path, *, ends: bool = False) -> Any:
    try:
        return next(reader)
    except StopIteration:
        if ends:
            return None
        raise PriceListBroken(f"{path.name}: it ends before its prices.") from None
    except csv.Error as error:
        raise PriceListBroken(f"{path.name}, line {reader.line_num}: {error}.") from None


def _of_json(path: Path, file: TextIO) -> PriceList:
    size = path.stat().st_size
    if size > MOST_JSON:
        raise PriceListBroken(f"{path.name}: {size:,} bytes of JSON; take AWS's CSV of the same list, it is streamed.")
    try:
        document = json.load(file)
    except json.JSONDecodeError as error:
        raise PriceListBroken(f"{path.name}, line {error.lineno}: {error.msg}.") from None
    offer = _known_offer(path, document.get("offerCode"), "offerCode")
    products, terms = document.get("products"), document.get("terms")
    if not isinstance(products, dict) or not isinstance(terms, dict):
        raise PriceListBroken(f"{path.name}: it has no products and terms.")
    return PriceList(
        offer=offer,
        version=str(document.get("version", "")),
        published_at=instant_of(str(document.get("publicationDate", "")), f"{path.name}, publicationDate"),
        rows=_json_rows(path, products, terms),
    )


def _json_rows(path: Path, products: dict[str, Any], terms: dict[str, Any]) -> Iterator[PriceRow]:
    for sku, product in products.items():
        place = f"{path.name}, product {sku}"
        try:
            own = {term: offered[sku] for term, offered in terms.items() if sku in offered}
        except TypeError:
            raise PriceListBroken(f"{path.name}: terms are not as AWS has them.") from None
        yield from rows_of_product(product, own, place)


def _known_offer(path: Path, offer: str | None, where: str) -> str:
    if offer not in OFFERS:
        raise PriceListBroken(
            f"{path.name}, {where}: this is the list of {offer or 'nothing'}, not of {' or '.join(OFFERS)}."
        )
    return offer
