"""Where the installation's bare addresses lead: to the console, or to one's own page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.views.generic import RedirectView


class FrontView(RedirectView):
    """From `/` to the console's overview for whom it is open, else to the account page, which asks to sign in."""

    http_method_names = ["get", "head", "options"]

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        return reverse("admin:index" if admin.site.has_permission(self.request) else "account_overview")


class SlashView(RedirectView):
    """From an address that people write without its last slash; APPEND_SLASH would lose the body of a POST."""

    http_method_names = FrontView.http_method_names
    query_string = True
