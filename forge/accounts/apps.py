from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class AccountsConfig(AppConfig):
    name = "forge.accounts"
    label = "accounts"
    verbose_name = "People and organizations"

    def ready(self) -> None:
        autodiscover_modules("signin.sessions")  # it listens to Django's sign-in signals
