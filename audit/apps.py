from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from audit import checks


class AuditConfig(AppConfig):
    name = "audit"
    label = "audit"
    verbose_name = "Audit log"

    def ready(self) -> None:
        autodiscover_modules("actions", "sign_ins", "retention")
        checks.register()
