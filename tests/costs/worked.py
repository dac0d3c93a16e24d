"""Reads the worked examples of tests/costs/examples: instants, lists and figures as its README has them."""

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).parent / "examples"
HOUR = timedelta(hours=1)


def cases(name):
    """The lines of one file as (case, columns) for pytest.mark.parametrize."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return [(row["case"], row) for row in csv.DictReader(file)]


def each(name):
    """Arguments of parametrize that give a test each line under its own name."""
    lines = cases(name)
    assert lines, f"{name}.csv is empty"
    return {"argnames": "row", "argvalues": [row for _, row in lines], "ids": [case for case, _ in lines]}


def instant(text):
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def figures(text, kind=Decimal):
    """`hour=figure|first..last=figure` → {hour: figure}."""
    found = {}
    for part in filter(None, text.split("|")):
        hours, _, figure = part.partition("=")
        first, _, last = hours.partition("..")
        at, until = instant(first), instant(last or first)
        while at <= until:
            found[at] = kind(figure)
            at += HOUR
    return found


def months(text):
    return {
        month: Decimal(figure) for month, _, figure in (part.partition("=") for part in filter(None, text.split("|")))
    }


def history(text):
    """`instant STATE|…` → [(instant, state)]."""
    return [(instant(at), state) for at, _, state in (change.partition(" ") for change in text.split("|"))]
