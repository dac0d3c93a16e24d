"""Organizations and teams in the console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminTextInputWidget,
)

from forge.accounts import actions, services
from forge.accounts.admin.base import OwnOrganizationAdmin, ServiceForm
from forge.accounts.models import Organization, Team
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button


class AdminForm(forms.Form):
    """Who is to be the first admin."""

    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    full_name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


def _add_admin(request: HttpRequest, organization: Organization, *, email: str, full_name: str) -> str:
    services.create_first_admin(
        actor=request.actor,  # type: ignore[attr-defined]
        organization=organization,
        email=email,
        full_name=full_name,
        now=timezone.now(),
    )
    return f"{email} is invited as admin of {organization}."


def _explain_admin(request: HttpRequest, organization: Organization) -> list[str]:
    awaited = ", ".join(services.awaited_admins(organization).values_list("email", flat=True))
    told = [f"The person is invited by mail and adds the others of {organization}."]
    if awaited:
        told.append(f"Invited and not come in yet: {awaited}. The same address is invited again.")
        told.append("Another address takes that place: link and role end, and the account is switched off.")
    return told


@admin.register(Organization)
class OrganizationAdmin(ForgeModelAdmin):
    """Operators of the installation add organizations; everybody else sees the own one."""

    audit_add = actions.ORGANIZATION_CREATE
    form = ServiceForm
    view_roles = ("admin", "auditor", "finance", "team_lead")
    list_display = ("name", "slug", "currency", "timezone", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("id__exact", "name", "slug")
    ordering = ("name",)
    buttons = (
        Button(
            "add-admin",
            "Add the first admin",
            actions.MEMBER_CREATE,
            icon="person_add",
            variant=ActionVariant.PRIMARY,
            run=_add_admin,
            form=AdminForm,
            legal=lambda user, row: (
                user.is_operator and row.is_active and not services.has_admin(row, now=timezone.now())
            ),
            explain=_explain_admin,
        ),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_operator

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = ("name", "slug", "timezone", "currency")
        return fields if obj is None else (*fields, "is_active", "created_at", "updated_at")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Organization:
        return services.create_organization(actor=request.actor, **form.cleaned_data)


@admin.register(Team)
class TeamAdmin(OwnOrganizationAdmin):
    audit_add = actions.TEAM_CREATE
    view_roles = ("team_lead", "finance", "auditor")
    add_roles = ("admin",)
    list_display = ("name", "slug", "organization", "created_at")
    list_filter = ("organization",)
    list_select_related = ("organization",)
    search_fields = ("id__exact", "name", "slug")
    ordering = ("name", "id")
    fields = ("name", "slug")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Team:
        organization = services.organization_of(request.user)
        return services.create_team(actor=request.actor, organization=organization, **form.cleaned_data)
