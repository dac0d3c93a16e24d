"""A metering process for tests: meters hour after hour of the given span until it is killed or done."""

from __future__ import annotations

from datetime import datetime, timedelta


def main(began: datetime, hours: int) -> None:
    from costs.metering import meter  # noqa: PLC0415  (models cannot be imported before the set-up)

    for hour in range(hours):
        meter(now=began + timedelta(hours=hour), chunk=7)
