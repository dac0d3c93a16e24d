"""RFC 6962 Merkle trees over SHA-256: hashes, the compact range, and what a verifier asks of a proof.

Pure: no Django, no database, the standard library alone. Hashes are 32 bytes; an index counts leaves from 0; a range
is half-open. Sources: RFC 6962 section 2.1 (tree, paths), RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
MOST_LEAVES = 1 << 62
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""


class ProofError(ValueError):
    """The proof does not show what it claims; the message says why."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf; Forge's leaf data is an entry's log_hash."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Node:
    """A complete subtree: it covers the leaves [index · 2^level, (index + 1) · 2^level)."""

    level: int
    index: int


@dataclass
class CompactRange:
    """The complete subtrees that make up a tree of `size` leaves, the biggest first: all that appending needs."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> Iterator[tuple[Node, bytes]]:
        """Add a leaf hash; gives the nodes above level 0 that it completes, in order. Exhaust it."""
        hashed, index = leaf, self.size
        self.size += 1
        for level in range(self.size.bit_length()):
            if not index & 1:
                break
            hashed = node_hash(self.peaks.pop(), hashed)
            index >>= 1
            yield Node(level + 1, index), hashed
        self.peaks.append(hashed)

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def covering(start: int, end: int) -> list[Node]:
    """The fewest complete subtrees that cover [start, end), the leftmost first; `start` is aligned to the first."""
    nodes = []
    while start < end:
        level = min((start & -start).bit_length() - 1 if start else 62, (end - start).bit_length() - 1)
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges whose hashes prove leaf `index` in a tree of `size` leaves, the nearest to the leaf first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} does not stand in a tree of {size} leaves")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The ranges whose hashes prove that a tree of `new` leaves goes on from one of `old` leaves (RFC 6962 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"there is no consistency proof from {old} to {new} leaves")
    ranges: list[tuple[int, int]] = []
    start, end, is_whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, is_whole = middle, False
    if not is_whole:
        ranges.append((start, end))
    return ranges[::-1]


def verify_inclusion(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless `path` shows the leaf hash at `index` in the tree of that size and root."""
    if not 0 <= index < size <= MOST_LEAVES:
        raise ProofError(f"leaf {index} does not stand in a tree of {size} leaves")
    _check_hashes(leaf, root, *path)
    place, last, hashed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError("the path is too long")
        if place & 1 or place == last:
            hashed = node_hash(sibling, hashed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("the path is too short")
    if hashed != root:
        raise ProofError("the path leads to another root")


def verify_consistency(*, old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise ProofError unless `path` shows that the new tree begins with the leaves of the old one."""
    if not 0 <= old <= new <= MOST_LEAVES:
        raise ProofError(f"a tree of {new} leaves does not go on from one of {old}")
    _check_hashes(old_root, new_root, *path)
    if old in (0, new):
        if path:
            raise ProofError("the path is too long")
        if (old == 0 and old_root != EMPTY_ROOT) or (old == new and old_root != new_root):
            raise ProofError("the roots differ")
        return
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        raise ProofError("the path is too short")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the path is too long")
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("the path is too short")
    if before != old_root:
        raise ProofError("the path leads to another old root")
    if after != new_root:
        raise ProofError("the path leads to another new root")


def _split(leaves: int) -> int:
    """The largest power of two below `leaves` (> 1): where RFC 6962 divides a tree."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _check_hashes(*hashes: bytes) -> None:
    if any(len(hashed) != HASH_BYTES for hashed in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
