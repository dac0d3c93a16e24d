"""What the terms of a budget may be: its amount, its owner, its period and how that recurs."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from budgets.models import Budget
from budgets.periods import (
    CUSTOM,
    MONTHS,
    SHORTEST_CUSTOM_HOURS,
    hours_of,
    is_month_start,
    is_whole_hour,
    months_later,
)
from forge.accounts.models import User
from forge.api.errors import Refused

MOST = Decimal("999999999999.999999")
LONGEST = timedelta(days=3660)
MOST_REASON = 500


class UnknownOwner(Refused):
    code = "unknown_owner"
    title = "There is nobody with this email"


class UnknownBudget(Refused):
    code = "unknown_budget"
    title = "There is no such budget"


class AmountOutOfRange(Refused):
    code = "amount_out_of_range"
    title = "The amount does not fit"


class PeriodEndsBeforeItStarts(Refused):
    code = "period_ends_before_it_starts"
    title = "The period ends before it starts"


class PeriodNotWholeHours(Refused):
    code = "period_not_whole_hours"
    title = "A period begins and ends with a UTC hour"


class PeriodTooLong(Refused):
    code = "period_too_long"
    title = "The period is too long"


class PeriodIsOver(Refused):
    code = "period_is_over"
    title = "The period is over"


class PeriodDoesNotRecur(Refused):
    code = "period_does_not_recur"
    title = "This period cannot recur so"


def check_owner(owner: User | None, organization_id: uuid.UUID) -> None:
    """Raises UnknownOwner unless the owner is of the organization, or there is to be none."""
    if owner is not None and owner.organization_id != organization_id:
        raise UnknownOwner("The owner must be somebody of the organization.")


def check_amount(amount: Decimal) -> None:
    """Raises AmountOutOfRange unless the amount is a number from 0 on that can be kept exactly."""
    if not amount.is_finite() or not 0 <= amount <= MOST or amount != round(amount, 6):
        raise AmountOutOfRange(f"An amount is from 0 to {MOST}, with at most 6 places.")


def check_period(*, period_start: datetime, period_end: datetime, recurs: str, now: datetime) -> None:
    """Raises the refusal of a period that cannot be, or that would change nothing any more."""
    if period_end <= period_start:
        raise PeriodEndsBeforeItStarts("`period_end` must lie after `period_start`.")
    if not (is_whole_hour(period_start) and is_whole_hour(period_end)):
        raise PeriodNotWholeHours("`period_start` and `period_end` must be whole UTC hours.")
    if period_end - period_start > LONGEST:
        raise PeriodTooLong(f"A period has at most {LONGEST.days} days.")
    if period_end <= now:
        raise PeriodIsOver("A budget for a period that is over would change nothing.")
    check_recurrence(period_start=period_start, period_end=period_end, recurs=recurs)


def check_recurrence(*, period_start: datetime, period_end: datetime, recurs: str) -> None:
    """Raises PeriodDoesNotRecur unless the period can be followed by others of its kind.

    One that recurs by months ends with a UTC month and is no longer than its recurrence; one that recurs with the
    length that it has lasts a day at least.
    """
    if recurs == CUSTOM and hours_of(period_start, period_end) < SHORTEST_CUSTOM_HOURS:
        raise PeriodDoesNotRecur(f"{recurs}: the period must have at least {SHORTEST_CUSTOM_HOURS} hours.")
    months = MONTHS.get(recurs)
    if months is None:
        return
    if not is_month_start(period_end) or period_start < months_later(period_end, -months):
        raise PeriodDoesNotRecur(
            f"{recurs}: the period must end at 00:00 UTC on the 1st of a month and have at most {months} month(s)."
        )


def check_limit(budget: Budget) -> None:
    """Raises AmountOutOfRange where the budget gives more than it has, or its limit cannot be kept exactly."""
    if budget.amount + budget.transferred < 0:
        raise AmountOutOfRange(f"{-budget.transferred:.6f} of it was moved to other budgets.")
    if budget.limit > MOST:
        raise AmountOutOfRange(f"With what was moved and raised it would pass {MOST}.")
