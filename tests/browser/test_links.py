"""A link from mail in a real browser: what stands behind its # is taken, also from a second link in the same tab."""

from __future__ import annotations

import quopri
import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visit, visit
from tests.e2e.demo import Demo, eventually

NEW = "quite another horse of mine"
CHOOSE, FORGOTTEN = "/account/password/choose/", "/account/password/forgotten/"


def link_for(demo: Demo, one: Visit, email: str) -> str:
    """The key of the link that the person is sent, who says that the password is forgotten."""
    known = set(_links(demo))
    page = one.open(FORGOTTEN)
    page.fill("[name=email]", email)
    one.follow(page.locator("main form[method=post] [type=submit], form[method=post] [type=submit]").last.click)
    return eventually(lambda: [key for key in _links(demo) if key not in known], within_seconds=180)[0]


def _links(demo: Demo) -> list[str]:
    mails = sorted(demo.home.glob("**/mail/*.log"))
    texts = (quopri.decodestring(mail.read_bytes()).decode(errors="replace") for mail in mails)
    return [key for text in texts for key in re.findall(rf"{CHOOSE}#([\w:.-]+)", text)]


def follow_link(page: Page, one: Visit, key: str) -> None:
    """As one clicks on it in a mail that opens in this tab."""
    page.goto(f"{one.base_url}{CHOOSE}#{key}")
    expect(page).to_have_url(f"{one.base_url}{CHOOSE}")


def choose(page: Page, one: Visit) -> None:
    page.fill("[name=new_password1]", NEW)
    page.fill("[name=new_password2]", NEW)
    one.follow(page.get_by_role("button", name="Set the password").click)


def test_a_second_link_in_the_same_tab_counts_and_the_password_signs_in(demo: Demo, browser: Browser):
    *_, first, second = [user for user in demo.facts["users"] if user["role"] == "engineer"]
    with visit(browser, demo.facts["base_url"]) as one:
        former, key = (link_for(demo, one, user["email"]) for user in (first, second))
        page = one.page
        field, row = page.locator("#id_link"), page.locator("#link-row")

        follow_link(page, one, former)
        expect(field).to_have_value(former)
        expect(row).to_be_hidden()
        follow_link(page, one, key)
        expect(field).to_have_value(key)

        follow_link(page, one, "%E0%A4%A")
        expect(field).to_have_value("")
        expect(row).to_be_visible()

        follow_link(page, one, "no-link-of-ours")
        choose(page, one)
        expect(page.get_by_role("heading", name="The link is not valid any more")).to_be_visible()
        follow_link(page, one, key)
        choose(page, one)
        expect(page.get_by_text("The password is set.")).to_be_visible()

        page.fill("[name=username]", second["email"])
        page.fill("[name=password]", NEW)
        one.follow(page.locator("#login-form [type=submit]").first.click)
        expect(page.get_by_text(second["email"]).first).to_be_visible()
