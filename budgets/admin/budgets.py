"""Budgets in the console: bars to look at, terms set and changed by the services alone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from budgets import actions, services
from budgets.admin.buttons import BUTTONS
from budgets.display import bar, money, standing
from budgets.models import Budget
from costs.exporting import ExportsCosts
from forge.accounts.models import Membership, Project, Team, User
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.links import two_lines

Role = Membership.Role


class BudgetForm(forms.ModelForm):
    """A new budget: the scope, and by its name whom it is for."""

    person = forms.EmailField(
        required=False, widget=UnfoldAdminEmailInputWidget, help_text="For the scope User: the person's email."
    )
    team = forms.ModelChoiceField(Team.objects.none(), required=False, widget=UnfoldAdminSelectWidget)
    project = forms.ModelChoiceField(Project.objects.none(), required=False, widget=UnfoldAdminSelectWidget)
    user: Any = None
    """Who fills it in; set on the subclass that the admin makes for each request."""

    class Meta:
        model = Budget
        fields = ("scope", "amount", "period_start", "period_end", "recurs", "on_limit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offers the person's teams and projects: on the fields of this form alone, all forms share the others."""
        super().__init__(*args, **kwargs)
        if self.user is not None:
            self.fields["team"].queryset = Team.objects.visible_to(self.user)
            self.fields["project"].queryset = Project.objects.visible_to(self.user)

    def clean(self) -> dict[str, Any]:
        """Adds `scope_id`."""
        scope = self.cleaned_data.get("scope")
        named = {
            Budget.Scope.USER: self._person,
            Budget.Scope.TEAM: lambda: self.cleaned_data.get("team"),
            Budget.Scope.PROJECT: lambda: self.cleaned_data.get("project"),
        }
        if scope in named:
            target = named[scope]()
            if target is None:
                self.add_error("person" if scope == Budget.Scope.USER else scope.lower(), "Say whom the budget is for.")
            else:
                self.cleaned_data["scope_id"] = target.id
        return self.cleaned_data

    def _get_validation_exclusions(self) -> set[str]:
        """No constraint of the model is tried: the service judges the terms, in words that say more."""
        return {field.name for field in Budget._meta.fields}

    def _person(self) -> User | None:
        email = self.cleaned_data.get("person")
        people = User.objects.filter(organization_id=self.user.organization_id, email__iexact=email or "")
        return people.first()


@admin.register(Budget)
class BudgetAdmin(ExportsCosts, ForgeModelAdmin):
    team = "scope_id"  # of a team's budget; no other scope's id is a team's
    audit_add = actions.BUDGET_CREATE
    view_roles = Membership.OVERSIGHT
    add_roles = (Role.TEAM_LEAD, Role.FINANCE, Role.ADMIN)
    list_display = ("shown_scope", "shown_period", "shown_limit", "bar", "status")
    list_filter = ("scope", "is_active", "recurs", "on_limit", "period_end")
    search_fields = ("scope_id__exact", "id__exact", "scope_name")
    search_help_text = "The email or slug that it is for, or a whole id."
    ordering = ("-period_start", "id")
    export_fields = (
        "id", "scope", "scope_id", "amount", "spent", "reserved", "period_start", "period_end", "recurs", "on_limit",
        "is_active", "adopted_at", "created_at",
    )  # fmt: skip
    add_fieldsets = (
        (None, {"fields": ("scope", "person", "team", "project")}),
        ("Terms", {"fields": ("amount", "period_start", "period_end", "recurs", "on_limit")}),
    )
    fieldsets = (
        (
            "Terms",
            {
                "fields": (
                    "period_start",
                    "period_end",
                    "recurs",
                    "recurs_hours",
                    "on_limit",
                    "owner",
                    "is_active",
                    "adopted_at",
                    "renewed_at",
                    "created_at",
                    "updated_at",
                )
            },
        ),
    )
    readonly_fields = ("created_at", "updated_at")
    buttons = BUTTONS

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators of the installation look, but belong to no organization that could spend."""
        return super().has_add_permission(request, obj) and not request.user.is_operator

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        budgets = super().get_queryset(request).with_scope_name().select_related("organization", "owner")
        return budgets.prefetch_related("thresholds")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj is not None else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": BudgetForm})
        form.user = request.user
        return form

    def save_by_service(self, request: HttpRequest, obj: Budget, form: Any, *, change: bool) -> Budget:
        wanted = form.cleaned_data
        return services.create(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=request.user.organization,
            scope=wanted["scope"],
            scope_id=wanted.get("scope_id", request.user.organization_id),
            amount=wanted["amount"],
            period_start=wanted["period_start"],
            period_end=wanted["period_end"],
            recurs=wanted["recurs"],
            on_limit=wanted["on_limit"],
            now=timezone.now(),
        )

    @display(description="for", ordering="scope")
    def shown_scope(self, budget: Budget) -> str:
        return f"{budget.get_scope_display()} {budget.scope_name or budget.scope_id}"

    @display(description="period (UTC)", ordering="period_start")
    def shown_period(self, budget: Budget) -> str:
        period = f"{budget.period_start:%Y-%m-%d %H:%M} to {budget.period_end:%Y-%m-%d %H:%M}"
        recurs = budget.recurs != Budget.Recurs.NONE
        return two_lines(period, f"recurs: {budget.get_recurs_display().lower()}" if recurs else "")

    @display(description="limit", ordering="amount")
    def shown_limit(self, budget: Budget) -> str:
        return two_lines(money(budget, budget.limit), f"{money(budget, budget.remaining)} left")

    @display(description="used")
    def bar(self, budget: Budget) -> str:
        return bar(budget)

    @display(
        description="status",
        label={
            "switched off": "default",
            "to be adopted": "info",
            "to come": "info",
            "over the limit": "danger",
            "limit reached": "danger",
            "past its warning": "warning",
            "within": "success",
        },
    )
    def status(self, budget: Budget) -> str:
        return standing(budget, timezone.now())
