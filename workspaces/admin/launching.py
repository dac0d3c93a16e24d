"""Launching from the console: a form that shows the price and then makes one service call, for whomever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from blueprints.models import Blueprint, BundleType
from forge.accounts.models import Project, Team
from workspaces import actions, services
from workspaces.intents import LaunchSpec
from workspaces.models import WorkSpace

LAUNCHING = ("team_lead", "admin")


def digest_of(spec: LaunchSpec, figures: Mapping[str, Any]) -> str:
    """What somebody agrees to who sends the form again: the machine, where it will stand, and its price."""
    priced = {name: figures.get(name) for name in ("hourly", "monthly", "currency")}
    agreed = [asdict(spec), priced, figures["region_choice"]["region"]]
    return hashlib.sha256(json.dumps(agreed, sort_keys=True, default=str).encode()).hexdigest()


class LaunchForm(forms.ModelForm):
    """A new machine of WorkSpaces Personal; what is left empty is chosen as the API does.

    Sent for the first time, and whenever the machine or its price is another than was seen, it is not valid yet and
    has no error: it is shown again with `price`, the figures of a dry run.
    """

    owner_email = forms.EmailField(
        required=False, label="For", widget=UnfoldAdminEmailInputWidget, help_text="An email; empty = for yourself."
    )
    blueprint = forms.ModelChoiceField(Blueprint.objects.none(), widget=UnfoldAdminSelectWidget)
    bundle_type = forms.ChoiceField(choices=BundleType.choices, widget=UnfoldAdminSelectWidget)
    running_mode = forms.ChoiceField(choices=WorkSpace.RunningMode.choices, widget=UnfoldAdminSelectWidget)
    region = forms.CharField(
        required=False,
        max_length=32,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty = the nearest on offer.",
    )
    team = forms.ModelChoiceField(
        Team.objects.none(), required=False, widget=UnfoldAdminSelectWidget, help_text="Empty = the person's only team."
    )
    project = forms.ModelChoiceField(Project.objects.none(), required=False, widget=UnfoldAdminSelectWidget)
    max_lifetime_days = forms.IntegerField(
        min_value=1, max_value=3650, initial=90, widget=UnfoldAdminIntegerFieldWidget, label="Lifetime in days"
    )
    price_seen = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    actor: Any = None
    user: Any = None
    """Who fills it in; both are set on the subclass that the admin makes for each request."""
    price: dict[str, Any] | None = None
    is_another_price = False

    class Meta:
        model = WorkSpace
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        published = Blueprint.objects.filter(status=Blueprint.Status.PUBLISHED).order_by("name", "-version")
        self.fields["blueprint"].queryset = published.visible_to(self.user)
        self.fields["team"].queryset = Team.objects.visible_to(self.user).order_by("name")
        self.fields["project"].queryset = Project.objects.visible_to(self.user).order_by("name")

    def _post_clean(self) -> None:
        """Nothing: there is no row before the service has made it, and it judges what is asked for."""

    def is_valid(self) -> bool:
        """Whether nothing is wrong with it and its price was seen; raises what refuses the launch already now."""
        return super().is_valid() and self._is_price_seen()

    def _is_price_seen(self) -> bool:
        figures = services.launch(actor=self.actor, spec=self.spec, now=timezone.now(), dry_run=True).figures
        seen, now = self.cleaned_data["price_seen"], digest_of(self.spec, figures)
        if seen == now:
            return True
        self.price, self.is_another_price = _in_figures(figures), bool(seen)
        self.data = self.data.copy()
        self.data[self.add_prefix("price_seen")] = now
        return False

    @property
    def spec(self) -> LaunchSpec:
        """What was asked for; the operating system is the blueprint's."""
        wanted = self.cleaned_data
        return LaunchSpec(
            service_type=WorkSpace.ServiceType.PERSONAL,
            blueprint_id=wanted["blueprint"].pk,
            operating_system=wanted["blueprint"].operating_system,
            bundle_type=wanted["bundle_type"],
            running_mode=wanted["running_mode"],
            region=wanted["region"] or None,
            team=wanted["team"].slug if wanted["team"] else None,
            project=wanted["project"].slug if wanted["project"] else None,
            owner=wanted["owner_email"] or None,
            max_lifetime_days=wanted["max_lifetime_days"],
        )


def _in_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """A dry run's figures for the page: amounts as numbers, and of each budget what would be left."""
    amounts = ("hourly", "monthly", "estimated_cost", "reservation")
    of_budget = ("limit", "spent", "reserved", "needed", "after")
    budgets = [one | {name: Decimal(one[name]) for name in of_budget} for one in figures.get("budgets", ())]
    return {
        **figures,
        **{name: Decimal(figures[name]) if name in figures else None for name in amounts},
        "budgets": [one | {"left": one["limit"] - one["after"]} for one in budgets],
    }


class Launches:
    """Mixin of the list of machines: its + launches one."""

    add_roles = LAUNCHING
    audit_add = actions.WORKSPACE_PROVISION
    add_fieldsets = (
        (None, {"fields": ("owner_email", "blueprint", "bundle_type", "running_mode")}),
        ("Where and for how long", {"fields": ("region", "team", "project", "max_lifetime_days")}),
    )
    change_form_before_template = "workspaces/launch_price.html"
    fieldsets: Any
    admin_site: Any

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators of the installation look, but belong to no organization that could pay."""
        return super().has_add_permission(request, obj) and not request.user.is_operator  # type: ignore[misc]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj is not None else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc]
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": LaunchForm, "fields": None})  # type: ignore[misc]
        form.user, form.actor = request.user, request.actor  # type: ignore[attr-defined]
        return form

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """With one way to send it: to see the price first, then to launch."""
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False, "title": "Launch a machine"}
        return super().add_view(request, form_url, {**(extra_context or {}), **only_save})  # type: ignore[misc]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form; one that is shown again for its price alone has changed nothing and refused nothing."""
        if getattr(context["adminform"].form, "price", None) is not None:
            request.audit_as_read = True  # type: ignore[attr-defined]
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]

    def save_by_service(self, request: HttpRequest, obj: WorkSpace, form: Any, *, change: bool) -> WorkSpace:
        answer = services.launch(actor=request.actor, spec=form.spec, now=timezone.now())  # type: ignore[attr-defined]
        request.figures = answer.figures  # type: ignore[attr-defined]
        return answer.workspace

    def response_add(self, request: HttpRequest, obj: WorkSpace, post_url_continue: str | None = None) -> HttpResponse:
        """To the machine's page, with what its budgets hold for it."""
        figures = request.figures  # type: ignore[attr-defined]
        held = (
            f"{figures['reservation']} {figures['currency']} are reserved for it." if "reservation" in figures else ""
        )
        messages.success(request, f"{obj.name} is launched. {held}".strip())
        return HttpResponseRedirect(self._detail_url(obj))  # type: ignore[attr-defined]
