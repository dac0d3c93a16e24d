from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "forge.accounts"
    label = "accounts"
    verbose_name = "People and organizations"
