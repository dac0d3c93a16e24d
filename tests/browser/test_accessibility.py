"""axe-core finds no violation of WCAG 2 A and AA on the console's pages, light and dark.

axe-core is the npm package: its `axe.min.js` is looked for where BROWSER_AXE says, else in .forge/axe, where
`make browser` puts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import visit
from tests.browser.places import EVERY, go
from tests.e2e.demo import ROOT, Demo

AXE = Path(os.environ.get("BROWSER_AXE") or ROOT / ".forge/axe/package/axe.min.js")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_violation(demo: Demo, browser: Browser, scheme: str):
    found: dict[str, list[str]] = {}
    with visit(browser, demo.facts["base_url"], scheme=scheme) as one:
        found["sign-in"] = _violations(one.open("/admin/login/"))
        one.sign_in(demo.user(role="admin"))
        for name in EVERY:
            go(one, name)
            found[name] = _violations(one.page)
    assert len(found) >= 12
    assert {name: faults for name, faults in found.items() if faults} == {}


def _violations(page: Any) -> list[str]:
    page.evaluate(AXE.read_text())  # as a script tag it would be inline, which the pages' policy refuses
    result = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [
        f"{fault['id']} ({fault['impact']}): {fault['nodes'][0]['html'][:200]}, {len(fault['nodes'])} times"
        for fault in result["violations"]
    ]
