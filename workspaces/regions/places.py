"""Where the place of a person lies, from a committed table; nothing outside is ever asked.

`places.csv` is taken from GeoNames (https://www.geonames.org, CC BY 4.0, cities15000): cities of 300,000 people or
more, and capitals. A country has the coordinates of its largest city, and none where a city of 100,000 lies more than
700 km from that one: the name of such a country does not say where somebody is.
"""

from __future__ import annotations

import csv
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

_TABLE = Path(__file__).with_name("places.csv")


class Point(NamedTuple):
    """A place on the globe, in degrees north and east."""

    latitude: float
    longitude: float


class _Row(NamedTuple):
    country: str
    point: Point | None


def words(place: str) -> str:
    """The place as it is compared: without accents, case and superfluous spaces; "Zürich , CH" is "zurich, ch"."""
    letters = unicodedata.normalize("NFKD", place)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()
    parts = [" ".join(part.split()) for part in plain.split(",")]
    return ", ".join(part for part in parts if part)


def find(location: str) -> Point | None:
    """Where `location` lies: a city, a country, or "city, country" by name or ISO 3166 code.

    None for what the table has not, for a name that several cities share without a country, and for wide countries.
    """
    cities, countries = _index()
    name, *more = words(location).split(", ")
    if len(more) > 1:
        more = more[-1:]
    found = cities.get(name, [])
    if more:
        codes = {row.country for row in countries.get(more[0], [])}
        found = [row for row in found if row.country in codes]
    elif not found:
        found = countries.get(name, [])
    return found[0].point if len(found) == 1 else None


@cache
def _index() -> tuple[dict[str, list[_Row]], dict[str, list[_Row]]]:
    cities: dict[str, list[_Row]] = {}
    countries: dict[str, list[_Row]] = {}
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            point = Point(float(line["latitude"]), float(line["longitude"])) if line["latitude"] else None
            row = _Row(line["country"], point)
            if line["kind"] == "city":
                cities.setdefault(words(line["name"]), []).append(row)
                continue
            for name in (line["name"], line["country"]):
                countries.setdefault(words(name), []).append(row)
    return cities, countries
