"""Names that people chose, as one line of a page."""

from __future__ import annotations

import unicodedata

LONGEST = 200
"""Letters of a name that are looked at; no more would be shown."""

_KEPT = "\u200c\u200d"  # zero-width joiners: invisible, and part of how words are written in Persian and Hindi


def one_line(text: str) -> str:
    """`text` without line breaks, control letters and marks that turn the direction of what follows."""
    shown = (letter if letter.isprintable() or letter in _KEPT else " " for letter in text[:LONGEST])
    return unicodedata.normalize("NFC", " ".join("".join(shown).split()))
