"""What callers should leave, said by every answer of its operation: since when, and when it may be gone.

`@deprecated(since=date(2026, 12, 1), sunset=date(2027, 12, 1))` on a viewset's method deprecates its operation; with
`field="Point.day"` only that field of its answers (schema and member, as the OpenAPI document names them). Answers then
carry a `Link` to the docs and, where the operation goes, `Deprecation` (RFC 9745) and `Sunset` (RFC 8594); the document
says `deprecated`, `x-deprecated-since` and `x-sunset` in either case. tests/test_contract.py lets nothing go before its
sunset, and holds both days: `since` is the day of the declaration or later, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

from django.utils.http import http_date

NOTICE = timedelta(days=365)
"""How long callers have, at least, from the deprecation to the sunset."""
DOCS = "/api/v1/docs/"
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Deprecation:
    """Both days begin at midnight UTC; without `field` all of the operation goes."""

    since: date
    sunset: date
    field: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What an answer carries; where the operation stays and only a field goes, the link alone."""
        link = {"Link": f'<{DOCS}>; rel="deprecation"; type="text/html"'}
        if self.field:
            return link
        return link | {"Deprecation": f"@{_unix(self.since)}", "Sunset": http_date(_unix(self.sunset))}

    @property
    def marks(self) -> dict[str, Any]:
        """What the OpenAPI document says of the operation, or of the field."""
        days = {"x-deprecated-since": self.since.isoformat(), "x-sunset": self.sunset.isoformat()}
        return {"deprecated": True, **days}


def deprecated(*, since: date, sunset: date, field: str = "") -> Callable[[Method], Method]:
    """Declare it on a viewset's method; raises ValueError for a notice that is too short."""
    if sunset - since < NOTICE:
        raise ValueError(f"{since} to {sunset} is less than {NOTICE.days} days of notice.")

    def declare(method: Method) -> Method:
        method.deprecation = Deprecation(since, sunset, field)  # type: ignore[attr-defined]  # the viewset reads it
        return method

    return declare


def deprecation_of(view: Any, name: str | None) -> Deprecation | None:
    """What is declared on the method of that name."""
    return getattr(getattr(view, name or "", None), "deprecation", None)


def _unix(day: date) -> int:
    return int(datetime.combine(day, time.min, UTC).timestamp())
