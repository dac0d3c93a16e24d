"""Blueprints in the console: drafted by a form, published and retired by buttons."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from blueprints import actions, services
from blueprints.models import Blueprint, BlueprintBundle
from blueprints.permissions import PUBLISHING, may
from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.services import organization_of
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin
from forge.adminkit.buttons import Button

Status = Blueprint.Status
VIEW_ROLES = ("team_lead", "finance", "auditor", "admin")


class DraftForm(ServiceForm):
    """A new version; its bundles are written one to a line."""

    bundles = forms.CharField(
        widget=UnfoldAdminTextareaWidget,
        help_text="One to a line: region, bundle type, bundle id and image id, e.g. us-east-1 STANDARD wsb-… wsi-…",
    )

    def clean_bundles(self) -> list[services.BundleOffer]:
        offers = []
        for line in filter(None, map(str.strip, self.cleaned_data["bundles"].splitlines())):
            words = line.split()
            if len(words) not in (3, 4) or not words[2].startswith("wsb-") or any(len(word) > 64 for word in words):
                raise forms.ValidationError(f"“{line[:80]}” is not: region, bundle type, wsb-…, wsi-….")
            offers.append(services.BundleOffer(*words))
        return offers


class BundleInline(ForgeInline):
    model = BlueprintBundle
    view_roles = VIEW_ROLES
    fields = ("region", "bundle_type", "bundle_id", "image_id")
    ordering = ("region", "bundle_type")
    max_num = 200
    show_change_link = False


def _may_publish(user: Any, blueprint: Blueprint) -> bool:
    return may(user, blueprint.organization_id, blueprint.team_id, PUBLISHING)


def _publish(request: HttpRequest, blueprint: Blueprint) -> str:
    services.publish(actor=request.actor, blueprint=blueprint, now=timezone.now())  # type: ignore[attr-defined]
    return f"{blueprint} is published."


def _retire(request: HttpRequest, blueprint: Blueprint) -> str:
    services.retire(actor=request.actor, blueprint=blueprint, now=timezone.now())  # type: ignore[attr-defined]
    return f"{blueprint} is retired."


def _explain_retire(request: HttpRequest, blueprint: Blueprint) -> list[str]:
    live = blueprint.workspaces.live()[:101].count()
    machines = "More than 100 machines" if live > 100 else f"{live} machines"
    return [f"Nobody launches {blueprint} any more, and this cannot be undone. {machines} made from it go on."]


@admin.register(Blueprint)
class BlueprintAdmin(OwnOrganizationAdmin):
    audit_add = actions.BLUEPRINT_CREATE
    view_roles = VIEW_ROLES
    add_roles = ("team_lead", "admin")
    list_display = ("name", "version", "team", "shown_status", "operating_system", "origin", "published_at")
    list_filter = ("status", "operating_system", "origin", "team")
    list_select_related = ("team",)
    search_fields = ("id__exact", "name", "description")
    ordering = ("name", "-version", "id")
    inlines = (BundleInline,)
    buttons = (
        Button(
            "publish",
            "Publish",
            actions.BLUEPRINT_PUBLISH,
            icon="publish",
            variant=ActionVariant.PRIMARY,
            run=_publish,
            legal=lambda user, row: row.status == Status.DRAFT and _may_publish(user, row),
            explain=lambda _, row: [
                f"{row} becomes launchable for {row.team or 'the whole organization'}; its content never changes again."
            ],
        ),
        Button(
            "retire",
            "Retire",
            actions.BLUEPRINT_RETIRE,
            icon="archive",
            variant=ActionVariant.DANGER,
            run=_retire,
            legal=lambda user, row: row.status == Status.PUBLISHED and _may_publish(user, row),
            explain=_explain_retire,
            typed=str,
        ),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **kwargs | ({} if obj else {"form": DraftForm}))

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        drafted = ("team", "name", "description", "operating_system", "software_manifest", "configuration")
        if obj is None:
            return (*drafted, "bundles")
        return (
            "status",
            "version",
            "parent_version",
            *drafted,
            "origin",
            "content_hash",
            "created_by",
            "created_at",
            "published_at",
            "retired_at",
        )

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Blueprint:
        return services.draft(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=organization_of(request.user),
            **form.cleaned_data,
        )

    @display(
        description="status",
        ordering="status",
        label={Status.DRAFT: "info", Status.PUBLISHED: "success", Status.RETIRED: "warning"},
    )
    def shown_status(self, blueprint: Blueprint) -> tuple[str, str]:
        return blueprint.status, blueprint.get_status_display()


@admin.register(BlueprintBundle)
class BlueprintBundleAdmin(ForgeModelAdmin):
    """Every AWS bundle on offer, to find what an image is used for."""

    view_roles = VIEW_ROLES
    list_display = ("bundle_id", "image_id", "bundle_type", "region", "blueprint")
    list_filter = ("bundle_type",)
    list_select_related = ("blueprint",)
    search_fields = ("bundle_id", "image_id")
    ordering = ("-id",)
