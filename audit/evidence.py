"""Which rows of the house are evidence that an entry must stand in the log.

Rooms declare it in their `actions.py`, beside the action types; verification holds the rows against the log and tells
of those for which there is no entry. The names are those of SQL; `audit.E003` says at the start which do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit import registry

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Evidence:
    """Rows of `table` (with `only` those in which that column has that value) and the entries that vouch for them.

    A successful entry of one of `actions` vouches for a row of its organization: by the column `names`, which must
    equal the entry's resource_id, or, with `by_correlation`, its correlation_id. `after` maps keys of the entry's
    changes.after to columns that must hold the same. `at` is when the row came to be.
    """

    table: str
    actions: tuple[str, ...]
    names: str
    by_correlation: bool
    at: str
    organization: str
    only: tuple[str, str] | None
    after: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, the key first."""
        only = [self.only[0]] if self.only else []
        return ("id", self.names, self.at, self.organization, *only, *(column for _, column in self.after))


_declared: dict[tuple[str, tuple[str, str] | None], Evidence] = {}


def expect(
    table: str,
    *,
    actions: Iterable[str],
    names: str = "id",
    by_correlation: bool = False,
    at: str = "created_at",
    organization: str = "organization_id",
    only: tuple[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> None:
    """Declare that each row of `table` has an entry; see Evidence. Rows without an organization are left out.

    Raises ValueError for what is no SQL name or declared already in other words, UnknownActionError.
    """
    one = Evidence(table, tuple(actions), names, by_correlation, at, organization, only, tuple((after or {}).items()))
    keys = [key for key, _ in one.after]
    if wrong := [name for name in (table, *one.columns, *keys) if not _NAME.fullmatch(name)]:
        raise ValueError(f"{wrong[0]!r} is no plain name of a table, column or key")
    if not one.actions:
        raise ValueError(f"no action type is named that vouches for {table}")
    for action in one.actions:
        registry.get(action)
    if _declared.setdefault((table, only), one) != one:
        raise ValueError(f"{table} is declared already, in other words")


def declared() -> list[Evidence]:
    """All that was declared, by table."""
    return [_declared[key] for key in sorted(_declared, key=str)]
