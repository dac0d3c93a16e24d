"""Which tables have a retention: each room declares its own in `<room>/retention.py`, as it does its action types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit import places
from audit.archive.sources import Source


def _nothing(first: date, end: date) -> Iterable[str]:
    return ()


def _nothing_more(month: date, folder: Path) -> None:
    return


@dataclass(frozen=True)
class Policy:
    """How the months of one partitioned table leave it.

    `setting` names how many whole months are kept. `hindrances(first, end)` says why [first, end) must stay where it
    is. `write(month, folder)` puts what belongs to the copy besides the rows into a folder that exists, `check(month,
    folder)` holds it against the database and raises CopyDiffers. Of a table that `is_sealed` a month goes only when
    the entry that says so is under a signed and published checkpoint itself. Columns `left_out` are not in the Parquet
    file, files `unfixed` may be rewritten in the archive by others.
    """

    table: str
    setting: str
    hindrances: Callable[[date, date], Iterable[str]] = _nothing
    write: Callable[[date, Path], None] = _nothing_more
    check: Callable[[date, Path], None] = _nothing_more
    is_sealed: bool = False
    left_out: Sequence[str] = ()
    unfixed: Sequence[str] = ()

    @property
    def months(self) -> int:
        """How many whole months are kept."""
        kept: int = getattr(settings, self.setting)
        return kept

    def check_setting(self) -> None:
        """Raises ImproperlyConfigured for fewer months than `places.LEAST_MONTHS`."""
        if self.months < places.LEAST_MONTHS:
            least = places.LEAST_MONTHS
            raise ImproperlyConfigured(f"{self.setting} is {self.months}; at least {least} months are kept.")

    def source(self, partition: str) -> Source:
        """The detached month as the copy takes it."""
        return Source(f'forge_detached."{partition}"', self.left_out)


_POLICIES: dict[str, Policy] = {}


def register(policy: Policy) -> Policy:
    """Declare a table's retention; a table has one."""
    if _POLICIES.setdefault(policy.table, policy) != policy:
        raise ValueError(f"{policy.table} has a retention already")
    return policy


def policies() -> list[Policy]:
    """Those declared, by table."""
    return [_POLICIES[table] for table in sorted(_POLICIES)]
