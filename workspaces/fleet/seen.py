"""Which machines AWS has shown, in eight bytes each, so that a fleet of any size fits into memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b


class Seen:
    """A set of ids that is filled first and asked afterwards.

    It keeps 64 bits of each id's hash. Among a million ids a wrong yes has a chance of one in 10^13; a vanished machine
    would then not be missed as long as the other one is there.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._is_sorted = True

    def add(self, ids: Iterable[str]) -> None:
        self._hashes.extend(_hash(one) for one in ids)
        self._is_sorted = False

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, one: str) -> bool:
        if not self._is_sorted:
            self._hashes = array("Q", sorted(self._hashes))
            self._is_sorted = True
        wanted = _hash(one)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def _hash(one: str) -> int:
    return int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), "big")
