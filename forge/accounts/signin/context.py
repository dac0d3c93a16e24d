"""Template context of the account's pages: the theme, as the console has it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

PREFIX = "/account/"


def site(request: HttpRequest) -> dict[str, Any]:
    """What the console's layout needs; nothing elsewhere, where its own views give it."""
    return admin.site.each_context(request) if request.path.startswith(PREFIX) else {}
