"""The Content-Security-Policy of each answer: what its page may load, run, send forms to and be framed by.

The console and the account's pages are Unfold's: Alpine makes functions of the expressions in their attributes
('unsafe-eval'; its build without would need Unfold's templates written anew), and both set styles inline. No script is
inline anywhere, and none comes from another host.
"""

from __future__ import annotations

import re
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

PAGE: dict[str, Any] = {
    "default-src": [SELF],
    "script-src": [SELF],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
"""Of a page that nothing else is said of: refusals, the API's documentation."""
THEMED = PAGE | {"script-src": [SELF, UNSAFE_EVAL]}
DATA: dict[str, Any] = {
    "default-src": [NONE],
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
}
"""Of the API's answers, which are no pages."""

_DOCS = re.compile(r"/api/v1/docs/?")
_SIGN_IN = re.compile(r"/(admin|account)/login/")
"""The pages with a button for each listed identity provider; an unlisted one is named on its own page alone."""


def policy_of(path: str) -> dict[str, Any]:
    """The directives of an answer at a path."""
    if path.startswith("/api/"):
        return PAGE if _DOCS.fullmatch(path) else DATA
    if not path.startswith(("/admin/", "/account/")):
        return PAGE
    return THEMED | {"form-action": [SELF, *_led_to(path)]}


def _led_to(path: str) -> list[str]:
    """Where a page's forms lead beside this host; browsers hold a form's redirect against form-action too."""
    is_shared = _SIGN_IN.fullmatch(path)
    known = settings.FORGE_IDENTITY_PROVIDERS
    named = [one for one in known if (one.is_listed if is_shared else one.login_path == path)]
    return sorted({origin for one in named for origin in one.origins})


class PolicyMiddleware(CSPMiddleware):
    """Sends the policy of the path; outside of what serves static files, so that these have one too."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        return PolicyParts() if report_only else PolicyParts(config=policy_of(request.path_info))
