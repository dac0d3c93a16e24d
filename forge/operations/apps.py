from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "forge.operations"
    label = "operations"
    verbose_name = "Operations"
