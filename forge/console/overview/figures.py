"""A number in words, what it counts, and where its list is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode


@dataclass(frozen=True)
class Figure:
    """One figure; `is_alarm` where somebody should look into it now: shown by a sign too, not by colour alone."""

    title: str
    value: str
    note: str
    link: str
    is_alarm: bool = False


def address(label: str, **filters: Any) -> str:
    """The list of a model, such as `costs.advice`, with these filters on."""
    listed = reverse(f"admin:{label.replace('.', '_')}_changelist")
    return f"{listed}?{urlencode(filters)}" if filters else listed
