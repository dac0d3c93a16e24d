from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string

from forge import checks


class ConsoleConfig(AppConfig):
    name = "forge.console"
    label = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        checks.register()
        if settings.FORGE_OTLP_ENDPOINT:  # its modules are loaded only then
            import_string("forge.tracing.start")()
