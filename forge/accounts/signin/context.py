"""Template context of the account's pages: the theme, as the console has it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

PREFIX = "/account/"


def site(request: HttpRequest) -> dict[str, Any]:
    """What the console's layout needs; nothing elsewhere, where its own views give it, nor before anybody is known."""
    is_ours = request.path.startswith(PREFIX) and hasattr(request, "user")
    return admin.site.each_context(request) if is_ours else {}
