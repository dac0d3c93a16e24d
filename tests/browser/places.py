"""The pages that are looked at: by the accessibility check, and for the pictures of the documents."""

from __future__ import annotations

from tests.browser.chromium import Visit

LISTS = {
    "machines": "/admin/workspaces/workspace/",
    "blueprints": "/admin/blueprints/blueprint/",
    "budgets": "/admin/budgets/budget/",
    "costs": "/admin/costs/dailycost/",
    "advice": "/admin/costs/advice/",
    "audit": "/admin/audit/auditlog/",
}
ROWS = {
    "machine": "/admin/workspaces/workspace/?state__exact=STOPPED",
    "blueprint": "/admin/blueprints/blueprint/?status__exact=PUBLISHED",
    "budget": "/admin/budgets/budget/?scope__exact=TEAM",
    "audit-entry": "/admin/audit/auditlog/?action_type=WORKSPACE_PROVISION",
}
"""The first row of such a list."""

OTHERS = {
    "overview": "/admin/",
    "system": "/admin/system/",
    "launch": "/admin/workspaces/workspace/add/",
    "account": "/account/",
    "second-factors": "/account/2fa/",
}
EVERY = (*OTHERS, *LISTS, *ROWS)
PICTURED = ("overview", "machines", "machine", "blueprint", "budget", "advice", "audit", "system")


def go(one: Visit, name: str) -> None:
    """Open the page of that name."""
    if name in ROWS:
        one.open(ROWS[name])
        one.follow(one.page.locator("#result_list tbody a[href*='/change/']").first.click)
    else:
        one.open((OTHERS | LISTS)[name])
