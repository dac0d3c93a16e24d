from django.apps import AppConfig


class CostsConfig(AppConfig):
    name = "costs"
    label = "costs"
    verbose_name = "Costs"
