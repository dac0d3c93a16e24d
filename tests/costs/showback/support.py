"""Daily costs made directly, and reports of them read back."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal

from pypdf import PdfReader

from audit.actors import Actor
from costs.models import DailyCost
from costs.showback import services
from costs.showback.figures import PARTS, Asked
from costs.showback.models import ReportBy, ReportFormat, ReportKind

MONTH = date(2026, 2, 1)
AFTER = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
"""When a report of MONTH is made: it is over, and nothing waits to be metered."""

_MONEY = re.compile(r"-?[\d,]+\.\d\d")


def spend(world, amount=0, *, storage=0, transfer=0, day=MONTH, **facts):
    """A day's sum of the world's engineer, of its team."""
    compute, storage, transfer = (round(Decimal(cost), 6) for cost in (amount, storage, transfer))
    terms = {
        "organization": world.organization, "user": world.engineer, "team": world.team, "bundle_type": "STANDARD",
        "region": "us-east-1", "running_mode": "AUTO_STOP",
    }  # fmt: skip
    return DailyCost.objects.create(
        day=day, compute_cost=compute, storage_cost=storage, data_transfer_cost=transfer,
        total_cost=compute + storage + transfer, **terms | facts,
    )  # fmt: skip


def asked(world, by="team", kind="SHOWBACK", month=MONTH, team=None):
    return Asked(world.organization, ReportKind(kind), ReportBy(by), month, team)


def written(wanted, form, now=AFTER):
    """The bytes of a report, made by nobody."""
    report = services.written(actor=Actor.command("test"), asked=wanted, form=ReportFormat(form), now=now)
    with report.file:
        content = report.file.read()
    assert len(content) == report.size
    return content


def csv_of(wanted, now=AFTER):
    """The rows of the CSV, amounts as numbers."""
    rows = list(csv.DictReader(io.StringIO(written(wanted, "csv", now).decode(), newline="")))
    for row in rows:
        for name in ("total_cost", *PARTS):
            row[name] = Decimal(row[name]) if row[name] else None
    return rows


def json_of(wanted, now=AFTER):
    return json.loads(written(wanted, "json", now))


def pages_of(content):
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def pdf_of(wanted, now=AFTER):
    """The text of each page."""
    return pages_of(written(wanted, "pdf", now))


def foot_of(pages, currency="USD"):
    """The amounts of the table's last line, the total last."""
    lines = [line for page in pages for line in page.splitlines() if line.startswith(f"Total ({currency})")]
    assert len(lines) == 1, lines
    return [Decimal(text.replace(",", "")) for text in _MONEY.findall(lines[0])]
