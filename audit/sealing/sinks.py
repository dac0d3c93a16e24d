"""Where checkpoints go: FORGE_AUDIT_SINKS lists the places by address.

`directory:/srv/forge-checkpoints`, `s3://bucket/prefix`, `log:`. A directory and a bucket can be read back, which the
sealer needs before it signs; the structured log cannot. A note is written once and never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.sealing.s3 import S3Sink
from audit.sealing.sink import LEVELS, SUFFIX, Sink, SinkConflict, SinkFailed, folder_of, path_of
from audit.verifier.notes import Checkpoint

logger = structlog.get_logger("audit.checkpoints")


class DirectorySink:
    """Files at `path_of`. A file appears whole or not at all: it is written under another name, flushed to disk and
    linked; linking never replaces."""

    is_readable = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"directory:{folder}"

    def publish(self, checkpoint: Checkpoint, note: str) -> None:
        path = self.path_of(checkpoint.origin, checkpoint.size)
        try:
            self._check_folder()
            is_new = not path.parent.is_dir()
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                _write(temporary, note.encode())
                os.link(temporary, path)
            except FileExistsError:
                if path.read_bytes() != note.encode():
                    raise SinkConflict(f"{self.name} holds another note for size {checkpoint.size}: {path}") from None
            finally:
                temporary.unlink(missing_ok=True)
            for folder in path.parents[: LEVELS + 1 if is_new else 1]:
                _flush(folder)
        except OSError as error:
            raise SinkFailed(f"{self.name}: {error}") from error

    def newest(self, origin: str) -> str | None:
        try:
            self._check_folder()
            path = _last(self.folder / folder_of(origin))
            return path.read_bytes().decode(errors="replace") if path else None
        except OSError as error:
            raise SinkFailed(f"{self.name}: {error}") from error

    def path_of(self, origin: str, size: int) -> Path:
        return self.folder / path_of(origin, size)

    def _check_folder(self) -> None:
        """It is never made here: a disk that is not mounted must not look like an empty sink."""
        if not self.folder.is_dir():
            raise SinkFailed(f"{self.name}: there is no such folder")


class LogSink:
    """One line per checkpoint in the structured log, for the collector that takes the logs away."""

    is_readable = False
    name = "log:"

    def publish(self, checkpoint: Checkpoint, note: str) -> None:
        logger.info(
            "audit_checkpoint", origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root.hex(), note=note
        )

    def newest(self, origin: str) -> str | None:
        raise SinkFailed(f"{self.name} cannot be read")


def configured() -> list[Sink]:
    """The sinks of FORGE_AUDIT_SINKS; raises ImproperlyConfigured for an address that names none."""
    return [open_sink(address) for address in settings.FORGE_AUDIT_SINKS]


def open_sink(address: str) -> Sink:
    """The sink of one address; raises ImproperlyConfigured."""
    if address == LogSink.name:
        return LogSink()
    kind, _, rest = address.partition(":")
    if kind == "directory" and Path(rest).is_absolute():
        return DirectorySink(Path(rest))
    if kind == "s3":
        return S3Sink(address)
    raise ImproperlyConfigured(f"{address!r} names no sink: directory:/an/absolute/path, s3://bucket/prefix, or log:")


def notes_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every checkpoint file below `folder`, ordered by path: by origin, then by size."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(here, name) for name in sorted(names) if name.endswith(SUFFIX)):
            yield path, path.read_bytes().decode(errors="replace")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last(folder: Path) -> Path | None:
    """The checkpoint whose path comes last; folders that a crash left empty are passed over."""
    if not folder.is_dir():
        return None
    for entry in sorted(folder.iterdir(), reverse=True):
        if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
            return entry
        if entry.is_dir() and (found := _last(entry)):
            return found
    return None


__all__ = [
    "SUFFIX", "DirectorySink", "LogSink", "S3Sink", "Sink", "SinkConflict", "SinkFailed", "configured", "notes_in",
    "open_sink",
]  # fmt: skip
