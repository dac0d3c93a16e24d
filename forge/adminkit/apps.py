from django.apps import AppConfig


class AdminkitConfig(AppConfig):
    name = "forge.adminkit"
    label = "adminkit"
    verbose_name = "Admin bases"
