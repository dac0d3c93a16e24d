"""A worker process for tests: writes exports in small parts until it is killed."""

from __future__ import annotations

import os
import time

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    django.setup()
    from audit.exports import handler, rows  # noqa: PLC0415  (models cannot be imported before the set-up)
    from forge.operations.runner import run_due  # noqa: PLC0415

    handler.PART_BYTES, rows.CHUNK = 1, 10
    while True:
        if not run_due(limit=10):
            time.sleep(0.1)


if __name__ == "__main__":
    main()
