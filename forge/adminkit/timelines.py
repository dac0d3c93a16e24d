"""What happened in the order of time, whatever tables it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from forge.adminkit.times import moment


@dataclass(frozen=True)
class Event:
    """One line: `icon` is a Material symbol, `kind` what it stands for in a word, `link` where more is told."""

    at: datetime
    icon: str
    kind: str
    title: str
    detail: str = ""
    link: str = ""

    @property
    def moment(self) -> SafeString | str:
        return moment(self.at, seconds=True)


def newest_first(*sources: Iterable[Event], most: int) -> list[Event]:
    """The newest `most` events of all sources."""
    events = [event for source in sources for event in source]
    return sorted(events, key=lambda event: event.at, reverse=True)[:most]
