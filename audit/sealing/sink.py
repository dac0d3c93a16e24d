"""What a sink is: a place outside the database that keeps checkpoints, behind one small interface."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import quote

from audit.verifier.notes import Checkpoint

SUFFIX = ".checkpoint"
_SIZE_DIGITS = 18
_GROUP = 3
LEVELS = _SIZE_DIGITS // _GROUP


class SinkFailed(Exception):
    """A sink could not be written or read; the message says which and why. It is tried again."""


class SinkConflict(SinkFailed):
    """The sink holds another note for the same size: two histories. Nothing is overwritten."""


class Sink(Protocol):
    """A place outside. `name` identifies it in the database, so a sink that moves is a new one."""

    name: str
    is_readable: bool

    def publish(self, checkpoint: Checkpoint, note: str) -> None:
        """Keep the note; the same one again is no error. Raises SinkFailed, SinkConflict."""

    def newest(self, origin: str) -> str | None:
        """The note of the greatest size under `origin`, None without any. Raises SinkFailed."""


def folder_of(origin: str) -> str:
    """The folder of a log's checkpoints in a sink."""
    return quote(origin, safe="")


def path_of(origin: str, size: int) -> PurePosixPath:
    """`<origin>/000/000/000/000/012/345.checkpoint`: three digits of the size to a level.

    So no folder has more than a thousand names, names sort as sizes do, and the newest is found without listing all.
    """
    digits = f"{size:0{_SIZE_DIGITS}d}"
    groups = [digits[at : at + _GROUP] for at in range(0, _SIZE_DIGITS, _GROUP)]
    return PurePosixPath(folder_of(origin), *groups[:-1], groups[-1] + SUFFIX)
