"""What the month's reports show, as a person gets them over the API, beside the summary and the worked figures."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from costs.api import showback
from costs.pricing import cents
from costs.showback.figures import DATA_TRANSFER, PARTS, STORAGE
from tests.costs.showback.support import foot_of, pages_of

AFTER = datetime(2028, 3, 3, 6, tzinfo=UTC)
BY = ("team", "project", "cost_center", "user")
CENT = Decimal("0.01")

Row = dict[str, str]


def assert_reports_show(client: Client, month: str, summary: dict[str, Any], rows: list[Row]) -> None:
    """The foot of each report in each format, part by part, and the lines that were worked out."""
    (total,) = [row for row in rows if row["dimension"] == "total"]
    exact, shown = Decimal(total["total_cost"]), Decimal(total["total_shown"])
    assert cents(Decimal(summary["total_cost"])) == shown
    parts = {row["name"]: Decimal(row["compute_cost"]) for row in rows if row["dimension"] == "bundle_type"}
    parts |= {STORAGE: Decimal(total["storage_cost"]), DATA_TRANSFER: Decimal(0)}
    for by in BY:
        table = _csv(_report(client, month, by, "csv"))
        document = json.loads(_report(client, month, by, "json"))
        foot = foot_of(pages_of(_report(client, month, by, "pdf")))
        of_csv = next(row for row in table if row["row"] == "total")
        assert Decimal(of_csv["total_cost"]) == Decimal(document["total"]["total_cost"]) == foot[-1] == shown, by
        assert Decimal(document["exact_total_cost"]) == exact, by
        assert document["status"] == of_csv["status"] == "FINAL"
        of_parts = {part: Decimal(of_csv[part]) for part in PARTS}
        assert of_parts == {part: Decimal(document["total"][part]) for part in PARTS}
        assert foot[:-1] == [cost for cost in of_parts.values() if cost], by
        assert sum(of_parts.values()) == shown, by
        for part, cost in of_parts.items():
            assert abs(cost - parts.get(part, Decimal(0))) < CENT, f"{part} by {by}"
        _assert_lines(by, table, document, [row for row in rows if row["dimension"] == by])


def _assert_lines(by: str, table: list[Row], document: dict[str, Any], worked: list[Row]) -> None:
    """CSV and JSON have the same lines; those that were worked out are shown to the cent that makes a sum of them."""
    lines = {row[by]: Decimal(row["total_cost"]) for row in table if row["row"] in ("group", "unallocated")}
    told = {row[by]: Decimal(row["total_cost"]) for row in document["groups"]}
    if document["unallocated"] is not None:
        told[""] = Decimal(document["unallocated"]["total_cost"])
    assert lines == told, by
    assert sum(lines.values()) == Decimal(document["total"]["total_cost"]), by
    if by == "user":  # the dearest of them were worked out; the rest of the people is the digest's
        lines = {email.partition("@")[0]: cost for email, cost in lines.items()}
    else:
        assert lines.keys() == {row["name"] for row in worked}, by
    for row in worked:
        assert abs(lines[row["name"]] - Decimal(row["total_cost"])) < CENT, row


def _report(client: Client, month: str, by: str, form: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showback, "timezone", SimpleNamespace(now=lambda: AFTER))
        answer = client.get(f"/api/v1/costs/reports/?month={month}&by={by}&format={form}")
        assert answer.status_code == 200, answer.content
        return b"".join(answer.streaming_content)


def _csv(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
