"""Projects in the console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from forge.accounts import actions, services
from forge.accounts.admin.base import OwnOrganizationAdmin, is_admin_over
from forge.accounts.models import Project
from forge.adminkit.buttons import Button
from forge.api.errors import NothingToChange


class ProjectForm(forms.Form):
    """What of a project changes; the boxes hold what it has."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    cost_center = forms.CharField(max_length=100, required=False, widget=UnfoldAdminTextInputWidget)
    owner = forms.EmailField(
        max_length=254, required=False, label="Email of the owner; empty = none", widget=UnfoldAdminEmailInputWidget
    )


def _change_project(
    request: HttpRequest, project: Project, *, name: str, cost_center: str, owner: str, if_match: frozenset[str] | None
) -> str:
    person = services.person_of(project.organization_id, owner) if owner else None
    asked = {"name": name, "cost_center": cost_center, "owner": person}
    changed = {field: value for field, value in asked.items() if value != getattr(project, field)}
    if not changed:
        raise NothingToChange("Every field is as it is already.")
    services.change_project(
        actor=request.actor,  # type: ignore[attr-defined]
        project_id=project.pk,
        wanted=changed,
        now=timezone.now(),
        if_match=if_match,
    )
    return "The project is changed."


@admin.register(Project)
class ProjectAdmin(OwnOrganizationAdmin):
    audit_add = actions.PROJECT_CREATE
    view_roles = ("team_lead", "finance", "auditor")
    add_roles = ("admin",)
    list_display = ("name", "slug", "cost_center", "owner", "organization", "created_at")
    list_filter = ("organization",)
    list_select_related = ("owner", "organization")
    search_fields = ("id__exact", "name", "slug", "cost_center")
    ordering = ("name", "id")
    fields = ("name", "slug", "cost_center", "owner", "teams")
    buttons = (
        Button(
            "change",
            "Change",
            actions.PROJECT_UPDATE,
            icon="edit",
            run=_change_project,
            form=ProjectForm,
            is_versioned=True,
            initial=lambda row: {
                "name": row.name,
                "cost_center": row.cost_center,
                "owner": row.owner.email if row.owner else "",
            },
            legal=lambda user, row: not user.is_operator and is_admin_over(user, row.organization_id),
            explain=lambda _, row: [
                f"Its cost center is {row.cost_center or 'none'}; another one counts for hours that begin from now on.",
                "What was booked, and the hour that has begun, keep the old one. Tags in AWS follow soon.",
            ],
        ),
    )

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Project:
        organization = services.organization_of(request.user)
        return services.create_project(actor=request.actor, organization=organization, **form.cleaned_data)
