"""A number in words, what it counts, and where its list is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure; `is_alarm` where somebody should look into it now: shown by a sign too, not by colour alone."""

    title: str
    value: str
    note: str
    link: str
    is_alarm: bool = False
