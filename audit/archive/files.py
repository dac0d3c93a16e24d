"""A folder that appears whole or not at all, and files in it that know their size and hash."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from audit.verifier.layout import dump

LEVEL = 3
"""Of gzip: level 6 takes twice the time for a tenth less."""


class FolderExists(Exception):
    """There is something in the way already; nothing is written over it."""


class HashedFile:
    """Writes to a file and keeps its size and SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def facts(self) -> dict[str, Any]:
        """As the manifest tells of it."""
        return {"sha256": self._hash.hexdigest(), "bytes": self.size}


@contextmanager
def hashed(path: Path) -> Iterator[HashedFile]:
    """A new file at `path`, flushed to the disk when it is left."""
    with path.open("xb") as file:
        yield HashedFile(file)
        file.flush()
        os.fsync(file.fileno())


class Lines:
    """NDJSON, compressed; the same lines give the same bytes."""

    def __init__(self, file: HashedFile, stack: ExitStack) -> None:
        self.file = file
        self.count = 0
        self._zip = stack.enter_context(
            gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=file, mtime=0)
        )

    def write(self, value: Any) -> None:
        self.write_line(dump(value))

    def write_line(self, line: str) -> None:
        self._zip.write(f"{line}\n".encode())
        self.count += 1


def check_free(folder: Path) -> None:
    """Raise FolderExists unless `folder` does not exist or is an empty folder."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FolderExists(f"{folder} is not a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise FolderExists(f"{folder} is not empty; nothing is written over what is there.")


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, under another name, that takes its place when it is left without an exception.

    With an exception it is removed. A process that is killed leaves `.<name>.….part`, which can be deleted. Raises
    FolderExists, OSError.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        yield part
        flush(part)
        check_free(folder)
        part.chmod(0o750)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    flush(folder.parent)


def flush(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
