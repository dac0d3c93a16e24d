"""A process for tests that keeps a number of workers, forked from it as Celery's pool does, and replaces the killed.

python -m tests.races.storm.nursery 6 workers.json

Each worker carries out what is due until it is killed or the nursery is gone, which ends with the tests. The file says
when the first of them was forked, by the steady clock, and lists their process ids.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import django

from forge.db import scope


def main(count: int, listed: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    django.setup()
    scope.process_is_system()
    from django.db import connections  # noqa: PLC0415  (models cannot be imported before the set-up)

    from forge.operations.runner import run_due  # noqa: PLC0415
    from workspaces import aws  # noqa: PLC0415
    from workspaces.models import ProviderAccount  # noqa: PLC0415
    from workspaces.places import place_of  # noqa: PLC0415

    for account in ProviderAccount.objects.all():
        aws.Gateway(place_of(account))  # reading botocore's models takes longer than most workers will live
    connections.close_all()

    def work(parent: int) -> None:
        random.seed()
        while os.getppid() == parent:
            if not run_due(limit=1):
                time.sleep(0.05)

    workers: set[int] = set()
    began, tests = time.monotonic(), os.getppid()
    while os.getppid() == tests:  # without them the workers die of a database that is gone
        while len(workers) < count:
            parent, child = os.getpid(), os.fork()
            if child == 0:
                work(parent)
                os._exit(0)
            workers.add(child)
        _tell({"began": began, "workers": sorted(workers)}, listed)
        workers.discard(os.wait()[0])


def _tell(document: dict[str, object], listed: Path) -> None:
    """Whole at every moment, for whoever reads it meanwhile."""
    draft = listed.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(listed)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
