"""Reports that were issued, and who gets them by mail; what a report is of, in words."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Round

from forge.accounts.models import Membership, Organization, Team, User
from forge.db.models import TimestampedModel, UUIDModel


class ReportKind(models.TextChoices):
    """SHOWBACK shows all costs to those who caused them; CHARGEBACK says what is booked on whom, and what on nobody."""

    SHOWBACK = "SHOWBACK", "Showback"
    CHARGEBACK = "CHARGEBACK", "Chargeback"


class ReportBy(models.TextChoices):
    """What the lines of a report stand for."""

    TEAM = "team", "team"
    PROJECT = "project", "project"
    COST_CENTER = "cost_center", "cost center"
    USER = "user", "person"


class ReportFormat(models.TextChoices):
    CSV = "csv", "CSV"
    JSON = "json", "JSON"
    PDF = "pdf", "PDF"


CHARGED = (ReportBy.PROJECT, ReportBy.COST_CENTER)
"""What costs are charged to: teams and people cause them, projects and cost centers bear them."""

_KNOWN = Q(kind="SHOWBACK", by__in=["team", "project", "cost_center", "user"]) | Q(
    kind="CHARGEBACK", by__in=["project", "cost_center"]
)


class OfScope(models.QuerySet):
    """Rows of a whole organization (team null) or of one of its teams."""

    def visible_to(self, user: User) -> OfScope:
        """All of the organization for its organization-wide roles; the team's for its leads."""
        if user.is_operator:
            return self
        rows = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return rows
        return rows.filter(team_id__in=user.led_team_ids())


class IssuedReport(UUIDModel):
    """A report as it left the house: what it was of, what it came to, and which bytes it was; append-only.

    `amount` is the total as it was shown, `total_cost` what was rounded. `previous` is the last report of the same
    month and scope, issued when the month was over, that came to another amount: so this one corrects it.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+",
        help_text="Whose costs alone; none = the whole organization's.",
    )  # fmt: skip
    kind = models.CharField(max_length=10, choices=ReportKind.choices)
    by = models.CharField(max_length=11, choices=ReportBy.choices, help_text="What its lines stand for.")
    month = models.DateField(help_text="First day of the UTC month that it is of.")
    format = models.CharField(max_length=4, choices=ReportFormat.choices)
    is_provisional = models.BooleanField(help_text="The month was not over, or not metered to its end.")
    metered_through = models.DateTimeField(help_text="Up to here everything was metered.")
    currency = models.CharField(max_length=3)
    total_cost = models.DecimalField(max_digits=18, decimal_places=6)
    amount = models.DecimalField(max_digits=18, decimal_places=2, help_text="The total as it was shown.")
    groups = models.PositiveIntegerField(help_text="How many teams, projects, cost centers or people cost something.")
    previous = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+",
        help_text="The earlier report that it corrects.",
    )  # fmt: skip
    size = models.PositiveBigIntegerField(help_text="Bytes of the file.")
    sha256 = models.CharField(max_length=64, help_text="Of the file, hexadecimal.")
    is_scheduled = models.BooleanField(default=False, help_text="It went by mail to those who subscribe to it.")
    issued_by_id = models.UUIDField(null=True, blank=True, help_text="Who had it made; none = a job or a command.")
    issued_at = models.DateTimeField()

    objects = OfScope.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "month", "team", "kind", "by", "is_provisional"],
                condition=Q(is_scheduled=True),
                nulls_distinct=False,
                name="costs_issuedreport_mailed_once",
            ),
            models.CheckConstraint(name="costs_issuedreport_kind_and_by_known", condition=_KNOWN),
            models.CheckConstraint(
                name="costs_issuedreport_format_known", condition=Q(format__in=["csv", "json", "pdf"])
            ),
            models.CheckConstraint(name="costs_issuedreport_of_a_month", condition=Q(month__day=1)),
            models.CheckConstraint(
                name="costs_issuedreport_amount_is_the_total_in_cents",
                condition=Q(amount=Round("total_cost", precision=2), total_cost__gte=0),
            ),
            models.CheckConstraint(
                name="costs_issuedreport_sha256_is_one", condition=Q(sha256__regex=r"^[0-9a-f]{64}$")
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "month", "team", "issued_at"], name="costs_issuedreport_by_month"),
            models.Index(fields=["organization", "id"], name="costs_issuedreport_list"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.month:%Y-%m} by {self.get_by_display()}"


class ReportFile(models.Model):
    """The bytes of a report that goes by mail, until `kept_until`: what names people does not stay."""

    report = models.OneToOneField(IssuedReport, on_delete=models.PROTECT, primary_key=True, related_name="file")
    content = models.BinaryField()
    kept_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"file of {self.report_id}"


class OwnSubscriptions(models.QuerySet):
    def visible_to(self, user: User) -> OwnSubscriptions:
        """The own ones; admins and auditors see all of the organization."""
        if user.is_operator:
            return self
        rows = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return rows
        return rows.filter(user_id=user.id)


class ReportSubscription(UUIDModel, TimestampedModel):
    """A person gets this report by mail on the 1st, of the month before."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+",
        help_text="The team's costs alone; none = the whole organization's.",
    )  # fmt: skip
    kind = models.CharField(max_length=10, choices=ReportKind.choices, default=ReportKind.SHOWBACK)
    by = models.CharField(max_length=11, choices=ReportBy.choices, help_text="What its lines stand for.")
    served_month = models.DateField(
        null=True, blank=True, help_text="The latest month of which it was sent, or was not the person's to get."
    )

    objects = OwnSubscriptions.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "team", "kind", "by"],
                nulls_distinct=False,
                name="costs_reportsubscription_once_per_person",
            ),
            models.CheckConstraint(name="costs_reportsubscription_kind_and_by_known", condition=_KNOWN),
        ]
        indexes = [
            models.Index(
                fields=["organization", "team", "kind", "by", "served_month"], name="costs_reportsubscription_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.get_by_display()}"
