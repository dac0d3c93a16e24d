"""Provider accounts and application stacks in the console: where machines may stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.services import organization_of
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from workspaces import actions, providers
from workspaces.aws import DEFAULT_KEY
from workspaces.fleet.admin import ADOPT_FLEET
from workspaces.models import ApplicationStack, ProviderAccount, WorkSpace
from workspaces.models.providers import every_service
from workspaces.posture.admin import ATTEST, shown_attestations, shown_findings


def _switch(enabled: bool) -> Callable[..., str]:
    def run(request: HttpRequest, account: ProviderAccount) -> str:
        providers.set_enabled(actor=request.actor, provider_account=account, enabled=enabled)  # type: ignore[attr-defined]
        return f"{account} is switched {'on' if enabled else 'off'}."

    return run


class VolumeKeyForm(forms.Form):
    """Alias or ARN of a key."""

    volume_key = forms.CharField(
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        label=f"Alias or ARN of a symmetric KMS key; AWS's own is {DEFAULT_KEY}",
    )


def _set_key(request: HttpRequest, account: ProviderAccount, *, volume_key: str) -> str:
    changed = providers.set_volume_key(actor=request.actor, provider_account=account, volume_key=volume_key)  # type: ignore[attr-defined]
    return f"New machines are encrypted under {changed.volume_key}."


def _services_field() -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        choices=WorkSpace.ServiceType.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, initial=every_service
    )


class ServicesForm(forms.Form):
    """What is launched in the account."""

    services = _services_field()


class ProviderAccountForm(ServiceForm):
    """A new account; its services are ticked."""

    services = _services_field()


def _set_services(request: HttpRequest, account: ProviderAccount, *, services: list[str]) -> str:
    changed = providers.set_services(
        actor=request.actor,  # type: ignore[attr-defined]
        provider_account=account,
        services=services,
        now=timezone.now(),
    )
    return f"{changed} offers {_named(changed)}."


def _named(account: ProviderAccount) -> str:
    return ", ".join(WorkSpace.ServiceType(one).label for one in account.services)


@admin.register(ProviderAccount)
class ProviderAccountAdmin(OwnOrganizationAdmin):
    audit_add = actions.PROVIDER_ACCOUNT_CREATE
    form = ProviderAccountForm
    view_roles = ("auditor",)
    add_roles = ("admin",)
    list_display = ("name", "kind", "region", "account", "directory_id", "offered", "enabled", "organization")
    list_filter = ("kind", "enabled", "organization")
    list_select_related = ("organization",)
    search_fields = ("id__exact", "name", "account", "directory_id")
    ordering = ("name", "id")
    fields = ("name", "kind", "account", "region", "directory_id", "subnets", "role_arn", "volume_key", "services")
    buttons = (
        Button(
            "switch-off",
            "Switch off",
            actions.PROVIDER_ACCOUNT_UPDATE,
            icon="cloud_off",
            variant=ActionVariant.DANGER,
            run=_switch(False),
            legal=lambda user, row: row.enabled and providers.may_manage(user, row.organization_id),
            explain=lambda _, row: [f"Nobody launches in {row.region} any more; its machines go on."],
        ),
        Button(
            "switch-on",
            "Switch on",
            actions.PROVIDER_ACCOUNT_UPDATE,
            icon="cloud",
            run=_switch(True),
            legal=lambda user, row: not row.enabled and providers.may_manage(user, row.organization_id),
        ),
        Button(
            "volume-key",
            "Volume key",
            actions.PROVIDER_ACCOUNT_UPDATE,
            icon="key",
            run=_set_key,
            form=VolumeKeyForm,
            initial=lambda row: {"volume_key": row.volume_key or DEFAULT_KEY},
            legal=lambda user, row: providers.may_manage(user, row.organization_id),
            explain=lambda *_: [
                "Volumes of new machines are encrypted under it; those that stand keep theirs, and are found to.",
                "WorkSpaces and whoever signs in to it must be allowed to use it, or launches fail.",
            ],
        ),
        Button(
            "services",
            "Services",
            actions.PROVIDER_ACCOUNT_UPDATE,
            icon="toggle_on",
            run=_set_services,
            form=ServicesForm,
            initial=lambda row: {"services": row.services},
            legal=lambda user, row: providers.may_manage(user, row.organization_id),
            explain=lambda *_: [
                "AWS is asked for no service that is not ticked, and nobody launches it here.",
                "Machines of it that stand go on, and are looked after.",
            ],
        ),
        ATTEST,
        ADOPT_FLEET,
    )

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[Any]:
        return self.fields if obj is None else (*self.fields[:-1], "offered", "findings", "attestations")

    @display(description="services")
    def offered(self, account: ProviderAccount) -> str:
        return _named(account)

    @display(description="open findings")
    def findings(self, account: ProviderAccount) -> str:
        return shown_findings(account)

    @display(description="group policies")
    def attestations(self, account: ProviderAccount) -> str:
        return shown_attestations(account, account.directory_id)

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> ProviderAccount:
        return providers.register_provider_account(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=organization_of(request.user),
            **form.cleaned_data,
        )


@admin.register(ApplicationStack)
class ApplicationStackAdmin(ForgeModelAdmin):
    view_roles = ("team_lead", "finance", "auditor", "admin")
    list_display = (
        "name", "provider_account", "bundle_type", "operating_system", "fleet_type", "fleet_state", "is_offered",
        "closed_at", "updated_at",
    )  # fmt: skip
    list_filter = ("is_offered", ("closed_at", admin.EmptyFieldListFilter), "bundle_type", "operating_system")
    list_select_related = ("provider_account",)
    search_fields = ("id__exact", "name", "fleet_name")
    ordering = ("name", "id")
