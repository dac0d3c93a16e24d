"""Instants as people read them: in the zone of whoever looks, with UTC for the pointer and for machines."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.html import format_html
from django.utils.safestring import SafeString

from forge.db.zones import in_zone

_ZONE: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


def look_from(user: Any) -> None:
    """From here on this request's pages show times in the person's zone, else the organization's, else in UTC.

    Not by Django's own current zone: forms would then take in what is typed as that zone, and what people set here
    (periods, ends of prices) is in whole UTC hours.
    """
    _ZONE.set(zone_of(user))


def zone_of(user: Any) -> tzinfo:
    """The person's zone, else that of the organization; UTC where neither names one that there is."""
    organization = getattr(user, "organization", None)
    for name in (getattr(user, "time_zone", ""), organization.timezone if organization else ""):
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                continue
    return UTC


def moment(at: datetime | None, *, seconds: bool = False, empty: str = "-") -> SafeString | str:
    """An instant to the minute, or to the second, as a <time> element."""
    if at is None:
        return empty
    clock = "%H:%M:%S" if seconds else "%H:%M"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{in_zone(at, _ZONE.get()):%Y-%m-%d {clock} %Z}",
    )


@cache
def column(name: str, label: str) -> Callable[[Any], SafeString | str]:
    """A column of a list that shows the rows' instant `name`, to order by too."""

    def shown(row: Any) -> SafeString | str:
        return moment(getattr(row, name))

    shown.__name__ = name
    shown.short_description = label  # type: ignore[attr-defined]
    shown.admin_order_field = name  # type: ignore[attr-defined]
    return shown
