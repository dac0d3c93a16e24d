"""A worker process for tests: writes exports in small parts until it is killed."""

from __future__ import annotations

import time


def main(lease_seconds: int) -> None:
    from django.conf import settings  # noqa: PLC0415  (models cannot be imported before the set-up)

    from audit.exports import handler, rows  # noqa: PLC0415
    from forge.operations.runner import run_due  # noqa: PLC0415

    settings.FORGE_OPERATION_LEASE_SECONDS = lease_seconds
    handler.PART_BYTES, rows.CHUNK = 1, 10
    while True:
        if not run_due(limit=10):
            time.sleep(0.1)
