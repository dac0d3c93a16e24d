"""What the rules read and leave: samples of use, policies, leases, and each decision that was carried out."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from forge.accounts.models import Organization, Team, User
from forge.db.models import TimestampedModel, UUIDModel

MOST_LIFETIME_DAYS = 3650
MOST_KEEP_ALIVE_DAYS = 365


class UsageSample(models.Model):
    """What one source said of the use of a machine at an instant; partitioned by month, without foreign keys.

    A figure that the source did not give is null, which is not the same as idle. CPU and memory are percentages,
    the latency is in milliseconds.
    """

    class Source(models.TextChoices):
        CONNECTION = "CONNECTION", "Connection status"
        CLOUDWATCH = "CLOUDWATCH", "CloudWatch"

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(
        "workspaces.WorkSpace",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="usage_samples",
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    at = models.DateTimeField()
    source = models.CharField(max_length=10, choices=Source.choices)
    connected = models.BooleanField(null=True)
    cpu = models.FloatField(null=True)
    memory = models.FloatField(null=True)
    in_session_latency = models.FloatField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "at", "source"], name="workspaces_usagesample_once"),
            models.CheckConstraint(
                name="workspaces_usagesample_source_known", condition=Q(source__in=["CONNECTION", "CLOUDWATCH"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} {self.at:%Y-%m-%d %H:%M} {self.source}"


class LifecyclePolicyQuerySet(models.QuerySet["LifecyclePolicy"]):
    def visible_to(self, user: User) -> LifecyclePolicyQuerySet:
        """Everybody sees the policies of the organization: they bind everybody's machines."""
        return self if user.is_operator else self.filter(organization_id=user.organization_id)


def _at_most(ceiling: str, least: int, most: int) -> models.CheckConstraint:
    within = Q(**{f"{ceiling}__isnull": True}) | Q(**{f"{ceiling}__gte": least, f"{ceiling}__lte": most})
    return models.CheckConstraint(name=f"workspaces_lifecyclepolicy_{ceiling}_in_range", condition=within)


class LifecyclePolicy(UUIDModel, TimestampedModel):
    """The most that an organization, one of its teams or a family of blueprints allows; empty = no ceiling here."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, related_name="lifecycle_policies"
    )
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="lifecycle_policies"
    )
    blueprint_name = models.CharField(
        max_length=100, blank=True, default="", help_text="Family of blueprints; empty = any."
    )
    idle_minutes = models.PositiveIntegerField(null=True, blank=True, help_text="Longest idle time before a stop.")
    session_hours = models.PositiveIntegerField(null=True, blank=True, help_text="Longest run, used or leased or not.")
    lifetime_days = models.PositiveIntegerField(null=True, blank=True, help_text="Longest lifetime from the launch on.")
    lease_hours = models.PositiveIntegerField(null=True, blank=True, help_text="Longest lease.")
    keep_alive_days = models.PositiveIntegerField(null=True, blank=True, help_text="Longest keep-alive.")
    effective_at = models.DateTimeField(default=timezone.now, help_text="When its ceilings were last changed.")
    lifetime_since = models.DateTimeField(
        default=timezone.now, db_default=Now(), editable=False, help_text="Since when no longer lifetime was allowed."
    )
    lifetime_before = models.JSONField(
        default=list,
        db_default=[],
        editable=False,
        help_text="Longer lifetimes that were allowed before, as days and since when; they end machines still.",
    )
    spread_after = models.UUIDField(null=True, blank=True, editable=False)
    is_spread = models.BooleanField(default=False, editable=False)

    objects = LifecyclePolicyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "lifecycle policies"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "team", "blueprint_name"],
                nulls_distinct=False,
                name="workspaces_lifecyclepolicy_one_per_scope",
            ),
            models.CheckConstraint(
                name="workspaces_lifecyclepolicy_of_one_scope",
                condition=Q(team__isnull=True) | Q(blueprint_name=""),
            ),
            _at_most("idle_minutes", 15, 2880),
            _at_most("session_hours", 1, 8760),
            _at_most("lifetime_days", 1, MOST_LIFETIME_DAYS),
            _at_most("lease_hours", 1, 8760),
            _at_most("keep_alive_days", 1, MOST_KEEP_ALIVE_DAYS),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(is_spread=False), name="workspaces_policy_unspread"),
        ]

    def __str__(self) -> str:
        return self.source

    @property
    def source(self) -> str:
        """Whose ceilings these are, in one word or two."""
        if self.blueprint_name:
            return f"blueprint {self.blueprint_name}"
        return f"team {self.team.slug}" if self.team else "organization"


class WorkLease(UUIDModel):
    """Work that must not be stopped until a time, and why; append-only. The hard deadline holds all the same."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(
        "workspaces.WorkSpace", on_delete=models.PROTECT, db_index=False, related_name="leases"
    )
    until = models.DateTimeField()
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="workspaces_worklease_ends_later", condition=Q(until__gt=F("created_at"))),
            models.CheckConstraint(name="workspaces_worklease_has_reason", condition=~Q(reason="")),
        ]
        indexes = [models.Index(fields=["workspace", "until"], name="workspaces_lease_until")]

    def __str__(self) -> str:
        return f"until {self.until:%Y-%m-%d %H:%M} UTC"


class DecisionQuerySet(models.QuerySet["Decision"]):
    def visible_to(self, user: User) -> DecisionQuerySet:
        """Those about the machines that the person sees."""
        machines = self.model._meta.get_field("workspace").related_model._default_manager  # its module imports this one
        return self.filter(workspace__in=machines.visible_to(user))


class Decision(models.Model):
    """What a rule did to a machine, and from what it concluded that; append-only."""

    class Rule(models.TextChoices):
        IDLE = "idle", "Idle"
        SESSION = "session", "Longest run"
        LIFETIME = "lifetime", "Lifetime"
        STALE = "stale", "Stale"

    class Outcome(models.TextChoices):
        WARNED = "warned", "Warned"
        STOP = "stop", "Stop queued"
        FLAG = "flag", "Flagged as stale"
        TERMINATE = "terminate", "End queued"

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(
        "workspaces.WorkSpace", on_delete=models.PROTECT, db_index=False, related_name="decisions"
    )
    rule = models.CharField(max_length=10, choices=Rule.choices)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    inputs = models.JSONField()
    operation_id = models.UUIDField(null=True, blank=True)
    correlation_id = models.UUIDField()
    decided_at = models.DateTimeField()

    objects = DecisionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="workspaces_decision_rule_known",
                condition=Q(rule__in=["idle", "session", "lifetime", "stale"]),
            ),
            models.CheckConstraint(
                name="workspaces_decision_outcome_known",
                condition=Q(outcome__in=["warned", "stop", "flag", "terminate"]),
            ),
        ]
        indexes = [
            models.Index(F("workspace"), F("decided_at").desc(), F("id").desc(), name="workspaces_decision_of"),
            models.Index(fields=["organization", "id"], name="workspaces_decision_list"),
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.outcome}"
