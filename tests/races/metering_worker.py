"""A metering process for tests: meters hour after hour of the given span until it is killed or done.

python -m tests.races.metering_worker 2026-03-01T00:00:00+00:00 72
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta

import django


def main(began: datetime, hours: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    django.setup()
    from costs.metering import meter  # noqa: PLC0415  (models cannot be imported before the set-up)

    for hour in range(hours):
        meter(now=began + timedelta(hours=hour), chunk=7)


if __name__ == "__main__":
    main(datetime.fromisoformat(sys.argv[1]), int(sys.argv[2]))
