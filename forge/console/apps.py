from django.apps import AppConfig

from forge import checks


class ConsoleConfig(AppConfig):
    name = "forge.console"
    label = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        checks.register()
