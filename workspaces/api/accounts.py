"""`/api/v1/provider-accounts/`: where machines may stand, which services are launched there, and what AWS refuses."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forge.accounts.models import Membership, User
from forge.api.errors import Refused
from forge.api.etags import conditional
from forge.api.filters import ForgeFilterSet
from forge.api.views import ReadViewSet
from workspaces import actions, providers
from workspaces.models import Finding, ProviderAccount, ProviderAccountQuerySet, WorkSpace
from workspaces.posture.checks import ACCESS_CHECKS


class UnknownProviderAccount(Refused):
    code = "unknown_provider_account"
    title = "There is no such provider account"


def account_of(user: Any, account_id: uuid.UUID) -> ProviderAccount:
    """The provider account that a body names; raises UnknownProviderAccount for one of another organization too."""
    account = ProviderAccount.objects.visible_to(user).filter(id=account_id).first()
    if account is None:
        raise UnknownProviderAccount("Your organization has no such provider account.")
    return account


class UnansweredSerializer(serializers.ModelSerializer):
    """What AWS does not let Forge ask, or does not answer: a service, or a call by its name in IAM."""

    check = serializers.ChoiceField(Finding.Check.choices, source="check_name", read_only=True)
    title = serializers.CharField(source="get_check_name_display", read_only=True)
    since = serializers.DateTimeField(source="found_at", read_only=True)

    class Meta:
        model = Finding
        fields = ["check", "title", "subject", "detail", "since"]
        read_only_fields = fields


class ProviderAccountSerializer(serializers.ModelSerializer):
    """An AWS account and region; `unanswered` is empty while AWS answers all that Forge asks there."""

    services = serializers.ListField(child=serializers.ChoiceField(WorkSpace.ServiceType.choices), read_only=True)
    unanswered = UnansweredSerializer(many=True, read_only=True)
    findings = serializers.SerializerMethodField(help_text="Where the open findings of the account are.")

    class Meta:
        model = ProviderAccount
        fields = [
            "id", "name", "kind", "account", "region", "directory_id", "subnets", "role_arn", "volume_key", "services",
            "enabled", "unanswered", "findings", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_findings(self, account: ProviderAccount) -> str:
        address = f"/api/v1/findings/?provider_account={account.id}&open=true"
        return self.context["request"].build_absolute_uri(address)


class ServicesSerializer(serializers.Serializer):
    """All services that are to be launched in the account."""

    example = {"services": ["WORKSPACES_PERSONAL"]}

    services = serializers.ListField(
        child=serializers.ChoiceField(WorkSpace.ServiceType.choices), min_length=1, max_length=2
    )


class ProviderAccountFilterSet(ForgeFilterSet):
    class Meta:
        model = ProviderAccount
        fields = {"region": ["exact", "in"], "kind": ["exact"], "enabled": ["exact"]}


class ProviderAccountViewSet(ReadViewSet):
    """The provider accounts of the organization, for admins and auditors."""

    queryset = ProviderAccount.objects.all()
    serializer_class = ProviderAccountSerializer
    filterset_class = ProviderAccountFilterSet
    ordering_fields = ("created_at", "name")
    ordering = "name"
    audit_resource = "ProviderAccount"
    audit_action = {"partial_update": actions.PROVIDER_ACCOUNT_UPDATE}
    has_etag = True

    def get_queryset(self) -> ProviderAccountQuerySet:
        accounts = super().get_queryset()
        user = self.request.user
        if isinstance(user, User) and not (
            user.is_operator or user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR)
        ):
            return accounts.none()
        silent = Finding.objects.open().filter(check_name__in=ACCESS_CHECKS).order_by("check_name", "subject")
        return accounts.prefetch_related(Prefetch("findings", silent, to_attr="unanswered"))

    @extend_schema(request=ServicesSerializer, responses={200: ProviderAccountSerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Say which services are launched there; machines of one that is switched off go on."""
        account = self.get_object()
        providers.set_services(
            actor=self.actor, provider_account=account, now=timezone.now(), **self.validated(ServicesSerializer)
        )
        changed = self.get_object()
        return self.shown(changed, self.body_of(changed))
