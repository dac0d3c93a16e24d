"""Files that are written whole before their first byte is sent, so that how long the sending takes binds nothing.

On disk a file has no name, so nothing of it outlives its process, and is compressed: rows of costs as CSV take a
thirtieth of their size there. In memory is one piece of it at a time.
"""

from __future__ import annotations

import errno
import gzip
import tempfile
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

from forge.api.errors import Unavailable

PIECE = 256 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolFull(Exception):
    """The file takes more room than it may; nothing of it is kept."""


class NoRoom(Unavailable):
    code = "no_room_for_file"
    title = "There is no room on disk for this file now"
    suggested_action = "Try again later, or ask for less; if it happens again, tell your administrator."
    retry_after = 60


class Spool:
    """A file of `size` bytes, to be read once from its beginning; closing it gives its room on disk back."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._content = gzip.GzipFile(fileobj=file, mode="rb")
        self._leave: weakref.finalize | None = None
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._content.read(PIECE):
            yield piece

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def at_end(self, leave: Callable[[], None]) -> None:
        """Call `leave` once: when it is closed, or forgotten without that."""
        self._leave = weakref.finalize(self, leave)

    def close(self) -> None:
        self._content.close()
        self._file.close()
        if self._leave is not None:
            self._leave()


def spooled(pieces: Generator[bytes], *, most: int | None = None, folder: Path | None = None) -> Spool:
    """The pieces as a file in `folder`, without it in that for temporary ones.

    The generator is closed before anything is raised: what it holds open (a cursor, a transaction) would live for as
    long as somebody keeps the traceback. Raises SpoolFull once it takes more than `most` bytes of disk, NoRoom where
    the disk has no more, OSError, and what making a piece raises.
    """
    with ExitStack() as unless_whole:
        try:
            with closing(pieces):
                file = unless_whole.enter_context(tempfile.TemporaryFile(prefix="export-", dir=folder))
                size = _write(pieces, file, most)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise NoRoom() from error
            raise
        file.seek(0)
        unless_whole.pop_all()
    return Spool(file, size)


def _write(pieces: Iterator[bytes], file: IO[bytes], most: int | None) -> int:
    size = 0
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as content:
        for piece in pieces:
            content.write(piece)
            size += len(piece)
            if most is not None and file.tell() > most:
                raise SpoolFull(f"more than {most} bytes")
    file.flush()
    if most is not None and file.tell() > most:
        raise SpoolFull(f"more than {most} bytes")
    return size
