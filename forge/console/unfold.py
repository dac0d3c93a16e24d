"""The console's theme and sidebar, as the UNFOLD setting; imported by forge.settings, so it imports nothing of ours."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static

Entry = tuple[str, str, str]

SIDEBAR: list[tuple[str, list[Entry]]] = [
    ("", [("index", "Overview", "dashboard")]),
    (
        "Machines",
        [
            ("workspaces.workspace", "WorkSpaces", "computer"),
            ("workspaces.quarantine", "Quarantines", "person_off"),
            ("operations.operation", "Operations", "pending_actions"),
            ("blueprints.blueprint", "Blueprints", "deployed_code"),
            ("workspaces.provideraccount", "Provider accounts", "cloud"),
            ("workspaces.applicationstack", "Application stacks", "apps"),
            ("workspaces.unmanagedmachine", "Unmanaged machines", "help_center"),
            ("workspaces.lifecyclepolicy", "Lifecycle policies", "timer"),
            ("workspaces.decision", "Decisions", "rule"),
        ],
    ),
    (
        "Money",
        [
            ("budgets.budget", "Budgets", "savings"),
            ("budgets.budgetraise", "Raises", "trending_up"),
            ("budgets.reservation", "Reservations", "bookmark"),
            ("costs.dailycost", "Costs by day", "calendar_month"),
            ("costs.costrecord", "Cost records", "receipt_long"),
            ("costs.price", "Price book", "sell"),
            ("costs.bill", "Bills", "request_quote"),
            ("costs.tagkey", "Cost tags", "label"),
            ("costs.bookfault", "Faults of the books", "report"),
            ("costs.issuedreport", "Issued reports", "summarize"),
            ("costs.reportsubscription", "Report subscriptions", "outgoing_mail"),
            ("costs.advice", "Advice", "lightbulb"),
        ],
    ),
    (
        "Audit",
        [
            ("audit.auditlog", "Audit log", "verified_user"),
            ("audit.auditexport", "Exports", "download"),
            ("audit.auditcheckpoint", "Checkpoints", "approval"),
            ("audit.legalhold", "Legal holds", "lock"),
            ("audit.auditverification", "Verifications", "fact_check"),
        ],
    ),
    (
        "People",
        [
            ("accounts.user", "People", "person"),
            ("accounts.team", "Teams", "groups"),
            ("accounts.project", "Projects", "folder"),
            ("accounts.membership", "Roles", "badge"),
            ("accounts.apitoken", "API tokens", "key"),
            ("accounts.usersession", "Sessions", "devices"),
            ("accounts.organization", "Organizations", "apartment"),
        ],
    ),
    (
        "Installation",
        [
            ("system", "System", "monitor_heart"),
            ("db.jobrun", "Job runs", "history"),
            ("db.jobswitch", "Job switches", "toggle_on"),
            ("outbox.mail", "Mail", "mail"),
            ("outbox.webhook", "Webhooks", "webhook"),
            ("outbox.webhookdelivery", "Webhook deliveries", "outgoing_mail"),
        ],
    ),
]
"""Groups of (model label or view name of the site, title, Material symbol); who sees what is the admin classes' say."""

_GREEN = {
    "50": "oklch(97.9% .021 166.113)",
    "100": "oklch(95% .052 163.051)",
    "200": "oklch(90.5% .093 164.15)",
    "300": "oklch(84.5% .143 164.978)",
    "400": "oklch(76.5% .177 163.223)",
    "500": "oklch(59.6% .145 163.225)",
    "600": "oklch(50.8% .118 165.612)",
    "700": "oklch(43.2% .095 166.913)",
    "800": "oklch(37.8% .077 168.94)",
    "900": "oklch(33% .065 169.5)",
    "950": "oklch(26.2% .051 172.552)",
}
"""One step darker than Tailwind's emerald, so that white on 600 has a contrast of more than 4.5."""

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "RobCo Forge",
    "SITE_HEADER": "RobCo Forge",
    "SITE_SUBHEADER": "Cloud workstations",
    "SITE_SYMBOL": "construction",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("console/favicon.svg")},
    ],
    "STYLES": [lambda _: static("console/console.css")],
    "SCRIPTS": [lambda _: static("console/console.js")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "COLORS": {"primary": _GREEN},
    "ACCOUNT": {
        "navigation": [{"title": "Your account", "link": "/account/"}],
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
    },
}
