"""Which machines AWS has shown, in eight bytes each, so that a fleet of any size fits into memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

BUCKET_BITS = 12


class Seen:
    """A set of ids that is filled first and asked afterwards.

    It keeps 64 bits of each id's hash. Among a million ids a wrong yes has a chance of one in 10^13; a vanished machine
    would then not be missed as long as the other one is there. The hashes lie in buckets by their first bits, because
    sorting makes a Python number of each: so it does of one bucket at a time.
    """

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(1 << BUCKET_BITS)]
        self._unsorted: set[int] = set()
        self._count = 0

    def add(self, ids: Iterable[str]) -> None:
        for one in ids:
            hashed = _hash(one)
            number = _bucket(hashed)
            self._buckets[number].append(hashed)
            self._unsorted.add(number)
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __contains__(self, one: str) -> bool:
        wanted = _hash(one)
        number = _bucket(wanted)
        if number in self._unsorted:
            self._buckets[number] = array("Q", sorted(self._buckets[number]))
            self._unsorted.discard(number)
        bucket = self._buckets[number]
        place = bisect_left(bucket, wanted)
        return place < len(bucket) and bucket[place] == wanted


def _bucket(hashed: int) -> int:
    return hashed >> (64 - BUCKET_BITS)


def _hash(one: str) -> int:
    return int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), "big")
