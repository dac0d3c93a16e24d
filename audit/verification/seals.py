"""Do rows, leaves, nodes and checkpoints agree, are the checkpoints signed, and does the outside say the same?

Everything is judged up to a size that is read once; it streams and holds no more than the peaks of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.db import connection

from audit.sealing import keys
from audit.sealing.leaves import BACK
from audit.sealing.sinks import S3Sink
from audit.sealing.tree import BrokenTree, StoredTree
from audit.sealing.vouchers import is_vouched
from audit.verification import seals_sql as sql
from audit.verification.dropped import Dropped, load
from audit.verification.findings import SHOWN, CannotDecide, Finding
from audit.verification.outside import Outside
from audit.verification.queries import fetch
from audit.verification.since import Since
from audit.verification.windows import Window, window_of
from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint
from audit.verifier.proofs import CompactRange
from forge.db.months import add_months

LEAVES_AT_ONCE = 50_000
LATE = timedelta(minutes=10)
"""An entry that is older has a leaf, and the newest checkpoint a signature, where a key says that the log is sealed."""


@dataclass
class Seals:
    """What was verified of the seals. `notices` are no faults: what could not be checked, and what a restore lost."""

    leaves: int = 0
    checkpoints: int = 0
    signed: int = 0
    compared: int = 0
    notices: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "findings"}


@dataclass(frozen=True)
class Stored:
    """A checkpoint of the database."""

    id: int
    incarnation: int
    origin: str
    size: int
    root: bytes
    sealed_at: datetime
    note: str | None
    is_late: bool


@dataclass(frozen=True)
class Base:
    """The tree before the first leaf that is verified, and the checkpoint that stands there, if any."""

    tree: CompactRange
    checkpoint: Stored | None

    def copy(self) -> CompactRange:
        """The tree, to be grown."""
        return CompactRange(self.tree.size, list(self.tree.peaks))


def verify_seals(
    *,
    month: date | None = None,
    since: Since | None = None,
    against: Path | S3Sink | None = None,
    dropped: Dropped | None = None,
) -> Seals:
    """Verify leaves, nodes, checkpoints and the outside directory or bucket `against`.

    With `month` only its rows, its leaves and the checkpoints around it, whose roots and signatures vouch for these.

    With `since` only what came after that checkpoint, whose root must still be that of the leaves before it. `dropped`
    is what retention took (default: what the log says now).

    Raises CannotDecide where `against` holds no checkpoint or no key is known; DatabaseError, ImproperlyConfigured.
    """
    known = keys.verifier_keys()
    outside = None if against is None else Outside.open(against, known)
    size, newest = fetch(sql.BOUNDS)[0]
    bounds = {"size": size, "newest": newest, "limit": SHOWN, "back": BACK, "late": LATE, "from": 0, "base": 0}
    dropped = load() if dropped is None else dropped
    bounds |= dropped.parameters
    if since is not None:
        bounds |= {"from": since.size, "base": since.checkpoint}
        bounds |= {"lows": since.lows_with_last, "highs": since.highs}
    seals = Seals(leaves=size - bounds["from"])
    first = datetime(month.year, month.month, 1, tzinfo=UTC) if month else datetime.min.replace(tzinfo=UTC)
    end = _start(add_months(month, 1)) if month else datetime.max.replace(tzinfo=UTC)
    seals.findings += _check_rows(bounds | {"first": first, "end": end}, is_whole=month is None, is_sealed=bool(known))
    if month is not None:
        window = window_of(first, end, newest=newest, size=size)
        bounds |= {"from": window.low, "size": window.high, "base": window.base, "newest": window.newest}
        seals.leaves = window.high - window.low
        seals.findings += _rowless(bounds)
        seals.findings += _missing_leaves(bounds)
        base, faults = _base_at(window)
        seals.findings += faults
        seals.findings += _check_checkpoints(seals, bounds, known, base, gone_before=dropped.end)
    else:
        base, faults = _base(since)
        seals.findings += faults
        seals.findings += _check_tree(bounds)
        seals.findings += _check_checkpoints(seals, bounds, known, base, gone_before=dropped.end)
        if outside is not None:
            _compare(seals, bounds, outside, base)
    return seals


def _base(since: Since | None) -> tuple[Base | None, list[Finding]]:
    """The tree that the verification goes on from, None where it is not as it was; and what is wrong with it."""
    if since is None:
        return Base(CompactRange(), None), []
    number = since.checkpoint
    stored = next(_stored({"newest": number}, after=number - 1), None)
    faults = []
    if stored is None:
        faults.append(Finding("missing_checkpoint", f"there is no checkpoint {number}", None, before=since.at))
    elif (stored.size, stored.root) != (since.size, since.root):
        detail = f"checkpoint {number} is not as it was when it was verified"
        faults.append(Finding("bad_checkpoint", detail, None, before=since.at))
    try:
        tree = StoredTree(connection).compact_range(since.size)
    except BrokenTree as error:
        return None, [*faults, Finding("bad_node", str(error), None)]
    if tree.root() != since.root:
        detail = f"the first {since.size} leaves no longer have the root that was verified as checkpoint {number}"
        return None, [*faults, Finding("bad_root", detail, None, before=since.at)]
    return Base(tree, stored), faults


def _base_at(window: Window) -> tuple[Base | None, list[Finding]]:
    """The tree before the leaves of a month, as the nodes have it: a root that is signed must come of it later."""
    try:
        tree = StoredTree(connection).compact_range(window.low)
    except BrokenTree as error:
        return None, [Finding("bad_node", str(error), None)]
    return Base(tree, next(_stored({"newest": window.base}, after=window.base - 1), None)), []


def _check_rows(bounds: dict[str, Any], *, is_whole: bool, is_sealed: bool) -> Iterator[Finding]:
    """Rows against leaves and times."""
    asked = sql.of_lanes if "lows" in bounds else str
    for row in fetch(asked(sql.OTHER_ROWS), bounds):
        found = _at("other_leaf", "it is not the row that was sealed in its place", row[:-1])
        yield replace(found, before=row[-1])
    for place in fetch(asked(sql.UNSEALED_ROWS), bounds):
        yield _at("no_leaf", "it stands among sealed rows and was not sealed", place)
    if not is_whole:
        return
    yield from _rowless(bounds, asked)
    for statement in (sql.ROWS_OUT_OF_TIME, sql.LANES_BACK_IN_TIME):
        for place in fetch(asked(statement), bounds):
            yield _at("impossible_time", "its time does not fit the entries and checkpoints around it", place)
    if is_sealed:
        for place in fetch(asked(sql.LATE_ROWS), bounds):
            yield _at("not_sealed", f"it has no leaf after {LATE.seconds // 60} minutes", place)


def _rowless(bounds: dict[str, Any], asked: Callable[[str], str] = str) -> Iterator[Finding]:
    for id_, lane, lane_seq, partition, after, before in fetch(asked(sql.ROWLESS_LEAVES), bounds):
        detail = "the row of this leaf is gone"
        yield Finding("no_row", detail, lane, id_, lane_seq, partition, after=after, before=before)


def _missing_leaves(bounds: dict[str, Any]) -> Iterator[Finding]:
    for (index,) in fetch(sql.MISSING_LEAVES, bounds):
        yield Finding("missing_leaf", f"there is no leaf {index - 1}", None)


def _check_tree(bounds: dict[str, Any]) -> Iterator[Finding]:
    """Leaves count from 0 without holes, and each complete subtree has its node."""
    yield from _missing_leaves(bounds)
    for lane, first, last, count in fetch(sql.LEAVES_OF_GONE, bounds):
        detail = f"{count} leaves stand for the numbers {first} to {last}, which were dropped"
        yield Finding("bad_leaf", detail, lane)
    for level in range(1, bounds["size"].bit_length()):
        statement = sql.FAULTY_NODES if level > 1 else sql.FAULTY_NODES_ABOVE_LEAVES
        for (index,) in fetch(statement, bounds | {"level": level}):
            yield Finding("bad_node", f"node {index} of level {level} is not the hash of the two below it", None)


def _check_checkpoints(
    seals: Seals,
    bounds: dict[str, Any],
    known: Sequence[VerifierKey],
    base: Base | None,
    gone_before: datetime | None,
) -> Iterator[Finding]:
    """Numbers, sizes, times, roots and signatures of the database's own checkpoints, and who began their incarnation.

    An incarnation from `gone_before`, of which the entry may have been dropped, is not asked for it.
    """
    last = base.checkpoint if base else None
    last_signed = last.id if last and last.note else 0
    for stored in _stored(bounds, after=bounds["base"]):
        seals.checkpoints += 1
        if stored.id != (last.id if last else bounds["base"]) + 1:
            yield Finding(
                "missing_checkpoint", f"there is no checkpoint {stored.id - 1}", None, before=stored.sealed_at
            )
        if last and (stored.size < last.size or stored.incarnation < last.incarnation):
            yield Finding("bad_checkpoint", f"checkpoint {stored.id} goes back", None, before=stored.sealed_at)
        if last and stored.sealed_at < last.sealed_at - BACK:
            detail = f"checkpoint {stored.id} is dated {last.sealed_at - stored.sealed_at} before the one before it"
            yield Finding("bad_checkpoint", detail, None, before=stored.sealed_at)
        if fault := _misnamed(stored, last, known, gone_before):
            yield Finding("bad_checkpoint", f"checkpoint {stored.id} {fault}", None, before=stored.sealed_at)
        if stored.note is not None:
            seals.signed += 1
            last_signed = stored.id
            if known and (fault := _fault(stored, known)):
                yield Finding("bad_signature", f"checkpoint {stored.id}: {fault}", None, before=stored.sealed_at)
        last = stored
    size = bounds["size"]
    if size > (last.size if last else 0):
        detail = f"{size} leaves, the newest checkpoint stands at {last.size if last else 0}"
        yield Finding("missing_checkpoint", detail, None)
    if known and last is not None and last.is_late and last_signed < last.id:
        yield Finding("unsigned_checkpoint", f"checkpoint {last.id} was never signed", None, before=last.sealed_at)
    if not known and seals.signed:
        seals.notices.append("Signatures were not checked: no key is configured.")
    if base is not None:
        stored_ones = _stored(bounds, after=bounds["base"])
        points = ((one.size, one.root, f"checkpoint {one.id}") for one in stored_ones)
        yield from _check_roots(points, bounds, base)


def _misnamed(
    stored: Stored, last: Stored | None, known: Sequence[VerifierKey], gone_before: datetime | None
) -> str | None:
    """What is wrong with the incarnation and origin of a checkpoint that follows `last`."""
    if last is not None and stored.incarnation == last.incarnation:
        return None if stored.origin == last.origin else "has another origin than the one before it"
    if stored.incarnation == 1 or not known or (gone_before is not None and stored.sealed_at < gone_before):
        return None
    first = Checkpoint(stored.origin, stored.size, stored.root)
    if is_vouched(connection, first, stored.incarnation, known):
        return None
    return f"begins incarnation {stored.incarnation}, and no entry of the log with a signature says so"


def _compare(seals: Seals, bounds: dict[str, Any], outside: Outside, base: Base | None) -> None:
    """Every checkpoint of the directory against the database's leaves."""
    incarnations = fetch(sql.INCARNATIONS, bounds)
    ends = {origin: size for (_, origin, _), (_, _, size) in pairwise(incarnations)}
    origins = [origin for _, origin, _ in incarnations]
    for origin, checkpoints in outside.by_origin():
        if origin not in origins:
            detail = f"{outside.place} holds checkpoints of {origin}, which the database does not know"
            seals.findings.append(Finding("outside_ahead", detail, None))
            continue
        counted = _Counted(checkpoints, ends.get(origin), f"in {outside.place}", bounds["from"])
        if base is None:
            continue
        seals.findings += _check_roots(counted, bounds, base, kind="outside_root")
        seals.compared += counted.count
        if counted.lost:
            seals.notices.append(
                f"{counted.lost} checkpoints of {origin} lie beyond {ends[origin]} entries, where a later incarnation"
                f" began; up to {counted.newest - ends[origin]} entries were lost there."
            )
        elif origin == origins[-1] and counted.newest < bounds["size"]:
            seals.notices.append(
                f"The last {bounds['size'] - counted.newest} sealed entries are not in {outside.place}."
            )
    seals.findings += [Finding("outside_note", fault, None) for fault in outside.faults[:SHOWN]]
    if not seals.compared and not seals.findings:
        raise CannotDecide(f"{outside.place} holds no checkpoint of this log.")


class _Counted:
    """The checkpoints of one origin from a size up to where its incarnation ended, counted as they pass."""

    def __init__(self, checkpoints: Iterable[Checkpoint], end: int | None, where: str, low: int) -> None:
        self._checkpoints, self._end, self._where, self._low = checkpoints, end, where, low
        self.count = self.lost = self.newest = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, str]]:
        for checkpoint in self._checkpoints:
            self.newest = max(self.newest, checkpoint.size)
            if self._end is not None and checkpoint.size > self._end:
                self.lost += 1
                continue
            if checkpoint.size < self._low:
                continue
            self.count += 1
            yield checkpoint.size, checkpoint.root, f"the checkpoint of size {checkpoint.size} {self._where}"


def _check_roots(
    points: Iterable[tuple[int, bytes, str]], bounds: dict[str, Any], base: Base, kind: str = "bad_root"
) -> Iterator[Finding]:
    """Each (size, root) against the leaves, sizes ascending; the first that differs names the lanes since the last."""
    tree, agreed = base.copy(), bounds["from"]
    leaves = _leaves(agreed)
    for size, root, label in points:
        while tree.size < size and (leaf := next(leaves, None)) is not None:
            for _ in tree.append(leaf):
                pass
        if tree.size < size:
            where = "outside_ahead" if kind == "outside_root" else "missing_leaf"
            yield Finding(where, f"{label} covers {size} entries, the database has {tree.size} leaves", None)
            return
        if tree.size > size:
            yield Finding(kind, f"{label} comes after one of {tree.size} entries", None)
            return
        if tree.root() != root:
            detail = f"{label} has another root; the leaves from {agreed} to {size - 1} are not those that it sealed"
            places = fetch(sql.WINDOW, bounds | {"low": agreed, "high": size})
            yield from (_at(kind, detail, place) for place in places)
            if not places:
                yield Finding(kind, detail, None)
            return
        agreed = size


def _fault(stored: Stored, known: Sequence[VerifierKey]) -> str | None:
    """What is wrong with the note of a checkpoint."""
    try:
        checkpoint = read_checkpoint(stored.note or "", known)
    except NoteError as error:
        return str(error)
    is_same = checkpoint == Checkpoint(stored.origin, stored.size, stored.root)
    return None if is_same else "its note is about another size or root"


def _stored(bounds: dict[str, Any], *, after: int) -> Iterator[Stored]:
    while found := fetch(sql.CHECKPOINTS, {"late": LATE} | bounds | {"after": after}):
        for id_, incarnation, origin, size, root, *rest in found:
            yield Stored(id_, incarnation, origin, size, bytes(root), *rest)
        after = found[-1][0]


def _leaves(first: int) -> Iterator[bytes]:
    """The hashes of leaves from `first` on, those too that were sealed since the verification began: a checkpoint of
    theirs may stand outside by now."""
    while found := fetch(sql.LEAVES, {"low": first, "high": first + LEAVES_AT_ONCE}):
        yield from (bytes(hashed) for _, hashed in found)
        first = found[-1][0] + 1


def _at(kind: str, detail: str, place: Sequence[Any]) -> Finding:
    id_, lane, lane_seq, partition, timestamp = place
    return Finding(kind, detail, lane, id_, lane_seq, partition, timestamp)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
