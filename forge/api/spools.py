"""Files that are written whole before their first byte is sent, so that how long the sending takes binds nothing.

On disk a file has no name, so nothing of it outlives its process, and is compressed: rows of costs as CSV take a
thirtieth of their size there. In memory is one piece of it at a time.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

PIECE = 256 * 1024


class SpoolFull(Exception):
    """The file takes more room than it may; nothing of it is kept."""


class Spool:
    """A file of `size` bytes, to be read once from its beginning; closing it gives its room on disk back."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._content = gzip.GzipFile(fileobj=file, mode="rb")
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._content.read(PIECE):
            yield piece

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._content.close()
        self._file.close()


def spooled(pieces: Iterable[bytes], *, most: int | None = None, folder: Path | None = None) -> Spool:
    """The pieces as a file in `folder`, without it in that for temporary ones.

    Raises SpoolFull once it takes more than `most` bytes of disk, OSError, and what making a piece raises.
    """
    with ExitStack() as unless_whole:
        file = unless_whole.enter_context(tempfile.TemporaryFile(prefix="export-", dir=folder))
        size = 0
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as content:
            for piece in pieces:
                content.write(piece)
                size += len(piece)
                if most is not None and file.tell() > most:
                    raise SpoolFull(f"more than {most} bytes")
        if most is not None and file.tell() > most:
            raise SpoolFull(f"more than {most} bytes")
        file.seek(0)
        unless_whole.pop_all()
    return Spool(file, size)
