from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "forge.outbox"
    label = "outbox"
    verbose_name = "Mail"
