"""The one registry of action types: what can stand in the log, what it must say, and which of it is personal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
MAX_LENGTH = 64


@dataclass(frozen=True)
class ActionType:
    """An action type with its required and personal fields.

    `required` names fields of an entry (`resource_id`) or keys of its context (`context.reason`) that must not be
    empty in an entry of result SUCCESS. `personal` names keys at the top of context, changes.before and changes.after
    whose values are names, addresses and the like: they enter the hash as salted digests and can be erased.
    """

    name: str
    required: tuple[str, ...] = ()
    personal: frozenset[str] = frozenset()


class UnknownActionError(LookupError):
    """The action type was never declared."""


_types: dict[str, ActionType] = {}


def register(name: str, *, required: Iterable[str] = (), personal: Iterable[str] = ()) -> str:
    """Declare an action type and return its name; declaring it twice in the same words is allowed."""
    if not _FORM.fullmatch(name) or len(name) > MAX_LENGTH:
        raise ValueError(f"{name!r} is not an action type: upper-case words joined by underscores, at most 64 letters")
    declared = ActionType(name, tuple(required), frozenset(personal))
    if _types.setdefault(name, declared) != declared:
        raise ValueError(f"{name} is declared already, in other words")
    return name


def get(name: str) -> ActionType:
    """The declared type; raises UnknownActionError."""
    try:
        return _types[name]
    except KeyError:
        raise UnknownActionError(
            f"{name!r} is not a declared action type; register it in the room's actions.py"
        ) from None


def names() -> list[str]:
    """Every declared action type, sorted."""
    return sorted(_types)
