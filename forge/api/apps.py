from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "forge.api"
    label = "api"
    verbose_name = "API"
