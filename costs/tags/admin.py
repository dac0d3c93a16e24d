"""The tags of costs in the console: chosen by a form, dropped by a button."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from costs import actions, permissions
from costs.tags import services
from costs.tags.models import TagKey
from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.models import Membership
from forge.adminkit.buttons import Button


class TagKeyForm(ServiceForm):
    key = forms.CharField(
        max_length=127,
        widget=UnfoldAdminTextInputWidget,
        help_text=f"As machines have it, such as cost-center; at most {services.MOST_KEYS} of an organization.",
    )

    class Meta:
        model = TagKey
        fields = ("key",)


def _drop(request: HttpRequest, tag_key: TagKey) -> str:
    services.drop_tag_key(actor=request.actor, tag_key=tag_key, now=timezone.now())  # type: ignore[attr-defined]
    return "Its sums are being taken away."


def _explain_drop(request: HttpRequest, tag_key: TagKey) -> list[str]:
    return ["Costs are summed by it no more.", "The records keep their tags: chosen again, it is summed up anew."]


@admin.register(TagKey)
class TagKeyAdmin(OwnOrganizationAdmin):
    audit_add = actions.TAG_KEY_CHOOSE
    form = TagKeyForm
    view_roles = Membership.OVERSIGHT
    add_roles = permissions.PRICING
    list_display = ("key", "state", "since", "created_at")
    list_filter = ("state",)
    ordering = ("id",)
    buttons = (
        Button(
            "drop",
            "Sum by it no more",
            actions.TAG_KEY_DROP,
            icon="label_off",
            variant=ActionVariant.DANGER,
            run=_drop,
            legal=lambda user, tag_key: permissions.may_choose_tags(user) and tag_key.state != TagKey.State.DROPPING,
            explain=_explain_drop,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("key",) if obj is None else ("key", "state", "since", "fill_before", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("key", "state", "since", "fill_before", "created_at")

    def save_by_service(self, request: HttpRequest, obj: TagKey, form: Any, *, change: bool) -> TagKey:
        return services.choose_tag_key(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=request.user.organization,
            key=form.cleaned_data["key"],
            now=timezone.now(),
        )
