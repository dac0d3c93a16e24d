"""What one interface changes, the others tell within ten seconds (requirement 22.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.chromium import visit
from tests.e2e.demo import Demo, eventually

SECONDS = 10


def test_a_limit_that_the_api_changes_stands_in_the_console_and_the_other_way_round(demo: Demo, browser: Browser):
    api = demo.api(role="finance")
    budgets = api.get("/api/v1/budgets/?scope=TEAM&is_active=true")["results"]
    budget = next(one for one in budgets if one["name"] == "platform")
    address = f"/api/v1/budgets/{budget['id']}/"
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="finance"))
        page = one.open(f"/admin/budgets/budget/{budget['id']}/change/")
        by_api = Decimal(budget["amount"]) + 123
        assert api.call("PATCH", address, {"amount": str(by_api)}).status == 200
        shown = re.compile(re.escape(f"{by_api:,.2f}"))
        eventually(lambda: page.reload() and page.get_by_text(shown).count(), within_seconds=SECONDS)

        page.get_by_role("button", name="Change").click()
        one.press("Change amount")
        by_console = int(by_api) + 321
        page.fill("[name=amount]", str(by_console))
        one.send()
        expect(page.get_by_text(f"The amount is {by_console:,.2f} USD now.")).to_be_visible()
        eventually(lambda: Decimal(api.get(address)["amount"]) == by_console, within_seconds=SECONDS)


def test_what_a_command_issued_is_listed_by_the_api_and_the_console(demo: Demo, browser: Browser, tmp_path: Path):
    month = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    wanted = {
        "--organization": "robco",
        "--month": month,
        "--by": "team",
        "--format": "csv",
        "--to": str(tmp_path / "a.csv"),
    }
    issued = demo.manage("cost_report", *(word for pair in wanted.items() for word in pair))
    assert issued.returncode == 0, issued.stderr
    api = demo.api(role="finance")
    [report] = eventually(
        lambda: api.get("/api/v1/costs/issued-reports/?page_size=1")["results"], within_seconds=SECONDS
    )
    assert (report["month"], report["format"], report["is_scheduled"]) == (f"{month}-01", "csv", False)
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="finance"))
        page = one.open("/admin/costs/issuedreport/")
        expect(page.locator(f"#result_list tbody a[href*='{report['id']}']").first).to_be_visible()
