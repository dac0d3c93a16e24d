"""Opens a bundle: manifest, hashes of the files, and their lines one after another, never a whole file in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import layout, proofs
from .findings import CannotDecide, Finding

MOST_MANIFEST_BYTES = 1 << 20
MOST_LINE_BYTES = 4 << 20
"""An entry holds 64 KB of context; with escapes and the same in other names a line stays far below this."""

_BLOCK = 1 << 20


class Line(NamedTuple):
    """A line: its number from 1, its text without the line feed, and the JSON object that it is, or what was read of
    that."""

    number: int
    text: str
    value: dict[str, Any]


class BadLine(Exception):
    """A line is no JSON object; `number` says which."""

    def __init__(self, number: int, why: str) -> None:
        self.number = number
        super().__init__(why)


@dataclass(frozen=True)
class Manifest:
    """The facts of the manifest that the check needs, each of the right kind; `facts` is all of it."""

    facts: dict[str, Any]
    low: int
    high: int
    left: list[bytes]
    first: str | None
    end: str | None

    @classmethod
    def read(cls, facts: Any) -> Manifest:
        """Raises CannotDecide for another format, and for one that is not as this version writes it."""
        if not isinstance(facts, dict) or facts.get("format") != layout.FORMAT:
            raise CannotDecide(f"{layout.MANIFEST} does not belong to an audit bundle.")
        if facts.get("version") != layout.VERSION:
            raise CannotDecide(
                f"The bundle has version {facts.get('version')!r}; this verifier knows {layout.VERSION}."
            )
        try:
            leaves, span = facts["leaves"], facts["range"]
            left = [bytes.fromhex(peak) for peak in leaves["left"]]
            manifest = cls(facts, leaves["low"], leaves["high"], left, span["first"], span["end"])
            is_sound = (
                all(type(size) is int for size in (manifest.low, manifest.high))
                and 0 <= manifest.low <= manifest.high <= proofs.MOST_LEAVES
                and [len(peak) for peak in left] == [proofs.HASH_BYTES] * len(proofs.covering(0, manifest.low))
                and all(bound is None or isinstance(bound, str) for bound in (manifest.first, manifest.end))
                and all(isinstance(facts["files"][name]["bytes"], int) for name in layout.FIXED)
                and all(type(facts[name]) is int for name in ("entries", "neighbours", "checkpoints", "unsealed"))
                and isinstance(facts["lanes"], list)
                and all(isinstance(lane, dict) and type(lane.get("lane")) is int for lane in facts["lanes"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CannotDecide(f"{layout.MANIFEST} lacks a fact or holds another kind of it: {error!r}.") from error
        if not is_sound:
            raise CannotDecide(f"{layout.MANIFEST} holds facts that cannot be.")
        return manifest


def open_manifest(folder: Path) -> tuple[Manifest, list[Finding]]:
    """The manifest, and what is wrong with its own hash; raises CannotDecide."""
    if not folder.is_dir():
        raise CannotDecide(f"There is no folder {folder}.")
    _require_files(folder)
    try:
        with (folder / layout.MANIFEST).open("rb") as file:
            raw = file.read(MOST_MANIFEST_BYTES + 1)
        with (folder / layout.MANIFEST_HASH).open("rb") as file:
            told = file.read(1024)
    except OSError as error:
        raise CannotDecide(f"The bundle is not whole: {error}.") from error
    if len(raw) > MOST_MANIFEST_BYTES:
        raise CannotDecide(f"{layout.MANIFEST} is too large.")
    findings = []
    if told != f"{hashlib.sha256(raw).hexdigest()}  {layout.MANIFEST}\n".encode():
        findings.append(Finding("file_differs", f"{layout.MANIFEST_HASH} is not its hash", file=layout.MANIFEST))
    try:
        facts = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if findings:
            return Manifest({}, 0, 0, [], None, None), findings
        raise CannotDecide(f"{layout.MANIFEST} is no JSON: {error}.") from error
    return Manifest.read(facts), findings


def _require_files(folder: Path) -> None:
    """Raise CannotDecide for a link, which leads out of the bundle, or a pipe or device, which has no end."""
    for name in (*layout.FIXED, layout.PERSONAL, layout.MANIFEST, layout.MANIFEST_HASH):
        try:
            mode = (folder / name).lstat().st_mode
        except OSError as error:
            raise CannotDecide(f"The bundle is not whole: {error}.") from error
        if not stat.S_ISREG(mode):
            raise CannotDecide(f"{name} is not a plain file.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice: readers do not agree on which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def spelled(text: str) -> Any:
    """The value of a line in the one spelling that it may have; raises ValueError, RecursionError."""
    value = json.loads(text)
    if f"{layout.dump(value)}\n" != text:
        raise ValueError("it is not spelled as its writer spells")
    return value


def check_files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Every fixed file against its size and hash; raises CannotDecide for one that is missing or cut short."""
    for name in layout.FIXED:
        told = manifest.facts["files"][name]
        hashed, size = hashlib.sha256(), 0
        try:
            with (folder / name).open("rb") as file:
                while size <= told["bytes"] and (block := file.read(_BLOCK)):
                    hashed.update(block)
                    size += len(block)
        except OSError as error:
            raise CannotDecide(f"The bundle is not whole: {error}.") from error
        if size < told["bytes"]:
            raise CannotDecide(f"{name} is cut short: it has {size} of {told['bytes']} bytes.")
        if size != told["bytes"] or hashed.hexdigest() != told.get("sha256"):
            yield Finding("file_differs", "it is not the file that the manifest tells of", file=name)


class Lines:
    """The lines of a compressed NDJSON file. `next()` gives the next one and None after the last.

    Raises BadLine, after which it goes on with the line behind; CannotDecide for a file that cannot be read on.
    """

    def __init__(self, folder: Path, name: str, read: Callable[[str], Any] = json.loads) -> None:
        self.name, self._read = name, read
        self.number = 0
        try:
            self._file = io.BufferedReader(gzip.GzipFile(folder / name), _BLOCK)
        except OSError as error:
            raise CannotDecide(f"The bundle is not whole: {error}.") from error

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def next(self) -> Line | None:
        try:
            raw = self._file.readline(MOST_LINE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise CannotDecide(f"{self.name} cannot be read after line {self.number}: {error}.") from error
        if not raw:
            return None
        self.number += 1
        if len(raw) == MOST_LINE_BYTES:
            raise CannotDecide(f"{self.name} line {self.number} is longer than {MOST_LINE_BYTES} bytes.")
        try:
            text = raw.decode()
            value = self._read(text)
        except (ValueError, RecursionError) as error:
            raise BadLine(self.number, f"it cannot be read: {error}") from error
        if not isinstance(value, dict) or text[-1] != "\n":
            raise BadLine(self.number, "it is no JSON object on a line of its own")
        return Line(self.number, text[:-1], value)


def leaves(folder: Path, count: int) -> Iterator[tuple[int, int, bytes]]:
    """(lane, number, hash) of `count` leaves; raises CannotDecide when there are fewer."""
    size = layout.LEAF.size
    try:
        with (folder / layout.LEAVES).open("rb") as file:
            for start in range(0, count, _BLOCK // size):
                block = file.read(min(_BLOCK // size, count - start) * size)
                if len(block) % size or not block:
                    raise CannotDecide(f"{layout.LEAVES} is cut short.")
                yield from layout.LEAF.iter_unpack(block)
    except OSError as error:
        raise CannotDecide(f"{layout.LEAVES}: {error}.") from error
