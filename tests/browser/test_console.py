"""The console in a real browser, as each role uses it; no error behind a page's back, no request to another host."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import visit
from tests.browser.places import EVERY, go
from tests.e2e.demo import Demo, eventually

CONSOLE = ("admin", "finance", "auditor", "team_lead")


@pytest.mark.parametrize("role", CONSOLE)
def test_who_oversees_others_comes_in_and_sees_the_overview(demo: Demo, browser: Browser, role: str):
    with visit(browser, demo.facts["base_url"]) as one:
        page = one.sign_in(demo.user(role=role))
        expect(page.get_by_role("heading", name="Machines by state")).to_be_visible()
        proof = page.get_by_text("Audit log verified")
        expect(proof).to_have_count(1 if role in ("admin", "auditor") else 0)


@pytest.mark.parametrize("role", ["engineer", "contractor"])
def test_nobody_else_comes_in(demo: Demo, browser: Browser, role: str):
    with visit(browser, demo.facts["base_url"]) as one:
        page = one.sign_in(demo.user(role=role))
        assert "/login/" in page.url
        assert page.locator("[name=password]").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_is_drawn_and_has_its_figures_as_a_table(demo: Demo, browser: Browser, scheme: str):
    with visit(browser, demo.facts["base_url"], scheme=scheme) as one:
        page = one.sign_in(demo.user(role="finance"))
        assert _colours(page) > 3
        page.get_by_text("The same as a table").click()
        rows = page.locator(".forge-table-figures tbody tr")
        assert rows.count() > 10
        expect(rows.first).to_be_visible()


def _colours(page: Page) -> int:
    """How many colours the chart is made of: an empty canvas has one."""
    script = """
        canvas => {
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const found = new Set();
            for (let at = 0; at < pixels.length; at += 40) found.add(pixels.slice(at, at + 4).join());
            return found.size;
        }
    """
    return page.locator("canvas.chart").first.evaluate(script)


def test_the_apis_documentation_draws_itself_from_this_host_alone(demo: Demo, browser: Browser):
    with visit(browser, demo.facts["base_url"]) as one:
        page = one.open("/api/v1/docs/")
        expect(page.locator(".opblock-summary").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/account/", "main"),
        ("/account/2fa/", "main"),
        ("/account/2fa/totp/activate/", ".account-qr"),
        ("/account/2fa/webauthn/add/", "main form"),
        ("/admin/password_change/", "#main form"),
    ],
)
def test_ones_own_pages_do_nothing_that_browsers_are_told_to_refuse(
    demo: Demo, browser: Browser, path: str, shown: str
):
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        page = one.open(path)
        assert page.url.endswith(path)
        expect(page.locator(shown).first).to_be_visible()


def _launch(page: Page, email: str, blueprint: str) -> None:
    page.fill("[name=owner_email]", email)
    page.select_option("[name=blueprint]", label=blueprint)
    page.select_option("[name=bundle_type]", "STANDARD")
    page.select_option("[name=running_mode]", "AUTO_STOP")


def test_an_admin_launches_a_machine_for_somebody_and_sees_it_come(demo: Demo, browser: Browser):
    person = demo.user(role="engineer", team="platform", has_machine=False)
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        page = one.open("/admin/workspaces/workspace/add/")
        _launch(page, person["email"], "engineering-linux v2")
        expect(page.get_by_role("button", name="Launch")).to_have_count(0)
        one.press_to_send("See the price")
        expect(page.get_by_role("heading", name="What it costs")).to_be_visible()
        expect(page.get_by_role("status").get_by_text(re.compile(r"^[0-9.,]+ USD$")).first).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("^Team platform "))).to_be_visible()
        one.press_to_send("Launch")
        expect(page.get_by_text("is launched.")).to_be_visible()
        machine = page.url
        eventually(lambda: page.goto(machine) and page.locator("h2", has_text="Available").count(), within_seconds=120)
        page.get_by_role("link", name="Audit", exact=True).click()
        expect(page.get_by_role("cell", name="WORKSPACE_PROVISION", exact=True)).to_be_visible()


def test_a_launch_that_the_budget_cannot_hold_is_refused_with_figures_and_makes_nothing(demo: Demo, browser: Browser):
    person = demo.user(role="engineer", team="data", has_machine=False)
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="finance"))
        page = one.open("/admin/budgets/budget/?scope__exact=TEAM&q=data")
        one.follow(page.locator("#result_list tbody a[href*='/change/']").first.click)
        page.get_by_role("button", name="Change").click()
        one.press("Change amount")
        page.fill("[name=amount]", "1")
        one.send()
        expect(page.get_by_text("The amount is 1.00 USD now.")).to_be_visible()
        expect(page.get_by_role("heading", name=re.compile("over the limit"))).to_be_visible()
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        page = one.open("/admin/workspaces/workspace/add/")
        _launch(page, person["email"], "data-science v2")
        page.select_option("[name=team]", label="Data science")
        one.send()
        assert page.url.endswith("/add/")
        expect(page.locator("#main").get_by_text(re.compile("budget", re.IGNORECASE)).first).to_be_visible()


def test_an_auditor_has_the_log_verified_and_the_list_says_so(demo: Demo, browser: Browser):
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="auditor"))
        page = one.open("/admin/audit/auditverification/add/")
        page.get_by_label("All of the log").check()
        one.send()
        expect(page.get_by_text("This operation verifies the log")).to_be_visible()

        def intact() -> bool:
            one.open("/admin/audit/auditlog/")
            return page.get_by_text(re.compile("^INTACT at ")).count() > 0

        eventually(intact, within_seconds=180)


def test_an_operator_pauses_a_job_and_every_page_tells_of_it_until_it_runs_again(demo: Demo, browser: Browser):
    password = demo.user(role="admin")["password"]
    made = demo.manage("make_operator", "--email=operator@robco.example", FORGE_OPERATOR_PASSWORD=password)
    assert made.returncode == 0, made.stderr
    with visit(browser, demo.facts["base_url"]) as one, visit(browser, demo.facts["base_url"]) as other:
        one.sign_in({"email": "operator@robco.example", "password": password})
        page = one.open("/admin/system/")
        one.press("Pause: enforce_lifecycle")
        page.check("[name=is_paused]")
        page.fill("[name=reason]", "an exercise")
        one.send()
        other.sign_in(demo.user(role="team_lead"))
        expect(other.page.get_by_text("Automation is paused:")).to_be_visible()
        page = one.open("/admin/system/")
        one.press("Let it run: enforce_lifecycle")
        page.uncheck("[name=is_paused]")
        one.send()
        other.open("/admin/workspaces/workspace/")
        expect(other.page.get_by_text("Automation is paused:")).to_have_count(0)


def test_a_destructive_button_wants_its_name_typed_and_a_keyboard_reaches_everything_on_the_way(
    demo: Demo, browser: Browser
):
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        go(one, "machine")
        page = one.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") in ("A", "BUTTON", "INPUT")
        page.get_by_role("button", name="Keep").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Extend lifetime")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Extend lifetime")).to_be_hidden()
        one.press("Terminate")
        page.fill("[name=typed_confirmation]", "something else")
        one.send()
        expect(page.get_by_text("That is not what stands above.")).to_be_visible()


@pytest.mark.parametrize("name", EVERY)
def test_at_1280_pixels_no_page_and_no_list_is_cut(demo: Demo, browser: Browser, name: str):
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        go(one, name)
        width = "element => [element.scrollWidth, element.clientWidth]"
        inside = one.page.locator("#result_list").evaluate_all(
            "tables => tables.map(t => t.closest('.simplebar-content-wrapper') || t.parentElement)"
            ".map(e => [e.scrollWidth, e.clientWidth])"
        )
        for needed, there in [one.page.locator("html").evaluate(width), *inside]:
            assert needed <= there + 1, (needed, there)


def test_a_list_is_turned_by_links_and_keys_and_its_file_is_what_it_shows(demo: Demo, browser: Browser):
    with visit(browser, demo.facts["base_url"]) as one:
        one.sign_in(demo.user(role="admin"))
        page = one.open("/admin/costs/costrecord/")
        first = _rows(page)
        assert len(first) == 50
        one.follow(page.locator("a[rel=next]").click)
        second = _rows(page)
        assert second
        assert not set(first) & set(second)
        for key, rows in (("p", first), ("n", second)):  # a browser without a screen does not act on access keys
            page.locator(f"a[accesskey={key}]").focus()
            one.follow(lambda: page.keyboard.press("Enter"))
            assert _rows(page) == rows
        one.follow(page.get_by_role("link", name="First", exact=True).click)
        assert _rows(page) == first
        expect(page.locator("a[rel=prev]")).to_have_count(0)

        page = one.open("/admin/workspaces/workspace/?state__exact=AVAILABLE")
        shown = _rows(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="Export CSV").click()
        assert download.value.suggested_filename.startswith("workspace-")
        with open(download.value.path(), newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        assert [line["id"] for line in lines] == [row.split("/")[-3] for row in shown]
        assert {line["state"] for line in lines} == {"AVAILABLE"}


def _rows(page: Page) -> list[str]:
    """The addresses of the rows' pages, in their order."""
    links = page.locator("#result_list tbody tr").evaluate_all(
        "rows => rows.map(row => row.querySelector('a[href*=\"/change/\"]')).filter(Boolean).map(a => a.pathname)"
    )
    return list(links)
