from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from workspaces.simulator import cli


class Command(BaseCommand):
    help = "Runs the AWS WorkSpaces simulator alone, until it is interrupted; it needs neither database nor Redis."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        status = cli.run(options)
        if status:
            raise SystemExit(status)
