"""Addresses: the console, the API of each room, its schema and docs, and the health pages."""

from django.contrib import admin
from django.urls import include, path, re_path

from forge.api.docs import DocsView, SchemaView
from forge.console.front import FrontView, SlashView
from forge.console.health import healthz, readyz
from forge.console.metrics import metrics

API_ROOMS = (
    "forge.accounts",
    "forge.operations",
    "forge.outbox",
    "audit",
    "blueprints",
    "workspaces",
    "costs",
    "budgets",
)

handler400 = "forge.api.handlers.bad_request"
handler403 = "forge.api.handlers.permission_denied"
handler404 = "forge.api.handlers.not_found"
handler500 = "forge.api.handlers.server_error"

urlpatterns = [
    path("", FrontView.as_view(), name="front"),
    path("admin", SlashView.as_view(pattern_name="admin:index")),
    path("account", SlashView.as_view(pattern_name="account_overview")),
    path("admin/", admin.site.urls),
    path("account/", include("forge.accounts.signin.urls")),
    *(path("api/v1/", include(f"{room}.api.urls")) for room in API_ROOMS),
    re_path(r"^api/v1/schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^api/v1/docs/?$", DocsView.as_view(), name="docs"),
    re_path(r"^healthz/?$", healthz, name="healthz"),
    re_path(r"^readyz/?$", readyz, name="readyz"),
    re_path(r"^metrics/?$", metrics, name="metrics"),
]
