"""Budgets in the console: bars to look at, terms set and changed by the services alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from budgets import actions, permissions, services
from budgets.display import bar, money, standing
from budgets.models import Budget, BudgetThreshold, Reservation
from forge.accounts.models import Membership, Project, Team, User
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin
from forge.adminkit.buttons import Button

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


class AmountForm(forms.Form):
    amount = forms.DecimalField(
        max_digits=18, decimal_places=6, min_value=Decimal(0), widget=UnfoldAdminDecimalFieldWidget
    )


class OwnerForm(forms.Form):
    owner = forms.EmailField(
        required=False, widget=UnfoldAdminEmailInputWidget, help_text="The email of a colleague; empty = nobody."
    )


class ThresholdInline(ForgeInline):
    model = BudgetThreshold
    fields = ("fraction", "fired_at")
    view_roles = Membership.OVERSIGHT
    show_change_link = False


def _change_amount(request: HttpRequest, budget: Budget, *, amount: Decimal) -> str:
    services.change(actor=request.actor, budget_id=budget.pk, amount=amount, now=timezone.now())  # type: ignore[attr-defined]
    return f"The amount is {amount} now."


def _change_owner(request: HttpRequest, budget: Budget, *, owner: str) -> str:
    person = services.owner_by(owner, organization_id=budget.organization_id)
    services.change(actor=request.actor, budget_id=budget.pk, owner=person, now=timezone.now())  # type: ignore[attr-defined]
    return f"{person.email} hears of it first now." if person else "It has no owner now."


def _switch_off(request: HttpRequest, budget: Budget) -> str:
    services.change(actor=request.actor, budget_id=budget.pk, is_active=False, now=timezone.now())  # type: ignore[attr-defined]
    return "Switched off."


def _switch_on(request: HttpRequest, budget: Budget) -> str:
    services.change(actor=request.actor, budget_id=budget.pk, is_active=True, now=timezone.now())  # type: ignore[attr-defined]
    return "Switched on, with what the scope has spent and runs."


def _explain_amount(request: HttpRequest, budget: Budget) -> list[str]:
    spent, reserved = money(budget, budget.spent), money(budget, budget.reserved)
    return [
        f"The amount is {money(budget, budget.amount)}; {spent} is spent and {reserved} is held by machines.",
        "A lower amount stops no machine; it only admits no more.",
    ]


def _explain_owner(request: HttpRequest, budget: Budget) -> list[str]:
    return ["Mail about its marks goes to the owner; without one to the team's leads, else to finance."]


def _explain_off(request: HttpRequest, budget: Budget) -> list[str]:
    return ["It binds nobody any more, and what machines hold in it is given back."]


def _explain_on(request: HttpRequest, budget: Budget) -> list[str]:
    return ["It counts anew what the scope has spent and what runs."]


@admin.register(Budget)
class BudgetAdmin(ForgeModelAdmin):
    audit_add = actions.BUDGET_CREATE
    view_roles = Membership.OVERSIGHT
    add_roles = (Role.TEAM_LEAD, Role.FINANCE, Role.ADMIN)
    list_display = ("shown_scope", "shown_period", "shown_amount", "bar", "shown_remaining", "status", "recurs")
    list_filter = ("scope", "is_active", "recurs", "on_limit", "period_end")
    search_fields = ("scope_id__exact", "id__exact", "scope_name")
    search_help_text = "The email or slug that it is for, or a whole id."
    ordering = ("-period_start", "id")
    inlines = (ThresholdInline,)
    add_fieldsets = (
        (None, {"fields": ("scope", "person", "team", "project")}),
        ("Terms", {"fields": ("amount", "period_start", "period_end", "recurs", "on_limit")}),
    )
    fieldsets = (
        (None, {"fields": ("shown_scope", "bar", "status", "holders")}),
        ("Money", {"fields": ("shown_amount", "shown_spent", "shown_reserved", "shown_remaining", "shown_overrun")}),
        ("Terms", {"fields": ("period_start", "period_end", "recurs", "on_limit", "owner", "is_active")}),
        ("Books", {"fields": ("adopted_at", "renewed_at", "created_at", "updated_at")}),
    )
    readonly_fields = (
        "shown_scope", "bar", "status", "holders", "shown_amount", "shown_spent", "shown_reserved", "shown_remaining",
        "shown_overrun", "created_at", "updated_at",
    )  # fmt: skip
    buttons = (
        Button(
            "amount",
            "Change amount",
            actions.BUDGET_UPDATE,
            icon="payments",
            run=_change_amount,
            legal=permissions.may_change,
            form=AmountForm,
            explain=_explain_amount,
        ),
        Button(
            "owner",
            "Change owner",
            actions.BUDGET_UPDATE,
            icon="person",
            run=_change_owner,
            legal=permissions.may_change,
            form=OwnerForm,
            explain=_explain_owner,
        ),
        Button(
            "off",
            "Switch off",
            actions.BUDGET_UPDATE,
            icon="toggle_off",
            variant=ActionVariant.DANGER,
            run=_switch_off,
            legal=lambda user, budget: budget.is_active and permissions.may_switch_off(user, budget),
            explain=_explain_off,
        ),
        Button(
            "on",
            "Switch on",
            actions.BUDGET_UPDATE,
            icon="toggle_on",
            run=_switch_on,
            legal=lambda user, budget: not budget.is_active and permissions.may_change(user, budget),
            explain=_explain_on,
        ),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators of the installation look, but belong to no organization that could spend."""
        return super().has_add_permission(request, obj) and not request.user.is_operator

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).with_scope_name().select_related("organization", "owner")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj is not None else self.add_fieldsets

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

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
        return f"{budget.period_start:%Y-%m-%d %H:%M} to {budget.period_end:%Y-%m-%d %H:%M}"

    @display(description="amount", ordering="amount")
    def shown_amount(self, budget: Budget) -> str:
        return money(budget, budget.amount)

    @display(description="spent", ordering="spent")
    def shown_spent(self, budget: Budget) -> str:
        return money(budget, budget.spent)

    @display(description="reserved", ordering="reserved")
    def shown_reserved(self, budget: Budget) -> str:
        return money(budget, budget.reserved)

    @display(description="remaining")
    def shown_remaining(self, budget: Budget) -> str:
        return money(budget, budget.remaining)

    @display(description="overrun")
    def shown_overrun(self, budget: Budget) -> str:
        return money(budget, budget.overrun)

    @display(description="held by")
    def holders(self, budget: Budget) -> str:
        address = reverse(f"{self.admin_site.name}:budgets_reservation_changelist")
        query = f"budget__id__exact={budget.pk}&released_at__isnull=True"
        return format_html('<a href="{}?{}">Machines that hold money in it</a>', address, query)

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
            "past 80 %": "warning",
            "within": "success",
        },
    )
    def status(self, budget: Budget) -> str:
        return standing(budget, timezone.now())


@admin.register(Reservation)
class ReservationAdmin(ForgeModelAdmin):
    view_roles = Membership.OVERSIGHT
    list_display = ("workspace", "budget", "amount", "remaining", "created_at", "expires_at", "released_at")
    list_filter = (("released_at", admin.EmptyFieldListFilter),)
    link_lookups = ("budget__id__exact",)
    list_select_related = ("workspace", "budget")
    search_fields = ("workspace_id__exact", "budget_id__exact", "operation_id__exact", "correlation_id__exact")
    search_help_text = "The whole id of a machine, a budget, an operation or a correlation."
    ordering = ("-id",)
