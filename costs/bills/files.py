"""A bill's file on its way: received into a temporary file, kept in the database in parts, and taken out again."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from costs.bills.formats import BillUnreadable
from costs.bills.models import Bill, BillPart
from forge.api.errors import TooLarge

PART_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """A whole file in a place of its own, with its size in bytes and its SHA-256 in hexadecimal."""

    path: Path
    size: int
    sha256: str


@contextmanager
def received(pieces: Iterable[bytes]) -> Iterator[Received]:
    """The pieces as a file that is gone afterwards; raises TooLarge once they are too many."""
    most = settings.FORGE_BILL_UPLOAD_MB * 1024 * 1024
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(prefix="bill-") as file:
        for piece in pieces:
            size += len(piece)
            if size > most:
                raise TooLarge(
                    f"A bill has at most {settings.FORGE_BILL_UPLOAD_MB} MB; give larger ones to import_bill."
                )
            digest.update(piece)
            file.write(piece)
        file.flush()
        yield Received(Path(file.name), size, digest.hexdigest())


def lying_at(path: Path) -> Received:
    """A file that is there already; raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Received(path, path.stat().st_size, digest.hexdigest())


def keep(bill: Bill, file: Received) -> None:
    """Write the file into the database, part by part."""
    with file.path.open("rb") as source:
        number = 0
        while content := source.read(PART_BYTES):
            BillPart.objects.create(bill=bill, number=number, content=content)
            number += 1


@contextmanager
def taken_out(bill: Bill) -> Iterator[Path]:
    """The kept file in a place of its own, gone afterwards; raises BillUnreadable when it is not what was given."""
    digest = hashlib.sha256()
    numbers = list(bill.parts.order_by("number").values_list("number", flat=True))
    if not numbers:
        raise BillUnreadable("Its lines are lost, and of a command the file is not kept: give it again.")
    with tempfile.NamedTemporaryFile(prefix="bill-") as file:
        for number in numbers:
            content = bytes(bill.parts.get(number=number).content)
            digest.update(content)
            file.write(content)
        file.flush()
        if digest.hexdigest() != bill.sha256:
            raise BillUnreadable("The file that was kept is not the one that was given.")
        yield Path(file.name)
