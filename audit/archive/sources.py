"""What of the database is copied into a file of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A table to copy: its name as SQL takes it, without the columns `left_out`."""

    table: str
    left_out: Sequence[str] = ()
    using: str = "owner"
