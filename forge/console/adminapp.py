"""Makes forge.console.sites.ForgeAdminSite the admin site; a module of its own, as apps.py may hold one app only."""

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig


class ForgeAdminConfig(AdminConfig):
    default_site = "forge.console.sites.ForgeAdminSite"

    def ready(self) -> None:
        """Django's, without the pages that allauth brings: they show secrets, and change rows without an entry."""
        super().ready()
        for model in [model for model in admin.site._registry if model._meta.app_label in ALLAUTH]:
            admin.site.unregister(model)


ALLAUTH = ("account", "mfa", "socialaccount")
