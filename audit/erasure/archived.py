"""Erasure in the archive: the copies of months that left keep personal values in a file of their own, written anew.

The rules are those of the database, whose own statements judge the lines of a copy. Of a month that is dropped the
entry that names the ids commits before its file is replaced; a run that was killed in between is repeated and leaves
the entry a second time. Everything else in a copy stays as it is, and so do its hashes.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from audit import places
from audit.archive import files
from audit.erasure import statements
from audit.erasure.people import Person
from audit.holds import block_erasure
from audit.places import ArchiveFailed
from audit.retention import BUNDLE
from audit.verification.copies import MANIFEST
from audit.verification.dropped import TABLE
from audit.verifier import layout
from forge.db.models import ArchivedMonth

OWNER = "owner"
PIECE = 1000
"""Lines that are judged at once."""


@dataclass
class Subjects:
    """Ids of one copy that are about the person, by organization and form, and the holds that cover them."""

    ids: dict[UUID | None, dict[str, list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: {"entries": [], "about": []})
    )
    holds: set[str] = field(default_factory=set)

    def count(self, form: str) -> int:
        return sum(len(ids[form]) for ids in self.ids.values())


def months() -> list[ArchivedMonth]:
    """The months of the log that have a copy, also of a run that was killed before it said so.

    Raises ArchiveFailed where there are such and the archive is not named or not there.
    """
    found = list(ArchivedMonth.objects.filter(table=TABLE).order_by("month"))
    archive = places.configured()
    if archive is None:
        if gone := [month for month in found if month.state != ArchivedMonth.State.DETACHED]:
            raise ArchiveFailed(f"{len(gone)} months of the log are in the archive, and FORGE_ARCHIVE is not set")
        return []
    return [
        month
        for month in found
        if month.state != ArchivedMonth.State.DETACHED or (archive.folder_of(TABLE, month.month) / MANIFEST).exists()
    ]


def find(person: Person, month: ArchivedMonth) -> Subjects:
    """Who is in the copy and what holds it; writes nothing. Raises ArchiveFailed."""
    found = Subjects()
    lines = _lines(_bundle(month))
    while piece := list(islice(lines, PIECE)):
        parameters = person.parameters | {"lines": json.dumps(piece)}
        with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
            cursor.execute(statements.IN_COPY, parameters)
            for id_, organization_id, form, hold in cursor.fetchall():
                found.ids[organization_id][form].append(id_)
                found.holds |= {hold} if hold is not None else set()
    return found


def locked(person: Person, month: ArchivedMonth) -> Subjects:
    """As find(), while nobody can place a hold until the transaction of the owner's alias ends."""
    block_erasure(using=OWNER)
    return find(person, month)


def rewrite(month: ArchivedMonth, subjects: Subjects) -> None:
    """Replace the file of personal values by one without those of the subjects. Raises ArchiveFailed."""
    gone = {form: {id_ for ids in subjects.ids.values() for id_ in ids[form]} for form in ("entries", "about")}
    path = _bundle(month) / layout.PERSONAL
    # Not in the folder of the copy, where a file that a killed run left would make the copy wrong.
    part = path.parents[2] / f".{month.month:%Y-%m}.{layout.PERSONAL}.part"
    try:
        part.unlink(missing_ok=True)
        with ExitStack() as stack:
            written = files.Lines(stack.enter_context(files.hashed(part)), stack)
            for line in _json_lines(path):
                if line["id"] not in gone["entries"]:
                    written.write(line | {"personal": None} if line["id"] in gone["about"] else line)
        os.replace(part, path)
        files.flush(path.parent)
    except OSError as error:
        raise ArchiveFailed(f"{path}: {error}") from error


def _bundle(month: ArchivedMonth) -> Path:
    archive = places.configured()
    if archive is None:
        raise ArchiveFailed("FORGE_ARCHIVE is not set")
    return archive.folder_of(TABLE, month.month) / BUNDLE


def _lines(bundle: Path) -> Iterator[dict[str, Any]]:
    """The entries that still have personal values, with them; both files are in the order of the leaves."""
    try:
        entries = _json_lines(bundle / layout.ENTRIES)
        for values in _json_lines(bundle / layout.PERSONAL):
            entry = next((entry for entry in entries if entry["id"] == values["id"]), None)
            if entry is None:
                raise ValueError(f"entry {values['id']} is not in {layout.ENTRIES}")
            yield {name: entry[name] for name in _COLUMNS} | values
    except (OSError, ValueError, KeyError) as error:
        raise ArchiveFailed(f"{bundle}: its personal values cannot be read: {error!r}") from error


_COLUMNS = ("id", "timestamp", "organization_id", "user_id", "resource_type", "resource_id", "content", "context")


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
