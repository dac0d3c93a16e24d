"""Instants in people's time zones, also at the ends of the calendar: 9999-12-31 is how many people say "never"."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def in_zone(at: datetime, zone: tzinfo) -> datetime:
    """The instant in that zone; in UTC where it lies outside the years 1 to 9999 there."""
    try:
        return at.astimezone(zone)
    except OverflowError:
        return at.astimezone(UTC)
