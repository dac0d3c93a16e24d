"""`manage.py migrate`: Django's own, as the owner of the database, and then what tables cannot do without."""

from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands import migrate
from django.utils import timezone

from forge.db import grants, partitions


class Command(migrate.Command):
    help = migrate.Command.help + " Afterwards makes the months of partitioned tables and grants to the other roles."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if options["plan"] or options["check_unapplied"]:
            return
        using = options["database"]
        made = partitions.ensure_ahead(timezone.now(), using=using)
        roles = grants.apply(using)
        if options["verbosity"] >= 1:
            for table, names in made.items():
                self.stdout.write(f"Partitions made of {table}: {', '.join(names) or 'none was missing'}")
            self.stdout.write(f"Granted to: {', '.join(roles) or 'nobody, the owner is the only role'}")
