"""A worker process for tests: carries out what is due until it is killed."""

from __future__ import annotations

import time


def main(endpoint_url: str, lease_seconds: int) -> None:
    from django.conf import settings  # noqa: PLC0415  (models cannot be imported before the set-up)

    from forge.operations.runner import run_due  # noqa: PLC0415

    settings.AWS_ENDPOINT_URL, settings.FORGE_OPERATION_LEASE_SECONDS = endpoint_url, lease_seconds
    while True:
        if not run_due(limit=10):
            time.sleep(0.1)
