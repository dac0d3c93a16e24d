"""What may be spent: limits per person, team, project and organization, and their marks."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeBoundary, RangeOperators
from django.db import models
from django.db.models import Case, CharField, Count, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Cast, Coalesce

from costs.expressions import HourOf, Period
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.db.models import TimestampedModel, UUIDModel

WARNING = Decimal("0.80")
LIMIT = Decimal("1.00")
FRACTIONS = (WARNING, LIMIT)
"""The thresholds that every budget has from the start."""
MOST_FRACTION = Decimal(2)
MOST_THRESHOLDS = 10


class BudgetQuerySet(models.QuerySet["Budget"]):
    def visible_to(self, user: User) -> BudgetQuerySet:
        """All for organization-wide roles; else one's own, one's teams' (not as contractor), a lead's people's."""
        if user.is_operator:
            return self
        budgets = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return budgets
        seen = (Membership.Role.ENGINEER, Membership.Role.TEAM_LEAD)
        teams = [team for role, team in user.roles if role in seen and team is not None]
        people = Membership.objects.filter(team__in=user.led_team_ids()).values("user_id")
        return budgets.filter(
            Q(scope=Budget.Scope.USER, scope_id=user.id)
            | Q(scope=Budget.Scope.TEAM, scope_id__in=teams)
            | Q(scope=Budget.Scope.USER, scope_id__in=people)
        )

    def of(self, scope: str, scope_id: uuid.UUID) -> BudgetQuerySet:
        """The budgets of one scope."""
        return self.filter(scope=scope, scope_id=scope_id)

    def binding(self, at: datetime) -> BudgetQuerySet:
        """Active budgets whose period holds `at`."""
        return self.filter(is_active=True, period_start__lte=at, period_end__gt=at)

    def with_scope_name(self) -> BudgetQuerySet:
        """Each with `scope_name`: the slug of its team, project or organization, the email of its person."""
        return self.annotate(
            scope_name=Case(
                When(scope=Budget.Scope.USER, then=_named(User.objects, "email")),
                When(scope=Budget.Scope.TEAM, then=_named(Team.objects, "slug")),
                When(scope=Budget.Scope.PROJECT, then=_named(Project.objects, "slug")),
                When(scope=Budget.Scope.ORGANIZATION, then=_named(Organization.objects, "slug")),
                default=Value(""),
                output_field=CharField(),
            )
        )

    def with_limit(self) -> BudgetQuerySet:
        """Each with `effective`: its `limit`, to compare with and to order by."""
        return self.annotate(effective=F("amount") + F("transferred") + F("raised"))

    def with_holders(self) -> BudgetQuerySet:
        """Each with `holders`: how many machines hold money in it."""
        reservations: Any = self.model._meta.get_field("reservations").related_model  # its module imports this one
        held = reservations.objects.live().filter(budget=OuterRef("pk")).order_by().values("budget")
        return self.annotate(holders=Coalesce(Subquery(held.annotate(n=Count("*")).values("n")), 0))


class Budget(UUIDModel, TimestampedModel):
    """How much one person, team, project or organization may spend in a period, and how much of it is gone or held.

    `spent` and `reserved` are kept by budgets.ledger alone: spent is the sum of the scope's cost records in the period,
    reserved the sum of what its reservations still hold. Both count only once the budget is adopted. What holds is the
    `limit`: the amount, what was transferred to it from others (below 0: to others), and its raises that have not
    ended.
    """

    class Scope(models.TextChoices):
        USER = "USER", "User"
        TEAM = "TEAM", "Team"
        PROJECT = "PROJECT", "Project"
        ORGANIZATION = "ORGANIZATION", "Organization"

    class Recurs(models.TextChoices):
        NONE = "NONE", "No"
        MONTHLY = "MONTHLY", "Monthly"
        QUARTERLY = "QUARTERLY", "Quarterly"
        CUSTOM = "CUSTOM", "With the same length"

    class OnLimit(models.TextChoices):
        BLOCK_LAUNCHES = "BLOCK_LAUNCHES", "Refuse launches"
        BLOCK_STARTS = "BLOCK_STARTS", "Refuse launches and starts"
        STOP_IDLE = "STOP_IDLE", "Refuse launches, stop idle machines"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="budgets")
    scope = models.CharField(max_length=12, choices=Scope.choices)
    scope_id = models.UUIDField(help_text="Id of the person, team, project or organization.")
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+",
        help_text="Who is told of its marks, beside the team's leads and finance.",
    )  # fmt: skip
    set_by = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+",
        help_text="Who set it, or the one whose row it carries on; none = a command.",
    )  # fmt: skip
    amount = models.DecimalField(max_digits=18, decimal_places=6)
    transferred = models.DecimalField(
        max_digits=18, decimal_places=6, default=0, db_default=0,
        help_text="Moved to it from other budgets in this period; below 0 = moved to others.",
    )  # fmt: skip
    raised = models.DecimalField(
        max_digits=18, decimal_places=6, default=0, db_default=0, help_text="Sum of its raises that have not ended."
    )
    period_start = models.DateTimeField(help_text="A whole UTC hour; the period is half-open.")
    period_end = models.DateTimeField(help_text="A whole UTC hour.")
    recurs = models.CharField(max_length=10, choices=Recurs.choices, default=Recurs.NONE)
    recurs_hours = models.PositiveIntegerField(
        null=True, blank=True, help_text="Length of the next periods of one that recurs with the same length."
    )
    renewed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a row of its own carried on; empty = the next period is looked after."
    )
    renews = models.ForeignKey(
        "self", on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="renewals",
        help_text="The recurring budget that wrote this row; empty = set by somebody.",
    )  # fmt: skip
    on_limit = models.CharField(max_length=16, choices=OnLimit.choices, default=OnLimit.BLOCK_LAUNCHES)
    is_active = models.BooleanField(default=True)
    adopted_at = models.DateTimeField(
        null=True, blank=True, help_text="When spent and reserved were first taken over; empty = admits nothing yet."
    )
    spent = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    reserved = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    version = models.PositiveIntegerField(default=1, db_default=1, help_text="For ETags; raised by people alone.")

    objects = BudgetQuerySet.as_manager()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="budgets_budget_periods_do_not_overlap",
                expressions=[
                    # As text, so that look-ups by the column go by the B-tree, which is many times faster.
                    (Cast("scope_id", models.TextField()), RangeOperators.EQUAL),
                    ("scope", RangeOperators.EQUAL),
                    (Period("period_start", "period_end", RangeBoundary()), RangeOperators.OVERLAPS),
                ],
                condition=Q(is_active=True),
            ),
            models.UniqueConstraint(
                fields=["scope_id", "scope", "period_start"],
                condition=Q(is_active=True),
                name="budgets_budget_one_per_scope_and_start",
            ),
            models.CheckConstraint(name="budgets_budget_amount_not_negative", condition=Q(amount__gte=0)),
            models.CheckConstraint(name="budgets_budget_spent_not_negative", condition=Q(spent__gte=0)),
            models.CheckConstraint(name="budgets_budget_reserved_not_negative", condition=Q(reserved__gte=0)),
            models.CheckConstraint(
                name="budgets_budget_ends_after_it_starts", condition=Q(period_end__gt=F("period_start"))
            ),
            models.CheckConstraint(
                name="budgets_budget_bounds_are_whole_hours",
                condition=Q(period_start=HourOf("period_start"), period_end=HourOf("period_end")),
            ),
            models.CheckConstraint(
                name="budgets_budget_scope_known", condition=Q(scope__in=["USER", "TEAM", "PROJECT", "ORGANIZATION"])
            ),
            models.CheckConstraint(
                name="budgets_budget_organization_is_its_scope",
                condition=~Q(scope="ORGANIZATION") | Q(scope_id=F("organization")),
            ),
            models.CheckConstraint(
                name="budgets_budget_recurs_known",
                condition=Q(recurs__in=["NONE", "MONTHLY", "QUARTERLY", "CUSTOM"]),
            ),
            models.CheckConstraint(
                name="budgets_budget_only_custom_has_hours",
                condition=Q(recurs="CUSTOM", recurs_hours__gte=24) | ~Q(recurs="CUSTOM") & Q(recurs_hours__isnull=True),
            ),
            models.CheckConstraint(name="budgets_budget_raised_not_negative", condition=Q(raised__gte=0)),
            models.CheckConstraint(
                name="budgets_budget_gives_no_more_than_it_has", condition=Q(amount__gte=-F("transferred"))
            ),
            models.CheckConstraint(
                name="budgets_budget_on_limit_known",
                condition=Q(on_limit__in=["BLOCK_LAUNCHES", "BLOCK_STARTS", "STOP_IDLE"]),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "period_start", "id"], name="budgets_by_organization"),
            models.Index(fields=["period_end"], condition=Q(is_active=True), name="budgets_by_end"),
            models.Index(
                fields=["period_start"],
                condition=Q(is_active=True, adopted_at__isnull=True),
                name="budgets_to_adopt",
            ),
            models.Index(
                fields=["period_end"],
                condition=Q(is_active=True, renewed_at__isnull=True) & ~Q(recurs="NONE"),
                name="budgets_to_renew",
            ),
            models.Index(fields=["renews"], condition=Q(renews__isnull=False), name="budgets_by_renewed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} budget {self.period_start:%Y-%m-%d} to {self.period_end:%Y-%m-%d}"

    @property
    def limit(self) -> Decimal:
        """What may be spent and held: the amount, with what was transferred and raised."""
        return self.amount + self.transferred + self.raised

    @property
    def remaining(self) -> Decimal:
        """What a launch could still reserve."""
        return max(self.limit - self.spent - self.reserved, Decimal(0))

    @property
    def overrun(self) -> Decimal:
        """By how much the spending has passed the limit; reserved money is no overrun."""
        return max(self.spent - self.limit, Decimal(0))

    @property
    def utilization(self) -> Decimal | None:
        """Spent as a fraction of the limit, at 4 places; None where the limit is 0."""
        return (self.spent / self.limit).quantize(Decimal("0.0001")) if self.limit else None

    @property
    def warning(self) -> BudgetThreshold | None:
        """Its first threshold below the whole limit; None without one."""
        below = [threshold for threshold in self.thresholds.all() if threshold.fraction < LIMIT]
        return min(below, key=lambda threshold: threshold.fraction, default=None)

    @property
    def is_warning_reached(self) -> bool:
        """True from its first threshold on, 80 % where nobody chose another; a limit of 0 is reached from the start."""
        first = self.warning
        return self.spent >= (first.fraction if first else LIMIT) * self.limit

    @property
    def is_limit_reached(self) -> bool:
        """True from 100 % spent on."""
        return self.spent >= self.limit

    @property
    def is_used_up(self) -> bool:
        """The same without what is raised for a time."""
        return self.spent >= self.amount + self.transferred


class BudgetThreshold(UUIDModel, TimestampedModel):
    """A fraction of a budget's limit that is told of when the spending reaches it, once per period."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, db_index=False, related_name="thresholds")
    fraction = models.DecimalField(max_digits=5, decimal_places=4)
    fired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "fraction"], name="budgets_budgetthreshold_one_per_fraction"),
            models.CheckConstraint(
                name="budgets_budgetthreshold_fraction_in_range", condition=Q(fraction__gt=0, fraction__lte=2)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fraction:.0%}"


def _named(rows: models.Manager[Any], column: str) -> Subquery:
    return Subquery(rows.filter(id=OuterRef("scope_id")).values(column)[:1])
