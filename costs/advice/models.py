"""Advice on what machines cost, what became of it, and what it has saved month by month."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from forge.accounts.models import Membership, Organization, User
from forge.db.models import TimestampedModel, UUIDModel
from workspaces.models import WorkSpace


class AdviceQuerySet(models.QuerySet["Advice"]):
    def visible_to(self, user: User) -> AdviceQuerySet:
        """As with costs: all for organization-wide roles; the own and the team's for leads and engineers; else own."""
        if user.is_operator:
            return self
        rows = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return rows
        seen = (Membership.Role.TEAM_LEAD, Membership.Role.ENGINEER)
        teams = [team for role, team in user.roles if role in seen and team is not None]
        return rows.filter(Q(workspace__owner_id=user.id) | Q(workspace__team_id__in=teams))

    def live(self) -> AdviceQuerySet:
        """Those beside which no other of their kind may stand for the machine."""
        return self.filter(LIVE)

    def counting(self) -> AdviceQuerySet:
        """Accepted ones whose change is awaited, or whose savings are still reckoned."""
        return self.filter(status="ACCEPTED", closed_at__isnull=True)


LIVE = Q(status__in=["OPEN", "SNOOZED", "DISMISSED"]) | Q(status="ACCEPTED", effective_at__isnull=True)


class Advice(UUIDModel, TimestampedModel):
    """One proposal for one machine: what to do, what it saves a month, from what that follows, and what became of it.

    `action` with `changes` is the proposal; `before` is what the machine was. `saving_amount` is of a month of 730
    hours and below 0 where a larger machine is advised. `effective_at` is when the accepted change was seen to be made.
    """

    class Kind(models.TextChoices):
        RIGHT_SIZE = "RIGHT_SIZE", "Right-sizing"
        RUNNING_MODE = "RUNNING_MODE", "Running mode"
        IDLE = "IDLE", "Not used"

    class Action(models.TextChoices):
        MODIFY = "MODIFY", "Modify"
        STOP = "STOP", "Stop"
        TERMINATE = "TERMINATE", "Terminate"

    class Status(models.TextChoices):
        OPEN = "OPEN", "Open"
        ACCEPTED = "ACCEPTED", "Accepted"
        SNOOZED = "SNOOZED", "Snoozed"
        DISMISSED = "DISMISSED", "Dismissed"
        OBSOLETE = "OBSOLETE", "Obsolete"

    class Confidence(models.TextChoices):
        HIGH = "HIGH", "High"
        MEDIUM = "MEDIUM", "Medium"
        LOW = "LOW", "Low"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(WorkSpace, on_delete=models.PROTECT, related_name="advice")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    action = models.CharField(max_length=9, choices=Action.choices)
    changes = models.JSONField(default=dict, blank=True, help_text="Of MODIFY: fields and what they are to become.")
    before = models.JSONField(default=dict, blank=True, help_text="The machine's configuration that it was made for.")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.OPEN)
    reason = models.CharField(max_length=500, blank=True, default="", help_text="Why it has its status.")
    decided_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+",
        help_text="None = it came about by itself.",
    )  # fmt: skip
    decided_at = models.DateTimeField(null=True, blank=True)
    snoozed_until = models.DateTimeField(null=True, blank=True, help_text="Empty = while its reason lasts.")
    saving_amount = models.DecimalField(max_digits=18, decimal_places=6, help_text="A month.")
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    basis = models.CharField(max_length=10, default="ESTIMATED")
    price_ids = ArrayField(models.UUIDField(), help_text="The prices that it was reckoned with.")
    confidence = models.CharField(max_length=6, choices=Confidence.choices)
    evidence = models.JSONField(default=dict)
    possible_at = models.DateTimeField(null=True, blank=True, help_text="From when AWS allows it; empty = now.")
    best_at = models.DateTimeField(
        null=True, blank=True, help_text="When it costs least; empty = the sooner the better."
    )
    confirmed_at = models.DateTimeField(help_text="When it was last found to hold.")
    operation_id = models.UUIDField(null=True, blank=True, help_text="What carries it out.")
    effective_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="To when its savings were reckoned, at last.")

    objects = AdviceQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "advice"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "kind"], condition=LIVE, name="costs_advice_one_live"),
            models.CheckConstraint(
                name="costs_advice_kind_known", condition=Q(kind__in=["RIGHT_SIZE", "RUNNING_MODE", "IDLE"])
            ),
            models.CheckConstraint(
                name="costs_advice_action_known",
                condition=Q(action="MODIFY") & ~Q(changes={}) | Q(action__in=["STOP", "TERMINATE"], changes={}),
            ),
            models.CheckConstraint(
                name="costs_advice_status_known",
                condition=Q(status__in=["OPEN", "ACCEPTED", "SNOOZED", "DISMISSED", "OBSOLETE"]),
            ),
            models.CheckConstraint(
                name="costs_advice_confidence_known", condition=Q(confidence__in=["HIGH", "MEDIUM", "LOW"])
            ),
            models.CheckConstraint(name="costs_advice_is_an_estimate", condition=Q(basis="ESTIMATED")),
            models.CheckConstraint(
                name="costs_advice_decided",
                condition=Q(status="OPEN") | Q(decided_at__isnull=False) & ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="costs_advice_accepted_has_operation",
                condition=~Q(status="ACCEPTED") | Q(operation_id__isnull=False),
            ),
            models.CheckConstraint(
                name="costs_advice_effective_when_accepted",
                condition=Q(effective_at__isnull=True) | Q(status="ACCEPTED"),
            ),
            models.CheckConstraint(
                name="costs_advice_closed_when_effective",
                condition=Q(closed_at__isnull=True) | Q(effective_at__isnull=False),
            ),
        ]  # fmt: skip
        indexes = [
            models.Index("organization", F("created_at").desc(), F("id").desc(), name="costs_advice_list"),
            models.Index(
                fields=["id"], condition=Q(status="ACCEPTED", closed_at__isnull=True), name="costs_advice_counting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.proposal}"

    @property
    def proposal(self) -> str:
        """What to do, in words."""
        if self.action != self.Action.MODIFY:
            return str(self.get_action_display())
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.changes.items())

    def is_decidable(self, now: datetime) -> bool:
        """Whether people may still decide on it."""
        return self.status in (self.Status.OPEN, self.Status.SNOOZED)

    def proposes(self, action: str, changes: dict[str, Any]) -> bool:
        """Whether it is the same proposal: one that was dismissed does not come back."""
        return self.action == action and self.changes == changes


class AdviceSaving(TimestampedModel):
    """What an accepted advice has saved in one UTC month: what its hours would have cost before it, less the booked."""

    id = models.BigAutoField(primary_key=True)
    advice = models.ForeignKey(Advice, on_delete=models.CASCADE, db_index=False, related_name="savings")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    month = models.DateField(help_text="First day of the UTC month.")
    through = models.DateTimeField(help_text="Up to where the month is reckoned.")
    would_have_cost = models.DecimalField(max_digits=18, decimal_places=6)
    booked_cost = models.DecimalField(max_digits=18, decimal_places=6)
    saved_amount = models.DecimalField(max_digits=18, decimal_places=6)
    basis = models.CharField(max_length=10, help_text="METERED where the hours were, else ESTIMATED.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["advice", "month"], name="costs_advicesaving_one_per_month"),
            models.CheckConstraint(
                name="costs_advicesaving_is_the_difference",
                condition=Q(saved_amount=F("would_have_cost") - F("booked_cost")),
            ),
            models.CheckConstraint(
                name="costs_advicesaving_basis_known", condition=Q(basis__in=["METERED", "ESTIMATED"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.saved_amount}"
