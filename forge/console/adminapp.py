"""Makes forge.console.sites.ForgeAdminSite the admin site; a module of its own, as apps.py may hold one app only."""

from django.contrib.admin.apps import AdminConfig


class ForgeAdminConfig(AdminConfig):
    default_site = "forge.console.sites.ForgeAdminSite"
