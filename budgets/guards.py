"""The last launch guard: a machine is admitted only if every budget that binds it has room for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from budgets import binding, holding
from budgets.adoption import adopt_binding, foresee
from budgets.binding import Bound, Rate, Scopes
from budgets.figures import bound_figures, instant, money
from budgets.ledger import LOW_HOURS
from budgets.making_room import suggestions
from budgets.models import EXPIRES_AFTER, Budget, Reservation
from budgets.rates import charged_by, month_ahead, rate_as_booked, rate_of, rate_or_nothing
from costs import metering
from costs.dues import Kind as PriceKind
from costs.dues import modes_after, modes_of
from costs.models import Basis
from costs.pricing import hour_up
from forge.accounts.models import User
from forge.api.errors import Refused
from workspaces.intents import Intent, RepairFirst
from workspaces.models import WorkSpace


class BudgetExceeded(Refused):
    code = "budget_exceeded"
    title = "A budget has no room for this"
    suggested_action = (
        "Choose a smaller bundle, end machines that you do not need, or ask the budget's owner to raise it."
    )

    def __init__(self, detail: str, *, extra: Mapping[str, Any], room: Callable[[], list[dict[str, Any]]]) -> None:
        super().__init__(detail, extra=extra)
        self.room = room

    def document(self, *, instance: str = "", request_id: str | None = None) -> dict[str, Any]:
        """With `make_room`, looked up only now: the budgets' locks are gone, so nobody waits for it."""
        return super().document(instance=instance, request_id=request_id) | {"make_room": self.room()}


def reserve(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Set the machine's money aside in every budget that binds it, or refuse with the figures.

    Answers hourly and monthly (of a launch: its price, as a quote names it), estimated_cost, reservation (the largest
    of the budgets' amounts; where none binds and nothing is set aside, what a budget of this month would hold, as a
    quote says), currency, basis, is_price_current and budgets. What is there already is held at the price by which
    metering books it, the last one where that has ended (`is_price_current` false). Raises BudgetExceeded, naming every
    budget without room; RepairFirst when a binding budget is not adopted or came while the locks were waited for; what
    the price book refuses. A dry run neither locks nor writes.
    """
    rate = _rate(replace(intent, now=hour_up(intent.now)) if intent.kind == "move" else intent)
    scopes = scopes_of(intent)
    if intent.kind == "start":
        return _start(intent, scopes, rate, dry_run=dry_run)
    if intent.kind == "modify":
        return _modify(intent, scopes, rate, dry_run=dry_run)
    if intent.kind == "adopt":
        return _take_on(intent, scopes, rate, dry_run=dry_run)
    if intent.kind == "move":
        return _move(intent, scopes, rate, dry_run=dry_run)
    hours = settings.FORGE_RESERVE_HOURS
    what = {"scopes": scopes, "now": intent.now, "lifetime_end": intent.lifetime_end, "rate": rate, "hours": hours}
    if dry_run:
        bound = adopted(binding.read(**what), now=intent.now)
    else:
        bound = binding.reserve(
            **what,
            workspace_id=intent.workspace_id,
            operation_id=intent.operation_id,
            correlation_id=intent.correlation_id,
            expires_at=intent.now + EXPIRES_AFTER,
        )
        if any(budget.obstacle in ("changed", "not_adopted") for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    refuse_without_room(bound, scopes=scopes, intent=intent)
    estimated = month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=hours)
    return {
        "hourly": money(rate.hourly),
        "monthly": money(rate.fee + rate.storage_fee),
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in bound), default=estimated)),
        **_terms(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }


def refuse_without_room(bound: Sequence[Bound], *, scopes: Scopes, intent: Intent) -> None:
    """Raise BudgetExceeded with the figures of the first budget that has no room, and of all such in `budgets`.

    Its document also says in `make_room` which machines would make room in the first.
    """
    lacking = [budget for budget in bound if not budget.has_room]
    if not lacking:
        return
    first, currency = lacking[0], intent.organization.currency
    figures = bound_figures(first, scopes)
    raise BudgetExceeded(
        f"The {first.scope.lower()} budget of {money(first.amount)} {currency} has {money(first.spent)} spent and "
        f"{money(first.reserved)} reserved; this needs {money(first.needed)}.",
        extra={
            "budget": figures["id"],
            "scope": figures["scope"],
            "name": figures["name"],
            "limit": figures["limit"],
            "spent": figures["spent"],
            "reserved": figures["reserved"],
            "needed": money(first.needed),
            "currency": currency,
            "period_end": figures["period_end"],
            "budgets": [bound_figures(budget, scopes) for budget in lacking],
        },
        room=partial(suggestions, budget_id=first.id, user=_person(intent), now=intent.now),
    )


def _rate(intent: Intent) -> Rate:
    """What the machine of an intent costs; raises what the price book refuses.

    Nothing new begins without a price in force. What is there already has its cost in any case: a machine that starts,
    is taken over, moves or stays what it is but for its volumes goes by what metering books it at: by the modes that it
    has had in the month too.
    """
    machine = intent.workspace
    kind, modes = (*_kind(intent), _storage_gb(intent)), _modes(intent)
    is_there = intent.kind in ("start", "adopt", "move")
    if is_there or (intent.kind == "modify" and machine and _kind(machine) == _kind(intent)):
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
        storage_gb=_storage_gb(intent),
        now=intent.now,
    )
    return charged_by(rate, intent.organization, kind, modes=modes, now=intent.now) if machine else rate


def _modes(intent: Intent) -> str:
    """What the machine will be charged by to the end of the month once the intent is done."""
    machine = intent.workspace
    if machine is None or machine.launched_at is None:
        return str(intent.running_mode)
    return modes_after(modes_of(machine, now=intent.now), intent.running_mode)


def _kind(of: Intent | WorkSpace) -> PriceKind:
    """What a price follows from."""
    return str(of.service_type), of.region, str(of.bundle_type), str(of.operating_system), str(of.running_mode)


def _storage_gb(of: Intent | WorkSpace) -> int:
    return of.root_volume_gb + of.user_volume_gb


def _terms(intent: Intent, rate: Rate) -> dict[str, Any]:
    """In which currency the figures of an answer are, and on what they rest."""
    return {
        "currency": intent.organization.currency,
        "basis": str(Basis.ESTIMATED),
        "is_price_current": rate.is_current,
    }


def _person(intent: Intent) -> User | None:
    return intent.actor.user if isinstance(intent.actor.user, User) else None


def scopes_of(intent: Intent) -> Scopes:
    """Whom the machine of an intent is charged to."""
    return Scopes(
        organization=(intent.organization.id, intent.organization.slug),
        user=(intent.owner.id, intent.owner.email),
        team=(intent.team.id, intent.team.slug),
        project=(intent.project.id, intent.project.slug) if intent.project else None,
    )


def adopted(bound: Sequence[Bound], *, now: datetime) -> list[Bound]:
    """The same with the figures that adoption would give to those that are not adopted yet."""
    return [one if one.is_adopted else one.with_figures(*_foreseen(one, now)) for one in bound]


def _foreseen(budget: Bound, now: datetime) -> tuple[Decimal, Decimal]:
    return foresee(budget_id=budget.id, now=max(now, budget.period_start))


def _start(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Refuse only where a budget says BLOCK_STARTS and cannot hold what the machine will soon need beyond its own.

    There the machine's reservation is topped up to that, under the budgets' locks: of two starts at once the second
    sees what the first has taken. Elsewhere nothing is reserved; metering tops up what runs low.
    """
    bound = _with_additions(intent, scopes, rate)
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound if _blocks_starts(budget))
        bound = _with_additions(intent, scopes, rate) if locked else bound
        unseen = [budget for budget in bound if _blocks_starts(budget) and budget.id not in locked]
        if unseen or not all(budget.is_adopted for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    bound = adopted(bound, now=intent.now)
    strict = [budget for budget in bound if _blocks_starts(budget)]
    refuse_without_room(strict, scopes=scopes, intent=intent)
    if not dry_run:
        for budget in strict:
            holding.top_up(intent, budget)
    return {
        "estimated_cost": money(
            month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=settings.FORGE_RESERVE_HOURS)
        ),
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **_terms(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }


def _take_on(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Set the money of a machine that runs already aside, whether it fits or not: its cost comes in any case."""
    read = partial(
        binding.read,
        scopes=scopes,
        now=intent.now,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=settings.FORGE_RESERVE_HOURS,
    )
    bound = read()
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound)
        bound = read()
        if not all(budget.is_adopted and budget.id in locked for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
        for budget in bound:
            holding.top_up(intent, budget)
    return {
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **_terms(intent, rate),
        "over_limit": [bound_figures(budget, scopes) for budget in bound if not budget.has_room],
    }


def _with_additions(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind, each needing what a start must add to what the machine holds there: 0 in most.

    What it will soon need is what metering tops up below: the fees of the hours that are not booked yet, and eight
    hours of running.
    """
    bound = binding.read(
        scopes=scopes,
        now=intent.now,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=LOW_HOURS,
        fees_from=hour_up(intent.now),
    )
    held = dict(
        Reservation.objects.live()
        .filter(workspace_id=intent.workspace_id, budget_id__in=[budget.id for budget in bound])
        .values_list("budget_id", "remaining")
    )
    return [
        budget.needing(
            max(budget.needed - held.get(budget.id, Decimal(0)), Decimal(0)) if _blocks_starts(budget) else Decimal(0)
        )
        for budget in bound
    ]


def _modify(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Reserve in every budget that binds what the machine will need there more than it does, or refuse.

    What needs no more is never refused, however full a budget is: it is how people bring their costs down.
    """
    bound = _differences(intent, scopes, rate)
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound)
        bound = _differences(intent, scopes, rate)
        if not all(budget.id in locked and budget.is_adopted for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    bound = adopted(bound, now=intent.now)
    dearer = [budget for budget in bound if budget.needed]
    refuse_without_room(dearer, scopes=scopes, intent=intent)
    if not dry_run:
        for budget in dearer:
            holding.top_up(intent, budget)
    estimated = month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=settings.FORGE_RESERVE_HOURS)
    return {
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **_terms(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }


def _differences(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind, each needing what the changed machine must hold there beyond what it must hold now.

    Both are the fees of the hours that begin after now and FORGE_RESERVE_HOURS of running, as they will be charged
    (costs.dues): a switch to AlwaysOn saves the hours only, one to AutoStop changes nothing before the month's end.
    """
    machine = _machine(intent)
    modes = modes_of(machine, now=intent.now)
    kind = (*_kind(machine), _storage_gb(machine))
    before = rate_or_nothing(intent.organization, kind, modes=modes, now=intent.now)
    what: dict[str, Any] = {
        "scopes": scopes,
        "now": intent.now,
        "lifetime_end": intent.lifetime_end,
        "hours": settings.FORGE_RESERVE_HOURS,
        "fees_from": hour_up(intent.now),
    }
    needed = {budget.id: budget.needed for budget in binding.read(**what, rate=before)}
    return [
        budget.needing(max(budget.needed - needed.get(budget.id, Decimal(0)), Decimal(0)))
        for budget in binding.read(**what, rate=rate)
    ]


def _move(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Hold the machine's money in the budgets of the team and project it comes to, and give back what others hold.

    Hours that began before the move stay with those that it leaves, and are booked before these give anything back;
    what it needs is reckoned from the next hour on. The budgets of its person and of the organization hold what they
    held. Those of a period that begins with the next hour are asked, and hold its money once they are adopted.
    """
    charged_from = hour_up(intent.now)
    entered, left = _entered(intent, scopes, rate), _left(intent)
    if not dry_run:
        touched = [*(budget.id for budget in entered), *left.values_list("budget_id", flat=True)]
        metering.advance(workspace=_machine(intent), now=intent.now, locking=touched)
        locked = holding.lock(touched)
        entered = _entered(intent, scopes, rate)
        to_adopt = [one for one in entered if one.period_start <= intent.now and not one.is_adopted]
        if to_adopt or not all(budget.id in locked for budget in entered):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    entered = adopted(entered, now=intent.now)
    refuse_without_room(entered, scopes=scopes, intent=intent)
    held = list(left)
    released = [{"id": str(one.budget_id), "scope": one.budget.scope, "released": money(one.remaining)} for one in held]
    if not dry_run:
        for budget in (one for one in entered if one.is_adopted):
            holding.top_up(intent, budget)
        holding.release(held, now=intent.now)
    hours = settings.FORGE_RESERVE_HOURS
    estimated = month_ahead(rate, now=charged_from, lifetime_end=intent.lifetime_end, hours=hours)
    return {
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in entered), default=Decimal(0))),
        **_terms(intent, rate),
        "charged_from": instant(charged_from),
        "budgets": [bound_figures(budget, scopes) for budget in entered],
        "released": released,
    }


def _entered(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind a machine only once it has moved, each needing what it costs from the next hour on."""
    machine, charged_from = _machine(intent), hour_up(intent.now)
    stays: dict[str, Any] = {Budget.Scope.TEAM: machine.team_id, Budget.Scope.PROJECT: machine.project_id}
    bound = binding.read(
        scopes=scopes,
        now=charged_from,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=settings.FORGE_RESERVE_HOURS,
        fees_from=charged_from,
    )
    return [budget for budget in bound if budget.scope in stays and budget.scope_id != stays[budget.scope]]


def _left(intent: Intent) -> QuerySet[Reservation]:
    """What budgets of teams and projects that the machine will not be of hold for it, those of past periods too."""
    other_team = Q(budget__scope=Budget.Scope.TEAM) & ~Q(budget__scope_id=intent.team.id)
    other_project = Q(budget__scope=Budget.Scope.PROJECT)
    if intent.project is not None:
        other_project &= ~Q(budget__scope_id=intent.project.id)
    held = Reservation.objects.live().filter(other_team | other_project, workspace_id=intent.workspace_id)
    return held.select_related("budget").order_by("budget_id")


def _machine(intent: Intent) -> WorkSpace:
    if intent.workspace is None:
        raise TypeError(f"a {intent.kind} is one of a machine")
    return intent.workspace


def _blocks_starts(budget: Bound) -> bool:
    return budget.on_limit == Budget.OnLimit.BLOCK_STARTS
