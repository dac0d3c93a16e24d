"""What the guard asks of every intent: whom it is charged to, what that costs, what unadopted budgets would hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from budgets.adoption import foresee
from budgets.binding import Bound, Rate, Scopes
from budgets.rates import charged_by, kind_of, rate_as_booked, rate_of
from costs.dues import modes_after, modes_of
from costs.models import Basis
from costs.quotes import storage_price_missing
from workspaces.intents import Intent
from workspaces.models import WorkSpace


def scopes_of(of: Intent | WorkSpace) -> Scopes:
    """Whom a machine, or that of an intent, is charged to."""
    return Scopes(
        organization=(of.organization.id, of.organization.slug),
        user=(of.owner.id, of.owner.email),
        team=(of.team.id, of.team.slug),
        project=(of.project.id, of.project.slug) if of.project else None,
    )


def rate_for(intent: Intent) -> Rate:
    """What the machine of an intent costs; raises what the price book refuses.

    Nothing new begins without a price in force, nor does storage grow without a price of it. What is there already has
    its cost in any case: a machine that starts, is taken over, moves or stays what it is but for its volumes goes by
    what metering books it at: by the modes that it has had in the month too.
    """
    rate = _rate_for(intent)
    if _takes_storage(intent) and not rate.has_storage_price:
        text = f"{intent.service_type} {intent.bundle_type} {intent.operating_system} {intent.running_mode}"
        raise storage_price_missing(f"{text} in {intent.region}", kind_of(intent)[5])
    return rate


def _takes_storage(intent: Intent) -> bool:
    """Whether there is more storage once the intent is done than there was."""
    if intent.kind == "modify" and intent.workspace is not None:
        return kind_of(intent)[5] > kind_of(intent.workspace)[5]
    return intent.kind == "launch"


def _rate_for(intent: Intent) -> Rate:
    machine = intent.workspace
    kind, modes = kind_of(intent), _modes(intent)
    is_there = intent.kind in ("start", "adopt", "move")
    if is_there or (intent.kind == "modify" and machine and kind_of(machine)[:5] == kind[:5]):
        booked = rate_as_booked(intent.organization, kind, modes=modes, now=intent.now)
        if booked is not None:
            return booked
    rate = rate_of(
        organization=intent.organization,
        region=intent.region,
        bundle_type=intent.bundle_type,
        operating_system=intent.operating_system,
        running_mode=intent.running_mode,
        service_type=intent.service_type,
        storage_gb=kind[5],
        now=intent.now,
    )
    return charged_by(rate, intent.organization, kind, modes=modes, now=intent.now) if machine else rate


def _modes(intent: Intent) -> str:
    """What the machine will be charged by to the end of the month once the intent is done."""
    machine = intent.workspace
    if machine is None or machine.launched_at is None:
        return str(intent.running_mode)
    return modes_after(modes_of(machine, now=intent.now), intent.running_mode)


def terms_of(intent: Intent, rate: Rate) -> dict[str, Any]:
    """In which currency the figures of an answer are, and on what they rest."""
    return {
        "currency": intent.organization.currency,
        "basis": str(Basis.ESTIMATED),
        "is_price_current": rate.is_current,
    }


def machine_of(intent: Intent) -> WorkSpace:
    if intent.workspace is None:
        raise TypeError(f"a {intent.kind} is one of a machine")
    return intent.workspace


def adopted(bound: Sequence[Bound], *, now: datetime) -> list[Bound]:
    """The same with the figures that adoption would give to those that are not adopted yet."""
    return [one if one.is_adopted else one.with_figures(*_foreseen(one, now)) for one in bound]


def _foreseen(budget: Bound, now: datetime) -> tuple[Decimal, Decimal]:
    return foresee(budget_id=budget.id, now=max(now, budget.period_start))
