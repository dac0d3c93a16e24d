from django.apps import AppConfig


class BlueprintsConfig(AppConfig):
    name = "blueprints"
    label = "blueprints"
    verbose_name = "Blueprints"
