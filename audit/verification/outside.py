"""The checkpoints of a directory or bucket as a verifier reads them: by origin, then size, every signature checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from audit.sealing.sinks import S3Sink, SinkFailed, notes_in
from audit.verification.findings import CannotDecide
from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint


@dataclass
class Outside:
    """The checkpoints in `place`, a folder or a bucket; `faults` tells of files whose note does not hold."""

    place: Path | S3Sink
    known: Sequence[VerifierKey]
    faults: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, place: Path | S3Sink, known: Sequence[VerifierKey]) -> Outside:
        """Raises CannotDecide without such a place, a checkpoint in it, or a key to check with."""
        if not known:
            raise CannotDecide("No key is known to check the checkpoints with: set FORGE_AUDIT_VERIFIER_KEYS.")
        if isinstance(place, Path) and not place.is_dir():
            raise CannotDecide(f"There is no folder {place}.")
        outside = cls(place, known)
        if next(outside._notes(), None) is None:
            raise CannotDecide(f"{place} holds no checkpoints.")
        return outside

    def by_origin(self) -> Iterator[tuple[str, Iterator[Checkpoint]]]:
        """Each origin with its checkpoints, sizes ascending; take all of one before the next."""
        yield from groupby(self._checkpoints(), key=lambda checkpoint: checkpoint.origin)

    def _checkpoints(self) -> Iterator[Checkpoint]:
        for path, note in self._notes():
            try:
                yield read_checkpoint(note, self.known)
            except NoteError as error:
                self.faults.append(f"{path}: {error}")

    def _notes(self) -> Iterator[tuple[Path | str, str]]:
        """Where each note stands, and the note; raises CannotDecide for a bucket that does not answer."""
        try:
            yield from notes_in(self.place) if isinstance(self.place, Path) else self.place.notes()
        except SinkFailed as error:
            raise CannotDecide(str(error)) from error
