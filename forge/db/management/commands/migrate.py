"""`manage.py migrate`: Django's own, as the owner of the database, and then what tables cannot do without."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands import migrate
from django.db import connections
from django.utils import timezone

from forge.db import grants, partitions, policies


class Command(migrate.Command):
    help = (
        migrate.Command.help
        + " Afterwards makes the months of partitioned tables, isolates organizations and grants to the other roles."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--lock-timeout",
            type=float,
            default=0,
            metavar="SECONDS",
            help="Wait no longer than this for any lock, behind which everybody else would have to wait; 0: for ever.",
        )
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        with connections[options["database"]].cursor() as cursor:
            milliseconds = round(options["lock_timeout"] * 1000)
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{milliseconds}ms"])
        with _garbage_left_longer():
            super().handle(*args, **options)
        if options["plan"] or options["check_unapplied"]:
            return
        using = options["database"]
        made = partitions.ensure_ahead(timezone.now(), using=using)
        isolated = policies.apply(using, lock_seconds=options["lock_timeout"] or 10)
        roles = grants.apply(using)
        if options["verbosity"] >= 1:
            for table, names in made.items():
                self.stdout.write(f"Partitions made of {table}: {', '.join(names) or 'none was missing'}")
            self.stdout.write(f"Isolated anew: {len(isolated)} tables and partitions")
            self.stdout.write(f"Granted to: {', '.join(roles) or 'nobody, the owner is the only role'}")


@contextmanager
def _garbage_left_longer() -> Iterator[None]:
    """Collect garbage a hundred times less often inside.

    Django makes every model anew at most of the steps: the collector, which looks through all of them again and again,
    otherwise takes a third of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(before[0] * 100, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
