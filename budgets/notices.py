"""Mail about marks: written with the mark in one transaction, sent afterwards, each to one person.

A notice that could not be sent is tried again with growing pauses. It is marked as sent right after the mail server
took it; a crash between the two sends it again, under the same Message-ID, by which mail programs show it once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import Q

from budgets.figures import instant
from budgets.models import LIMIT, Budget, BudgetNotice, BudgetThreshold
from costs.pricing import cents
from forge.accounts.models import Membership, User

logger = logging.getLogger(__name__)

Role = Membership.Role
MAX_FAILURES = 12
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
MAIL_HOST = "forge.invalid"
"""Right side of Message-IDs: ours alone, and no host's name leaves the house by it."""


def write(*, budget: Budget, threshold: BudgetThreshold, now: datetime) -> list[BudgetNotice]:
    """Owe a mail about a fired threshold to everybody whom it concerns."""
    return BudgetNotice.objects.bulk_create(
        BudgetNotice(
            organization_id=budget.organization_id,
            threshold=threshold,
            recipient=person,
            fired_at=now,
            spent=budget.spent,
            due_at=now,
        )
        for person in recipients(budget)
    )


def recipients(budget: Budget) -> Sequence[User]:
    """The budget's owner; else the leads of its team, or of its person's teams; else finance; else the admins."""
    people = User.objects.filter(organization_id=budget.organization_id, is_active=True).order_by("id")
    candidates = [people.filter(id=budget.owner_id) if budget.owner_id else people.none()]
    if budget.scope == Budget.Scope.TEAM:
        candidates.append(people.filter(_leads([budget.scope_id])))
    if budget.scope == Budget.Scope.USER:
        teams = Membership.objects.filter(user_id=budget.scope_id, team__isnull=False).values("team_id")
        candidates.append(people.filter(_leads(teams)).distinct())
    candidates += [people.filter(memberships__role=role) for role in (Role.FINANCE, Role.ADMIN)]
    return next((found for found in map(list, candidates) if found), [])


def due(*, now: datetime) -> bool:
    """True when there is a notice to send."""
    return BudgetNotice.objects.filter(due_at__lte=now).exists()


def send(*, now: datetime) -> dict[str, int]:
    """Send what is due, one transaction per mail; any number of senders may run: {sent, failed, given_up}."""
    figures = {"sent": 0, "failed": 0, "given_up": 0}
    with get_connection() as mail:
        while (outcome := _send_next(mail, now)) is not None:
            figures[outcome] += 1
    return figures


def _send_next(mail: BaseEmailBackend, now: datetime) -> str | None:
    with transaction.atomic():
        notice = (
            BudgetNotice.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("threshold__budget__organization", "recipient")
            .filter(due_at__lte=now)
            .order_by("due_at", "id")
            .first()
        )
        if notice is None:
            return None
        message = message_of(notice, mail)
        try:
            message.send()
        except Exception:
            # Backends of providers raise exceptions of their own kinds; one notice must not keep the others waiting.
            logger.exception("Notice %s was not sent", notice.id)
            outcome = _failed(notice, now)
        else:
            notice.sent_at, notice.due_at = now, None
            outcome = "sent"
        notice.save(update_fields=["sent_at", "due_at", "failures", "updated_at"])
    return outcome


def _failed(notice: BudgetNotice, now: datetime) -> str:
    notice.failures += 1
    pause = min(FIRST_PAUSE * 2 ** (notice.failures - 1), LONGEST_PAUSE)
    notice.due_at = now + pause if notice.failures < MAX_FAILURES else None
    return "failed" if notice.due_at else "given_up"


def message_of(notice: BudgetNotice, mail: BaseEmailBackend | None = None) -> EmailMessage:
    """The mail that a notice stands for."""
    threshold, budget = notice.threshold, notice.threshold.budget
    named = Budget.objects.with_scope_name().get(pk=budget.pk)
    name = named.scope_name  # type: ignore[attr-defined]  # annotated above
    what = f"{budget.get_scope_display().lower()} budget of {name}"
    reached = "is used up" if threshold.fraction >= LIMIT else f"has passed {threshold.fraction:.0%}"
    currency = budget.organization.currency
    lines = [
        f"The {what} {reached}.",
        "",
        f"Amount   {cents(budget.amount)} {currency}",
        f"Spent    {cents(notice.spent)} {currency}",
        f"Period   {instant(budget.period_start)} to {instant(budget.period_end)}",
        f"At       {instant(notice.fired_at)}",
        "",
        _consequence(threshold, budget),
    ]
    return EmailMessage(
        subject=f"Forge: the {what} {reached}",
        body="\n".join(lines) + "\n",
        to=[notice.recipient.email],
        headers={"Message-ID": f"<budget-notice-{notice.id}@{MAIL_HOST}>"},
        connection=mail,
    )


def _consequence(threshold: BudgetThreshold, budget: Budget) -> str:
    if threshold.fraction < LIMIT:
        return "Nothing is blocked yet. At 100 % no launch is admitted any more."
    if budget.on_limit == Budget.OnLimit.BLOCK_STARTS:
        return "Launches and starts are refused until the amount is raised or the period ends; machines go on running."
    return "Launches are refused until the amount is raised or the period ends; machines go on running."


def _leads(teams: object) -> Q:
    return Q(memberships__role=Role.TEAM_LEAD, memberships__team_id__in=teams)
