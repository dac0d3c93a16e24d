"""Findings and attestations in the console: lists of their own, and what stands on the pages they concern."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from workspaces import actions
from workspaces.models import Attestation, Finding, ProviderAccount, WorkSpace
from workspaces.posture import attesting

SHOWN = 20


def shown_findings(of: WorkSpace | ProviderAccount) -> str:
    """The findings that stand on a machine and its directory or stack, or anywhere in an account, the newest first."""
    if isinstance(of, WorkSpace):
        found = Finding.objects.of_machines(WorkSpace.objects.filter(pk=of.pk))
    else:
        found = of.findings.all()
    lines = (
        (row.get_severity_display(), row.get_check_name_display(), row.subject, f"{row.found_at:%Y-%m-%d %H:%M}")
        for row in found.open().order_by("-found_at", "-id")[:SHOWN]
    )
    return format_html_join("", "<div>{}: {} ({}, since {} UTC)</div>", lines) or "None."


def shown_attestations(account: ProviderAccount, directory_id: str) -> str:
    """Of each group policy of a directory by whom it is attested, since when and until when; AWS shows none of it."""
    known = attesting.newest(account, [directory_id])
    now = timezone.now()
    lines = []
    for control, title in Attestation.Control.choices:
        row = known.get((directory_id, control))
        said = "not attested"
        if row is not None:
            until = f"{'until' if row.valid_until > now else 'expired on'} {row.valid_until:%Y-%m-%d}"
            said = f"attested on {row.attested_at:%Y-%m-%d} by {row.attested_by}, {until}: {row.note}"
        lines.append((title, said))
    return format_html_join("", "<div>{}: {}</div>", lines)


class AttestForm(forms.Form):
    """Which policies of the account's directory were looked at, how, and for how long that counts."""

    controls = forms.MultipleChoiceField(
        choices=Attestation.Control.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, label="Policies"
    )
    days = forms.IntegerField(
        min_value=1, max_value=attesting.LONGEST.days, initial=90, widget=UnfoldAdminIntegerFieldWidget
    )
    note = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget, label="What was looked at")


def _attest(request: HttpRequest, account: ProviderAccount, *, controls: list[str], days: int, note: str) -> str:
    now = timezone.now()
    made = attesting.attest(
        actor=request.actor,  # type: ignore[attr-defined]
        account=account,
        controls=controls,
        valid_until=now + timedelta(days=days),
        note=note,
        now=now,
    )
    return f"{len(made)} policies of {account.directory_id} are attested until {now + timedelta(days=days):%Y-%m-%d}."


def _withdraw(request: HttpRequest, attestation: Attestation) -> str:
    attesting.withdraw(actor=request.actor, attestation_id=attestation.pk, now=timezone.now())  # type: ignore[attr-defined]
    return "It holds no longer."


ATTEST = Button(
    "attest",
    "Attest policies",
    actions.ATTESTATION_CREATE,
    icon="verified_user",
    run=_attest,
    form=AttestForm,
    legal=lambda user, row: attesting.may_attest(user, row.organization_id),
    explain=lambda _, row: [
        f"Your word, with your name, that these group policies hold in {row.directory_id}: AWS shows none of them.",
        "When it ends, or where it lacks, there is a finding.",
    ],
)


@admin.register(Finding)
class FindingAdmin(ForgeModelAdmin):
    view_roles = ("auditor", "admin")
    list_display = ("check_name", "severity", "subject", "workspace", "provider_account", "found_at", "resolved_at")
    list_filter = ("check_name", "severity", ("resolved_at", admin.EmptyFieldListFilter), "provider_account")
    list_select_related = ("workspace", "provider_account")
    search_fields = ("id__exact", "subject", "workspace__id__exact")
    ordering = ("-found_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "check_name", "severity", "subject", "workspace_id", "workspace__name", "provider_account__name",
        "detail", "found_at", "resolved_at",
    )  # fmt: skip
    show_facets = admin.ShowFacets.NEVER


@admin.register(Attestation)
class AttestationAdmin(ForgeModelAdmin):
    view_roles = ("auditor", "admin")
    list_display = ("control", "directory_id", "attested_by", "attested_at", "valid_until", "is_valid", "withdrawn_at")
    list_filter = ("control", ("withdrawn_at", admin.EmptyFieldListFilter), "provider_account")
    list_select_related = ("attested_by",)
    search_fields = ("id__exact", "directory_id")
    ordering = ("-attested_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "control", "directory_id", "provider_account__name", "attested_by__email", "attested_at", "valid_until",
        "note", "withdrawn_at",
    )  # fmt: skip
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "provider_account", "directory_id", "control", "attested_by", "attested_at", "valid_until", "note",
        "withdrawn_at",
    )  # fmt: skip
    buttons = (
        Button(
            "withdraw",
            "Withdraw",
            actions.ATTESTATION_WITHDRAW,
            icon="undo",
            variant=ActionVariant.DANGER,
            run=_withdraw,
            legal=lambda user, row: row.withdrawn_at is None and attesting.may_attest(user, row.organization_id),
            explain=lambda _, row: [
                f"Nobody vouches for it any more that in {row.directory_id} {row.control} is right."
            ],
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("provider_account", "attested_by")

    @display(description="valid", boolean=True)
    def is_valid(self, attestation: Attestation) -> bool:
        return attestation.withdrawn_at is None and attestation.valid_until > timezone.now()
