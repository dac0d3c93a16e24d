"""Modules that are imported when they are first used.

For what brings tens of megabytes (Arrow, PDF) and is used by one worker in a while: every other process does without.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from django.utils.functional import SimpleLazyObject


def late(name: str) -> Any:
    """The module of that dotted name; it is imported when something of it is first asked for."""
    return SimpleLazyObject(partial(import_module, name))
