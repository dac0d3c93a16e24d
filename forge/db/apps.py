from django.apps import AppConfig


class DbConfig(AppConfig):
    name = "forge.db"
    label = "db"
    verbose_name = "Database"
