"""`manage.py refresh_prices`: AWS's price list into the price book that holds for all organizations."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from audit.actors import Actor
from costs import refreshes
from costs.pricelist import PriceListBroken
from forge.db.job_command import JobCommand
from workspaces.aws import AwsError
from workspaces.models import WorkSpace


class Command(JobCommand):
    help = (
        "Puts AWS's lists of WorkSpaces prices into the price book: one from a bulk file (CSV or JSON) with --file, "
        "else all by AWS's API. A price that changed ends with the running hour and the new one begins there. What "
        "cannot be told beyond doubt is listed and changes nothing. Safe to run twice."
    )
    path: Path | None = None
    regions: set[str]

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--file", type=Path, help="A bulk file of AWS's price list of AmazonWorkSpaces or AmazonAppStream."
        )
        parser.add_argument(
            "--region",
            action="append",
            default=[],
            help="A region of the list, again for further ones; without it those of the provider accounts in AWS.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.path = options["file"]
        self.regions = set(options["region"]) or refreshes.regions_in_use()
        if not self.regions:
            raise CommandError("There is no provider account in AWS; name a --region.")
        super().handle(*args, **options)

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        common: dict[str, Any] = {
            "regions": self.regions,
            "actor": Actor.command("refresh_prices"),
            "now": now,
            "dry_run": dry_run,
        }
        try:
            if self.path is None:
                report = refreshes.refresh_from_aws(**common)
            else:
                report = refreshes.refresh_from_file(self.path, **common)
        except (PriceListBroken, AwsError, OSError) as error:
            raise CommandError(str(error)) from error
        if not report.rows:
            raise CommandError(f"The list has nothing of {', '.join(sorted(self.regions))}.")
        return report.as_dict()

    def text(self, figures: dict[str, Any]) -> str:
        counted = f"{len(figures['new'])} new, {len(figures['changed'])} changed, {figures['unchanged']} unchanged"
        lines = [f"{figures['rows']} rows: {counted}, {figures['confirmed']} of them read again"]
        lines += [f"  new      {_line(price)}" for price in figures["new"]]
        lines += [f"  changed  {_line(price)}" for price in figures["changed"]]
        lines += [
            f"  left out {left['rows']:6} rows: {left['reason']}; first {', '.join(left['first'][:2])}"
            for left in figures["left_out"]
        ]
        return "\n".join(lines)


def _line(price: dict[str, Any]) -> str:
    kind = " ".join(price[name] for name in ("region", "bundle_type", "operating_system", "running_mode", "currency"))
    if price["service_type"] == WorkSpace.ServiceType.APPLICATIONS:
        kind += " (Applications)"
    return f"{kind}: {_figures(price['from'])} -> {_figures(price['to'])} from {price['valid_from']}"


def _figures(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "none"
    told = f"{figures['monthly']} a month, {figures['hourly']} an hour"
    storage = figures["storage_gb_month"]
    return f"{told}, {storage} a GB and month" if storage is not None else f"{told}, no price of storage"
