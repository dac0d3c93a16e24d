"""Addresses of the console's lists and pages."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.http import urlencode


def address(label: str, **filters: Any) -> str:
    """The list of a model, such as `costs.advice`, with these filters on."""
    listed = reverse(f"admin:{label.replace('.', '_')}_changelist")
    return f"{listed}?{urlencode(filters)}" if filters else listed


def page_of(label: str, pk: Any) -> str:
    """The page of one row."""
    return reverse(f"admin:{label.replace('.', '_')}_change", args=[pk])
