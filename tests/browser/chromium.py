"""A real Chromium in front of a running demo: what goes wrong behind a page's back is noted, and told at the end.

Chromium is Debian's (`chromium`, or the path in BROWSER_CHROMIUM); nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

WIDTH, HEIGHT = 1280, 900
PATIENCE = 120_000
"""Milliseconds that a page may take on a machine that has other things to do; no figure of ours."""
expect.set_options(timeout=PATIENCE / 4)
_OWN = ("data:", "blob:", "about:")


def executable() -> str:
    found = os.environ.get("BROWSER_CHROMIUM") or shutil.which("chromium")
    assert found, "Install Debian's chromium, or set BROWSER_CHROMIUM to a Chromium."
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """One Chromium; without its sandbox, which a container's root cannot have."""
    with sync_playwright() as playwright:
        yield launch(playwright)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=executable(),
        args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
    )


@dataclass
class Visit:
    """One person's page in a context of its own; `faults` are errors of the console and requests to other hosts."""

    page: Page
    base_url: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        answer = self.page.goto(f"{self.base_url}{path}")
        assert answer is not None
        assert answer.status < 400, (path, answer.status)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def sign_in(self, user: dict[str, Any]) -> Page:
        self.open("/admin/login/?next=/admin/")
        self.page.fill("[name=username]", user["email"])
        self.page.fill("[name=password]", user["password"])
        return self.follow(lambda: self.page.click("[type=submit]"))

    def press(self, button: str) -> Page:
        """Follow a button of the page's bar."""
        return self.follow(lambda: self.page.get_by_role("link", name=button, exact=True).click())

    def press_to_send(self, button: str) -> Page:
        """Send the form of the page by the button that is named so."""
        return self.follow(self.page.get_by_role("button", name=button, exact=True).click)

    def send(self) -> Page:
        """Send the form of the page: the one in its middle, not the sidebar's search."""
        return self.follow(self.page.locator("#main [name=_save], #main form[method=post] [type=submit]").last.click)

    def follow(self, act: Callable[[], None]) -> Page:
        """Do what leads to another page, and wait until that one rests: the old one may rest still when it is asked."""
        with self.page.expect_navigation():
            act()
        self.page.wait_for_load_state("networkidle")
        return self.page


@contextmanager
def visit(browser: Browser, base_url: str, *, scheme: str = "light", width: int = WIDTH) -> Iterator[Visit]:
    """A fresh visit; AssertionError at its end if anything went wrong behind a page's back."""
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    one = Visit(context.new_page(), base_url)
    one.page.on(
        "console", lambda message: message.type == "error" and one.faults.append(f"{one.page.url}: {message.text}")
    )
    one.page.on("pageerror", lambda error: one.faults.append(f"{one.page.url}: {error}"))
    one.page.on("request", lambda request: _judge(one, request.url))
    try:
        yield one
    finally:
        context.close()
    assert one.faults == [], "\n".join(one.faults)


def _judge(one: Visit, url: str) -> None:
    if not url.startswith((f"{one.base_url}/", *_OWN)):
        one.faults.append(f"{one.page.url} asked for {url}")
