"""A directory of checkpoints as a verifier reads it: by origin, in order of size, every signature checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from audit.sealing.sinks import notes_in
from audit.verification.findings import CannotDecide
from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint


@dataclass
class Outside:
    """The checkpoints below `folder`; `faults` tells of files whose note does not hold."""

    folder: Path
    known: Sequence[VerifierKey]
    faults: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, known: Sequence[VerifierKey]) -> Outside:
        """Raises CannotDecide without a folder, a checkpoint in it, or a key to check with."""
        if not known:
            raise CannotDecide("No key is known to check the checkpoints with: set FORGE_AUDIT_VERIFIER_KEYS.")
        if not folder.is_dir():
            raise CannotDecide(f"There is no folder {folder}.")
        if next(notes_in(folder), None) is None:
            raise CannotDecide(f"{folder} holds no checkpoints.")
        return cls(folder, known)

    def by_origin(self) -> Iterator[tuple[str, Iterator[Checkpoint]]]:
        """Each origin with its checkpoints, sizes ascending; take all of one before the next."""
        yield from groupby(self._checkpoints(), key=lambda checkpoint: checkpoint.origin)

    def _checkpoints(self) -> Iterator[Checkpoint]:
        for path, note in notes_in(self.folder):
            try:
                yield read_checkpoint(note, self.known)
            except NoteError as error:
                self.faults.append(f"{path}: {error}")
