"""What people do to a budget in the console: each button calls a service."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from budgets import actions, permissions, services
from budgets.display import money
from budgets.figures import percent
from budgets.models import Budget
from budgets.raising import raise_limit
from budgets.rows import fractions_of
from budgets.terms import MOST_REASON, UnknownBudget
from budgets.transferring import transfer
from forge.adminkit.buttons import Button


class AmountForm(forms.Form):
    amount = forms.DecimalField(
        max_digits=18, decimal_places=6, min_value=Decimal(0), widget=UnfoldAdminDecimalFieldWidget
    )


class OwnerForm(forms.Form):
    owner = forms.EmailField(
        required=False, widget=UnfoldAdminEmailInputWidget, help_text="The email of a colleague; empty = nobody."
    )


NOBODY = "none"


class ThresholdsForm(forms.Form):
    """The thresholds in per cent, between commas; the word none = nobody is told."""

    thresholds = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="In per cent of the limit, at most 200, between commas: 50, 80, 100; or the word none.",
    )

    def clean_thresholds(self) -> list[Decimal]:
        text = self.cleaned_data["thresholds"].strip()
        words = [] if text == NOBODY else [word.strip(" %") for word in text.split(",")]
        try:
            return [Decimal(word) / 100 for word in words]
        except InvalidOperation:
            raise forms.ValidationError("Numbers between commas, such as 80, 100.") from None


class RaiseForm(AmountForm):
    ends_at = forms.SplitDateTimeField(
        widget=UnfoldAdminSplitDateTimeWidget, help_text="A whole UTC hour, at most the end of the period."
    )
    reason = forms.CharField(max_length=MOST_REASON, widget=UnfoldAdminTextInputWidget)


class TransferForm(AmountForm):
    team = forms.SlugField(widget=UnfoldAdminTextInputWidget, help_text="Slug of the team whose budget of now gets it.")
    reason = forms.CharField(max_length=MOST_REASON, widget=UnfoldAdminTextInputWidget)


def _change_amount(request: HttpRequest, budget: Budget, *, amount: Decimal, if_match: frozenset[str] | None) -> str:
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        amount=amount,
        now=timezone.now(),
        if_match=if_match,
    )
    return f"The amount is {money(budget, amount)} now."


def _change_owner(request: HttpRequest, budget: Budget, *, owner: str, if_match: frozenset[str] | None) -> str:
    person = services.owner_by(owner, organization_id=budget.organization_id)
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        owner=person,
        now=timezone.now(),
        if_match=if_match,
    )
    return f"{person.email} hears of it first now." if person else "It has no owner now."


def _switch_off(request: HttpRequest, budget: Budget, *, if_match: frozenset[str] | None) -> str:
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        is_active=False,
        now=timezone.now(),
        if_match=if_match,
    )
    return "Switched off."


def _switch_on(request: HttpRequest, budget: Budget, *, if_match: frozenset[str] | None) -> str:
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        is_active=True,
        now=timezone.now(),
        if_match=if_match,
    )
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


def _change_thresholds(
    request: HttpRequest, budget: Budget, *, thresholds: list[Decimal], if_match: frozenset[str] | None
) -> str:
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        fractions=thresholds,
        now=timezone.now(),
        if_match=if_match,
    )
    return f"People are told at {', '.join(map(percent, sorted(thresholds)))}." if thresholds else "Nobody is told."


def _raise(
    request: HttpRequest,
    budget: Budget,
    *,
    amount: Decimal,
    ends_at: datetime,
    reason: str,
    if_match: frozenset[str] | None,
) -> str:
    raise_limit(
        actor=request.actor,  # type: ignore[attr-defined]
        budget_id=budget.pk,
        amount=amount,
        ends_at=ends_at,
        reason=reason,
        now=timezone.now(),
        if_match=if_match,
    )
    return f"It holds {money(budget, amount)} more until {ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."


def _transfer(
    request: HttpRequest, budget: Budget, *, amount: Decimal, team: str, reason: str, if_match: frozenset[str] | None
) -> str:
    now = timezone.now()
    receiver = Budget.objects.visible_to(request.user).binding(now).with_scope_name()  # type: ignore[arg-type]
    found = receiver.filter(organization_id=budget.organization_id, scope=Budget.Scope.TEAM, scope_name=team).first()
    if found is None:
        raise UnknownBudget(f"Team {team} has no budget now.")
    transfer(
        actor=request.actor,  # type: ignore[attr-defined]
        giver_id=budget.pk,
        receiver_id=found.pk,
        amount=amount,
        reason=reason,
        now=now,
        if_match=if_match,
    )
    return f"{money(budget, amount)} moved to {team}."


def _explain_thresholds(request: HttpRequest, budget: Budget) -> list[str]:
    return ["Each is told once per period; what stays and has been told is not told again."]


def _explain_raise(request: HttpRequest, budget: Budget) -> list[str]:
    return [
        f"The limit is {money(budget, budget.limit)}. A raise counts from now to its hour, then ends by itself.",
        "You are named as who approved it.",
    ]


def _explain_transfer(request: HttpRequest, budget: Budget) -> list[str]:
    free = max(budget.amount + budget.transferred - budget.spent - budget.reserved, Decimal(0))
    return [f"{money(budget, free)} of it is neither spent nor held. The next period begins with what was set."]


def _is_open(budget: Budget) -> bool:
    return budget.is_active and budget.period_end > timezone.now()


BUTTONS = (
    Button(
        "amount",
        "Change amount",
        actions.BUDGET_UPDATE,
        group="Change",
        icon="payments",
        run=_change_amount,
        legal=permissions.may_change,
        form=AmountForm,
        is_versioned=True,
        explain=_explain_amount,
    ),
    Button(
        "owner",
        "Change owner",
        actions.BUDGET_UPDATE,
        group="Change",
        icon="person",
        run=_change_owner,
        legal=permissions.may_change,
        form=OwnerForm,
        is_versioned=True,
        initial=lambda budget: {"owner": budget.owner.email if budget.owner else ""},
        explain=_explain_owner,
    ),
    Button(
        "off",
        "Switch off",
        actions.BUDGET_UPDATE,
        icon="toggle_off",
        variant=ActionVariant.DANGER,
        run=_switch_off,
        is_versioned=True,
        legal=lambda user, budget: budget.is_active and permissions.may_switch_off(user, budget),
        explain=_explain_off,
    ),
    Button(
        "on",
        "Switch on",
        actions.BUDGET_UPDATE,
        icon="toggle_on",
        run=_switch_on,
        is_versioned=True,
        legal=lambda user, budget: not budget.is_active and permissions.may_change(user, budget),
        explain=_explain_on,
    ),
    Button(
        "thresholds",
        "Change thresholds",
        actions.BUDGET_UPDATE,
        group="Change",
        icon="notifications",
        run=_change_thresholds,
        legal=permissions.may_change,
        form=ThresholdsForm,
        is_versioned=True,
        initial=lambda budget: {"thresholds": ", ".join(percent(one)[:-1] for one in fractions_of(budget)) or NOBODY},
        explain=_explain_thresholds,
    ),
    Button(
        "raise",
        "Raise for a time",
        actions.BUDGET_RAISE,
        icon="trending_up",
        run=_raise,
        legal=lambda user, budget: _is_open(budget) and permissions.may_raise(user, budget),
        form=RaiseForm,
        is_versioned=True,
        explain=_explain_raise,
    ),
    Button(
        "transfer",
        "Move money to another team",
        actions.BUDGET_TRANSFER,
        icon="swap_horiz",
        run=_transfer,
        legal=lambda user, budget: (
            _is_open(budget) and budget.scope == Budget.Scope.TEAM and permissions.may_raise(user, budget)
        ),
        form=TransferForm,
        is_versioned=True,
        explain=_explain_transfer,
    ),
)
