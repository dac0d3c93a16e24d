"""A metering process for tests: meters hour after hour of the given span until it is killed or done."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta


def main(began: datetime, hours: int, zone: str) -> None:
    """`zone` is what the machine's clock shows, as POSIX writes it in TZ."""
    from costs.metering import meter  # noqa: PLC0415  (models cannot be imported before the set-up)

    os.environ["TZ"] = zone  # Django has set it to its own
    time.tzset()
    for hour in range(hours + 1):
        meter(now=began + timedelta(hours=hour), chunk=7)
