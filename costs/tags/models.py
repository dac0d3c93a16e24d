"""Tags by which an organization wants its costs summed up, and the sums."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from costs.bills.models import OfOrganization
from forge.accounts.models import Organization
from forge.db.models import TimestampedModel, UUIDModel


class TagKey(UUIDModel, TimestampedModel):
    """A tag's key by which costs are summed up, kept by a trigger of the records (migration 0010).

    What is booked from `fill_before` on is summed as it is booked; earlier days follow, newest first, a day at a time.
    None = all is summed. `since` is the first day that is.
    """

    class State(models.TextChoices):
        FILLING = "FILLING", "The past is being summed up"
        KEPT = "KEPT", "Kept"
        DROPPING = "DROPPING", "Going"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="tag_keys")
    key = models.CharField(max_length=127, help_text="As machines have it, such as cost-center.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.FILLING)
    fill_before = models.DateField(null=True, blank=True, help_text="Days before it are not summed up yet.")
    since = models.DateField(help_text="The first day that is summed up.")

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "key"], name="costs_tagkey_one_per_key"),
            models.CheckConstraint(
                name="costs_tagkey_state_known", condition=Q(state__in=["FILLING", "KEPT", "DROPPING"])
            ),
            models.CheckConstraint(
                name="costs_tagkey_kept_is_filled",
                condition=Q(state="DROPPING")
                | Q(state="KEPT", fill_before__isnull=True)
                | Q(state="FILLING", fill_before__isnull=False),
            ),
            models.CheckConstraint(name="costs_tagkey_key_not_empty", condition=~Q(key="")),
        ]

    def __str__(self) -> str:
        return self.key


class TagCost(models.Model):
    """Sums of the cost records of one UTC day that have one value of a tag; '' = they have not got the tag.

    Every booking adds a row with its differences, so that bookings never wait for each other; these are folded into the
    one row of the sum soon. So a figure is always the sum over all rows of its group, whatever is folded.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=127)
    day = models.DateField()
    value = models.CharField(max_length=256, blank=True)
    basis = models.CharField(max_length=10)
    is_folded = models.BooleanField(help_text="The sum itself; else differences that are still to be added to it.")
    records = models.BigIntegerField(help_text="Cost records in it.")
    billed_hours = models.DecimalField(max_digits=18, decimal_places=6)
    compute_cost = models.DecimalField(max_digits=18, decimal_places=6)
    storage_cost = models.DecimalField(max_digits=18, decimal_places=6)
    data_transfer_cost = models.DecimalField(max_digits=18, decimal_places=6)
    total_cost = models.DecimalField(max_digits=18, decimal_places=6)

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "key", "day", "value", "basis"],
                condition=Q(is_folded=True),
                name="costs_tagcost_one_per_sum",
            ),
            models.CheckConstraint(
                name="costs_tagcost_total_is_the_sum",
                condition=Q(total_cost=F("compute_cost") + F("storage_cost") + F("data_transfer_cost")),
            ),
            models.CheckConstraint(
                name="costs_tagcost_basis_known", condition=Q(basis__in=["ESTIMATED", "METERED", "BILLED"])
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "key", "day"], name="costs_tagcost_by_day"),
            models.Index(fields=["id"], condition=Q(is_folded=False), name="costs_tagcost_unfolded"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.key}={self.value} {self.total_cost}"
