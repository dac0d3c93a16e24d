"""The operations API alone, so that these tests need no other room's addresses."""

from django.urls import include, path

handler404 = "forge.api.handlers.not_found"
handler500 = "forge.api.handlers.server_error"

urlpatterns = [path("api/v1/", include("forge.operations.api.urls"))]
