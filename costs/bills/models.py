"""The provider's bills: files that were given, what came of each, and what was matched and what was not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from blueprints.models import BundleType
from forge.accounts.models import Membership, Organization, User
from forge.db.models import TimestampedModel, UUIDModel
from forge.db.months import add_months
from workspaces.models import WorkSpace


class OfOrganization(models.QuerySet):
    """Rows of an organization that all of its organization-wide roles see, and nobody else there."""

    def visible_to(self, user: User) -> OfOrganization:
        if user.is_operator:
            return self
        if not user.has_role(*Membership.ORGANIZATION_WIDE):
            return self.none()
        return self.filter(organization_id=user.organization_id)


class Bill(UUIDModel, TimestampedModel):
    """One file of the provider for one UTC month, and how far it is booked.

    Its figures: `lines` of the file are `elsewhere_lines` (accounts and machines of others), tax, `other_lines` (of the
    organization's accounts, naming no machine) and the rest, which name one. Of those `booked_amount` stands in cost
    records now, in place of `metered_amount`; what could not be booked is in its gaps.
    """

    class Format(models.TextChoices):
        CUR = "CUR", "AWS Cost and Usage Report"
        FOCUS = "FOCUS", "FOCUS"

    class State(models.TextChoices):
        READING = "READING", "Reading"
        BOOKING = "BOOKING", "Booking"
        BOOKED = "BOOKED", "Booked"
        FAILED = "FAILED", "Failed"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="bills")
    asked_by_id = models.UUIDField(null=True, blank=True, help_text="Who gave the file; none = a command.")
    operation_id = models.UUIDField(null=True, blank=True, help_text="The operation that books it; none = a command.")
    name = models.CharField(max_length=200, help_text="The file's.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64, help_text="Of the file, hexadecimal.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.READING)
    reading = models.UUIDField(null=True, blank=True, help_text="Who reads it now; another one puts this one out.")
    format = models.CharField(max_length=5, choices=Format.choices, blank=True, default="")
    month = models.DateField(null=True, blank=True, help_text="First day of the UTC month that it is for.")
    accounts = ArrayField(models.CharField(max_length=12), default=list, blank=True, help_text="Those of ours in it.")
    currency = models.CharField(max_length=3, blank=True, default="")
    lines = models.PositiveBigIntegerField(default=0)
    machine_lines = models.PositiveBigIntegerField(default=0, help_text="That name a machine.")
    settled_lines = models.PositiveBigIntegerField(default=0, help_text="Of those, booked or put down as a gap.")
    other_lines = models.PositiveBigIntegerField(default=0)
    elsewhere_lines = models.PositiveBigIntegerField(default=0)
    machine_amount = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    other_amount = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    tax_amount = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    booked_at = models.DateTimeField(null=True, blank=True)
    replaced_at = models.DateTimeField(null=True, blank=True, help_text="When a later bill took its place.")
    error = models.CharField(max_length=500, blank=True, default="")

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "sha256"], condition=~Q(state="FAILED"), name="costs_bill_one_per_file"
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(state__in=["READING", "BOOKING"]),
                name="costs_bill_one_open_per_organization",
            ),
            models.CheckConstraint(
                name="costs_bill_state_known", condition=Q(state__in=["READING", "BOOKING", "BOOKED", "FAILED"])
            ),
            models.CheckConstraint(name="costs_bill_format_known", condition=Q(format__in=["", "CUR", "FOCUS"])),
            models.CheckConstraint(
                name="costs_bill_booked_has_its_facts",
                condition=~Q(state="BOOKED")
                | Q(booked_at__isnull=False, month__isnull=False, settled_lines=F("machine_lines")),
            ),
        ]
        indexes = [models.Index(fields=["organization", "id"], name="costs_bill_list")]

    def __str__(self) -> str:
        return self.name

    @property
    def following_month(self) -> date:
        """The first day after the bill's month, which is known."""
        return add_months(self.month, 1)  # type: ignore[arg-type]


class BillPart(models.Model):
    """A stretch of an uploaded file, until it is booked; `number` counts from 0 without holes."""

    id = models.BigAutoField(primary_key=True)
    bill = models.ForeignKey(Bill, on_delete=models.CASCADE, db_index=False, related_name="parts")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bill", "number"], name="costs_billpart_number")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.bill_id}"


class BillLine(models.Model):
    """A line that names a machine, between reading and booking; the table is not logged and empty in between.

    No foreign key and one index: it takes millions of rows in a minute.
    """

    id = models.BigAutoField(primary_key=True)
    bill_id = models.UUIDField()
    resource = models.TextField()
    machine_id = models.UUIDField(null=True, help_text="Which of ours it is by our id, of several with its AWS id.")
    account = models.TextField()
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    part = models.SmallIntegerField(help_text="costs.bills.formats: compute, storage or transfer.")
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    quantity = models.DecimalField(max_digits=38, decimal_places=18)

    class Meta:
        indexes = [models.Index(fields=["bill_id", "resource"], name="costs_billline_by_resource")]

    def __str__(self) -> str:
        return f"{self.resource} {self.starts:%Y-%m-%d %H:%M} {self.amount}"


class BilledMachine(models.Model):
    """What a machine cost in a bill's month as one bundle type: as metered, and as billed (none = not on the bill)."""

    id = models.BigAutoField(primary_key=True)
    bill = models.ForeignKey(Bill, on_delete=models.CASCADE, db_index=False, related_name="machines")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="+")
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    hours = models.PositiveIntegerField(help_text="Records of the month.")
    metered_cost = models.DecimalField(max_digits=18, decimal_places=6)
    billed_cost = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["bill", "workspace", "bundle_type"], name="costs_billedmachine_one_per_bundle"
            ),
        ]
        indexes = [models.Index(fields=["bill", "id"], name="costs_billedmachine_list")]

    def __str__(self) -> str:
        return f"{self.workspace_id} in {self.bill_id}"

    @property
    def drift(self) -> Decimal | None:
        """Billed beyond metered; none where it is not on the bill."""
        return None if self.billed_cost is None else self.billed_cost - self.metered_cost


class BillGap(models.Model):
    """Lines of a bill that could not be booked, by the machine that they name."""

    class Reason(models.TextChoices):
        UNKNOWN = "UNKNOWN", "No machine of ours has this id"
        NO_RECORDS = "NO_RECORDS", "The machine has no cost records in the month"
        NOT_METERED = "NOT_METERED", "The machine is not metered to the month's end"
        CREDIT = "CREDIT", "Credits beyond the machine's charges of the month"

    id = models.BigAutoField(primary_key=True)
    bill = models.ForeignKey(Bill, on_delete=models.CASCADE, db_index=False, related_name="gaps")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    reason = models.CharField(max_length=11, choices=Reason.choices)
    resource = models.CharField(max_length=255, help_text="The machine's id as the bill has it.")
    account = models.CharField(max_length=12)
    lines = models.PositiveBigIntegerField()
    amount = models.DecimalField(max_digits=18, decimal_places=6)
    first_at = models.DateTimeField(help_text="Start of the first line.")
    last_at = models.DateTimeField(help_text="End of the last line.")

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "resource", "reason"], name="costs_billgap_one_per_resource"),
            models.CheckConstraint(
                name="costs_billgap_reason_known",
                condition=Q(reason__in=["UNKNOWN", "NO_RECORDS", "NOT_METERED", "CREDIT"]),
            ),
        ]
        indexes = [models.Index(fields=["bill", "id"], name="costs_billgap_list")]

    def __str__(self) -> str:
        return f"{self.resource} {self.reason}"
