"""The receipt of an entry: its place in the log and the hash that pins it and all before it in the lane."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

LANE_SHIFT = 44
_PACKED = struct.Struct(">HQ32s")
_TEXT = re.compile(r"(\d{1,3})-(\d{1,14})-([0-9a-f]{64})")


@dataclass(frozen=True)
class Receipt:
    """Lane, number in it and log_hash; as text `lane-seq-hex`."""

    lane: int
    lane_seq: int
    log_hash: bytes

    @classmethod
    def unpack(cls, packed: bytes) -> Receipt:
        """From the 42 bytes that the append functions return."""
        return cls(*_PACKED.unpack(packed))

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """From its text form; raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:100]!r} is not a receipt of the form lane-seq-hex")
        return cls(int(match[1]), int(match[2]), bytes.fromhex(match[3]))

    @property
    def entry_id(self) -> int:
        """The id of the entry's row."""
        return (self.lane << LANE_SHIFT) + self.lane_seq

    def __str__(self) -> str:
        return f"{self.lane}-{self.lane_seq}-{self.log_hash.hex()}"
