"""Where months go that leave the database: a folder per month, in the one place that FORGE_ARCHIVE names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LEAST_MONTHS = 12
"""Fewer months than this are taken for a mistake in a setting, and for a forgery in the entry of a drop."""


class ArchiveFailed(Exception):
    """The archive could not be read or written; the message says why. It is tried again by the next run."""


class CopyDiffers(Exception):
    """The copy is not, or not any more, what the table holds; the message says where they part."""


@dataclass(frozen=True)
class Archive:
    """A directory `root` with `<table>/<YYYY-MM>/`; put it on another machine's disk."""

    root: Path

    @property
    def name(self) -> str:
        return f"directory:{self.root}"

    def folder_of(self, table: str, month: date) -> Path:
        """The folder of one month's copy. Raises ArchiveFailed."""
        # The root is never made here: a disk that is not mounted must not look like an empty archive.
        if not self.root.is_dir():
            raise ArchiveFailed(f"{self.name}: there is no such folder")
        return self.root / table / f"{month:%Y-%m}"


def configured() -> Archive | None:
    """The archive of FORGE_ARCHIVE, None where it is not set; raises ImproperlyConfigured for a bad address."""
    address = settings.FORGE_ARCHIVE.strip()
    if not address:
        return None
    kind, _, rest = address.partition(":")
    if kind == "directory" and Path(rest).is_absolute():
        return Archive(Path(rest))
    raise ImproperlyConfigured(f"FORGE_ARCHIVE: {address!r} names no archive: directory:/an/absolute/path")
