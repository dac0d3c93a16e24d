"""What machines cost: the price book, one record per machine and UTC hour, daily sums, and how far metering is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeBoundary, RangeOperators
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Now

from blueprints.models import Blueprint, BundleType, OperatingSystem
from costs import pricing
from costs.advice.models import Advice as Advice
from costs.advice.models import AdviceSaving as AdviceSaving
from costs.attribution import CostCenterChange as CostCenterChange
from costs.bills.models import Bill as Bill
from costs.bills.models import BilledMachine as BilledMachine
from costs.bills.models import BillGap as BillGap
from costs.bills.models import BillLine as BillLine
from costs.bills.models import BillPart as BillPart
from costs.expressions import NO_ORGANIZATION, HourOf, Period
from costs.marks import MeterMark as MeterMark
from costs.proof.models import BookFault as BookFault
from costs.showback.models import IssuedReport as IssuedReport
from costs.showback.models import ReportFile as ReportFile
from costs.showback.models import ReportSubscription as ReportSubscription
from costs.tags.models import TagCost as TagCost
from costs.tags.models import TagKey as TagKey
from costs.totals.models import DailyTotal as DailyTotal
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.db.models import TimestampedModel, UUIDModel
from workspaces.models import WorkSpace


class Basis(models.TextChoices):
    """How a figure came about: foreseen, from the machine's states and the price book, or from the provider's bill."""

    ESTIMATED = "ESTIMATED", "Estimated"
    METERED = "METERED", "Metered"
    BILLED = "BILLED", "Billed"


class PriceQuerySet(models.QuerySet["Price"]):
    def visible_to(self, user: User) -> PriceQuerySet:
        """The prices for all and those of the person's own organization."""
        if user.is_operator:
            return self
        return self.filter(Q(organization__isnull=True) | Q(organization_id=user.organization_id))

    def in_force(self, at: datetime) -> PriceQuerySet:
        """Prices whose period holds `at`."""
        return self.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=at), valid_from__lte=at)


class Price(UUIDModel, TimestampedModel):
    """What one kind of machine costs from `valid_from` until `valid_to`; an organization's own price wins there.

    One that a correction has withdrawn is in force at no time: its period is empty, valid_to = valid_from.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="prices", help_text="None = all."
    )
    service_type = models.CharField(
        max_length=30, choices=WorkSpace.ServiceType.choices, default=WorkSpace.ServiceType.PERSONAL
    )
    region = models.CharField(max_length=32)
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    operating_system = models.CharField(max_length=10, choices=OperatingSystem.choices)
    running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    monthly_amount = models.DecimalField(max_digits=18, decimal_places=6, help_text="Fixed fee of a UTC month.")
    hourly_amount = models.DecimalField(
        max_digits=18, decimal_places=6, default=0, help_text="Per started hour; 0 for AlwaysOn."
    )
    storage_gb_month_amount = models.DecimalField(
        max_digits=18,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Per GB and month beyond what is included; empty = not known.",
    )
    included_storage_gb = models.PositiveIntegerField(default=0, help_text="Root and user volume together.")
    transfer_gb_amount = models.DecimalField(max_digits=18, decimal_places=6, default=0, help_text="Per GB.")
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    source = models.CharField(max_length=300, help_text="Where the figures were read.")
    as_of = models.DateField(help_text="When they were read there.")
    valid_from = models.DateTimeField(help_text="A whole UTC hour.")
    valid_to = models.DateTimeField(null=True, blank=True, help_text="A whole UTC hour; empty = until further notice.")

    objects = PriceQuerySet.as_manager()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="costs_price_no_two_at_once",
                expressions=[
                    (
                        Coalesce("organization", Value(NO_ORGANIZATION, output_field=models.UUIDField())),
                        RangeOperators.EQUAL,
                    ),
                    ("service_type", RangeOperators.EQUAL),
                    ("region", RangeOperators.EQUAL),
                    ("bundle_type", RangeOperators.EQUAL),
                    ("operating_system", RangeOperators.EQUAL),
                    ("running_mode", RangeOperators.EQUAL),
                    ("currency", RangeOperators.EQUAL),
                    (Period("valid_from", "valid_to", RangeBoundary()), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                name="costs_price_amounts_not_negative",
                condition=Q(
                    monthly_amount__gte=0,
                    hourly_amount__gte=0,
                    storage_gb_month_amount__gte=0,
                    transfer_gb_amount__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="costs_price_no_hours_when_always_on", condition=~Q(running_mode="ALWAYS_ON") | Q(hourly_amount=0)
            ),
            models.CheckConstraint(
                name="costs_price_period_not_backwards",
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
            ),
            models.CheckConstraint(name="costs_price_currency_is_iso4217", condition=Q(currency__regex=r"^[A-Z]{3}$")),
            models.CheckConstraint(
                name="costs_price_bundle_type_known", condition=Q(bundle_type__in=BundleType.values)
            ),
            models.CheckConstraint(
                name="costs_price_operating_system_known", condition=Q(operating_system__in=["WINDOWS", "LINUX"])
            ),
            models.CheckConstraint(
                name="costs_price_running_mode_known", condition=Q(running_mode__in=["AUTO_STOP", "ALWAYS_ON"])
            ),
            models.CheckConstraint(
                name="costs_price_service_type_known",
                condition=Q(service_type__in=["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"]),
            ),
            models.CheckConstraint(
                name="costs_price_applications_have_no_running_mode",
                condition=Q(service_type="WORKSPACES_PERSONAL") | Q(running_mode="AUTO_STOP"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service_type} {self.bundle_type} {self.operating_system} {self.running_mode} in {self.region}"

    def storage_fee(self, gb: int) -> Decimal:
        """The monthly fee of so many GB of volumes; nothing for what is beyond where the price of that is not known."""
        return pricing.storage_fee(gb, self.included_storage_gb, self.storage_gb_month_amount or Decimal(0))

    def prices_storage(self, gb: int) -> bool:
        """Whether it is known what so many GB cost."""
        return self.storage_gb_month_amount is not None or gb <= self.included_storage_gb

    def is_in_force(self, at: datetime) -> bool:
        """Whether its period holds `at`: `in_force` for one row."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    @property
    def stale_at(self) -> datetime:
        """The hour from which nobody has read this price for too long (FORGE_PRICE_STALE_DAYS)."""
        read = datetime(self.as_of.year, self.as_of.month, self.as_of.day, tzinfo=UTC)
        return read + timedelta(days=settings.FORGE_PRICE_STALE_DAYS)

    @property
    def is_withdrawn(self) -> bool:
        """Whether a correction has taken the place of the whole price."""
        return self.valid_to == self.valid_from


def _unconstrained(to: type[models.Model], **options: Any) -> models.ForeignKey:
    """A foreign key of the ORM without one in the database.

    The keys are copied from the machine's own row, whose keys are checked; on rows by the hour the checks cost 3.5
    times the insert and lock the parents whenever a partition is added.
    """
    return models.ForeignKey(to, on_delete=models.PROTECT, db_constraint=False, db_index=False, **options)


def costs_seen_by(user: User, *, owner: str = "user_id") -> Q:
    """Whose costs a person sees: all for organization-wide roles; the own and the team's for leads and engineers; else
    the own. `owner` is the column of who is charged: machines have another one than costs.
    """
    if user.is_operator:
        return Q()
    own = Q(organization_id=user.organization_id)
    if user.has_role(*Membership.ORGANIZATION_WIDE):
        return own
    seen = (Membership.Role.TEAM_LEAD, Membership.Role.ENGINEER)
    teams = [team for role, team in user.roles if role in seen and team is not None]
    return own & (Q(**{owner: user.id}) | Q(team_id__in=teams))


class VisibleCosts(models.QuerySet):
    """Rows with an organization, a user and a team, of which a person sees the own, and some the team's or all."""

    def visible_to(self, user: User) -> VisibleCosts:
        """What costs_seen_by says."""
        return self.filter(costs_seen_by(user))


class CostRecord(models.Model):
    """What one machine cost in one UTC hour, with everything it belonged to as it was then; partitioned by month."""

    id = models.BigAutoField(primary_key=True)
    workspace = _unconstrained(WorkSpace, related_name="cost_records")
    organization = _unconstrained(Organization, related_name="+")
    user = _unconstrained(User, related_name="+")
    team = _unconstrained(Team, related_name="+")
    project = _unconstrained(Project, null=True, blank=True, related_name="+")
    blueprint = _unconstrained(Blueprint, null=True, blank=True, related_name="+")
    price = _unconstrained(Price, related_name="+")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), help_text="When the row was made; never changes.")
    running_seconds = models.DecimalField(max_digits=10, decimal_places=6, default=0)
    billed_hours = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    storage_gb = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    data_transfer_gb = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    compute_cost = models.DecimalField(max_digits=18, decimal_places=6)
    storage_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    data_transfer_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    total_cost = models.DecimalField(max_digits=18, decimal_places=6)
    currency = models.CharField(max_length=3)
    basis = models.CharField(max_length=10, choices=Basis.choices, default=Basis.METERED)
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    region = models.CharField(max_length=32)
    running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    cost_center = models.CharField(max_length=100, blank=True, default="")
    tags = models.JSONField(default=dict, blank=True)

    objects = VisibleCosts.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "period_start"], name="costs_costrecord_one_per_hour"),
            models.CheckConstraint(
                name="costs_costrecord_is_one_utc_hour",
                condition=Q(period_start=HourOf("period_start"), period_end=F("period_start") + timedelta(hours=1)),
            ),
            models.CheckConstraint(
                name="costs_costrecord_total_is_the_sum",
                condition=Q(total_cost=F("compute_cost") + F("storage_cost") + F("data_transfer_cost")),
            ),
            models.CheckConstraint(
                name="costs_costrecord_figures_not_negative",
                condition=Q(
                    compute_cost__gte=0,
                    storage_cost__gte=0,
                    data_transfer_cost__gte=0,
                    billed_hours__gte=0,
                    running_seconds__gte=0,
                    running_seconds__lte=3600,
                ),
            ),
            models.CheckConstraint(
                name="costs_costrecord_basis_known", condition=Q(basis__in=["ESTIMATED", "METERED", "BILLED"])
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "user", "period_start"], name="costs_record_by_user"),
            models.Index(fields=["organization", "team", "period_start"], name="costs_record_by_team"),
            models.Index(fields=["organization", "period_start", "id"], name="costs_record_by_hour"),
            BrinIndex(fields=["period_end", "recorded_at"], name="costs_record_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} {self.period_start:%Y-%m-%d %H:00}"


class CostRevision(models.Model):
    """What a cost record was and became when a corrected price or a bill changed it; append-only.

    A record is known by machine and hour: PostgreSQL takes no foreign key to rows of a table that is partitioned and
    whose months leave. Figures are those of the whole record; prices and bases say why they differ.
    """

    id = models.BigAutoField(primary_key=True)
    organization = _unconstrained(Organization, related_name="+")
    workspace = _unconstrained(WorkSpace, related_name="+")
    user = _unconstrained(User, related_name="+")
    team = _unconstrained(Team, related_name="+")
    period_start = models.DateTimeField()
    old_price = _unconstrained(Price, related_name="+")
    new_price = _unconstrained(Price, related_name="+")
    old_compute_cost = models.DecimalField(max_digits=18, decimal_places=6)
    new_compute_cost = models.DecimalField(max_digits=18, decimal_places=6)
    old_storage_cost = models.DecimalField(max_digits=18, decimal_places=6)
    new_storage_cost = models.DecimalField(max_digits=18, decimal_places=6)
    old_total_cost = models.DecimalField(max_digits=18, decimal_places=6)
    new_total_cost = models.DecimalField(max_digits=18, decimal_places=6)
    currency = models.CharField(max_length=3)
    old_basis = models.CharField(max_length=10, choices=Basis.choices)
    new_basis = models.CharField(max_length=10, choices=Basis.choices)
    reason = models.TextField()
    actor_id = models.UUIDField(
        null=True, blank=True, help_text="Who corrected the price or gave the bill; none for commands and jobs."
    )
    operation_id = models.UUIDField()
    recorded_at = models.DateTimeField(db_default=Now())

    objects = VisibleCosts.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "recorded_at", "id"], name="costs_revision_by_time"),
            models.Index(fields=["workspace", "period_start"], name="costs_revision_by_record"),
            models.Index(fields=["operation_id"], name="costs_revision_by_operation"),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} {self.period_start:%Y-%m-%d %H:00}"


class DailyCost(TimestampedModel):
    """The sum of the cost records of one UTC day that agree in everything that costs are grouped by."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    organization = _unconstrained(Organization, related_name="+")
    user = _unconstrained(User, related_name="+")
    team = _unconstrained(Team, related_name="+")
    project = _unconstrained(Project, null=True, blank=True, related_name="+")
    blueprint = _unconstrained(Blueprint, null=True, blank=True, related_name="+")
    cost_center = models.CharField(max_length=100, blank=True, default="")
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    region = models.CharField(max_length=32)
    running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    basis = models.CharField(max_length=10, choices=Basis.choices, default=Basis.METERED)
    billed_hours = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    compute_cost = models.DecimalField(max_digits=18, decimal_places=6)
    storage_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    data_transfer_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    total_cost = models.DecimalField(max_digits=18, decimal_places=6)

    objects = VisibleCosts.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization",
                    "day",
                    "team",
                    "user",
                    "project",
                    "blueprint",
                    "cost_center",
                    "bundle_type",
                    "region",
                    "running_mode",
                    "basis",
                ],
                nulls_distinct=False,
                name="costs_dailycost_one_per_group",
            ),
            models.CheckConstraint(
                name="costs_dailycost_total_is_the_sum",
                condition=Q(total_cost=F("compute_cost") + F("storage_cost") + F("data_transfer_cost")),
            ),
            models.CheckConstraint(
                name="costs_dailycost_basis_known", condition=Q(basis__in=["ESTIMATED", "METERED", "BILLED"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.bundle_type} {self.total_cost}"
