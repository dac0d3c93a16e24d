"""What allauth asks of Forge: who may sign in, where to go on to, how secrets of factors are kept."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from forge.accounts.backends import may_sign_in
from forge.accounts.models import User
from forge.accounts.signin import factors
from forge.accounts.signin.refusing import AccountEnded, refusal_page


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by admins; a sign-in and its audit entry commit together or not at all."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        return None if may_sign_in(user) and not user.is_service else refusal_page(request, AccountEnded())

    def login(self, request: HttpRequest, user: User) -> None:
        """As allauth's; refused where the account has ended since the first step."""
        if not may_sign_in(user):
            raise ImmediateHttpResponse(refusal_page(request, AccountEnded()))
        with transaction.atomic():
            super().login(request, user)

    def logout(self, request: HttpRequest) -> None:
        with transaction.atomic():
            super().logout(request)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("admin:index" if request.user.is_staff else "account_overview")

    def get_logout_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account_login")

    def get_login_stages(self) -> list[str]:
        return ["forge.accounts.signin.stages.SecondFactorStage"]

    def reauthenticate(self, user: User, password: str) -> bool:
        return authenticate(context.request, username=user.email, password=password) == user

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what changes an account tells its owner through the outbox, in the transaction of the change."""


class FactorAdapter(DefaultMFAAdapter):
    """Secrets of factors are closed by SECRET_KEY; the last factor stays where one is required."""

    def encrypt(self, text: str) -> str:
        return factors.close(text)

    def decrypt(self, encrypted_text: str) -> str:
        return factors.open_(encrypted_text)

    def get_totp_issuer(self) -> str:
        return "RobCo Forge"

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        if not settings.FORGE_MFA_REQUIRED or authenticator.type not in factors.FACTORS:
            return True
        others = Authenticator.objects.filter(user_id=authenticator.user_id, type__in=factors.FACTORS)
        return others.exclude(pk=authenticator.pk).exists()
