"""Base models, the two tables of work that happens by itself (JobRun, JobSwitch), and the months that were archived."""

from django.db import models
from django.utils import timezone

from forge.db.ids import uuid7


class UUIDModel(models.Model):
    """A row with an address: its id is a UUIDv7."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True


class TimestampedModel(models.Model):
    """A row that changes; `queryset.update()` must set `updated_at` itself."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class JobRun(models.Model):
    """One run of a job in one slot of its schedule; the unique slot is what makes two beats harmless."""

    class Outcome(models.TextChoices):
        RUNNING = "RUNNING"
        SUCCEEDED = "SUCCEEDED"
        FAILED = "FAILED"
        PAUSED = "PAUSED"
        LOST = "LOST"

    id = models.BigAutoField(primary_key=True)
    job = models.CharField(max_length=100)
    slot = models.DateTimeField(help_text="Start of the slot of the schedule that this run claimed.")
    attempt = models.PositiveIntegerField(default=1)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.RUNNING)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    figures = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "slot"], name="db_jobrun_job_slot"),
            models.CheckConstraint(
                condition=models.Q(outcome__in=["RUNNING", "SUCCEEDED", "FAILED", "PAUSED", "LOST"]),
                name="db_jobrun_outcome",
            ),
            models.CheckConstraint(
                condition=~models.Q(outcome="SUCCEEDED") | models.Q(finished_at__isnull=False),
                name="db_jobrun_success_is_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.slot:%Y-%m-%d %H:%M:%S}"


class JobSwitch(UUIDModel, TimestampedModel):
    """Pauses a job: without an organization for all, with one there. A pause for all holds whatever the others say."""

    job = models.CharField(max_length=100)
    organization_id = models.UUIDField(null=True, blank=True)
    is_paused = models.BooleanField(default=True)
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        verbose_name_plural = "job switches"
        constraints = [
            models.UniqueConstraint(
                fields=["job", "organization_id"], name="db_jobswitch_job_organization", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job}: {'paused' if self.is_paused else 'on'}"


class ArchivedMonth(models.Model):
    """A month that has left its table, or is about to: the row commits before the month is touched.

    Its facts are set once: a trigger refuses to change or delete them (migration 0002). Whether the month's rows are
    still in the database is said by the catalogue (forge.db.detached), not by the state. Receipts are those of the
    audit entries that committed together with the state.
    """

    class State(models.TextChoices):
        DETACHED = "DETACHED"
        EXPORTED = "EXPORTED"
        DROPPED = "DROPPED"

    id = models.BigAutoField(primary_key=True)
    table = models.CharField(max_length=63)
    month = models.DateField(help_text="Its first day.")
    partition = models.CharField(max_length=63, help_text="The table that held the month.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DETACHED)
    detached_at = models.DateTimeField()
    exported_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True, help_text="When the copy was last found to be right.")
    dropped_at = models.DateTimeField(null=True, blank=True)
    rows = models.PositiveBigIntegerField(null=True, blank=True)
    location = models.TextField(blank=True, default="", help_text="Address of the archive and path in it.")
    manifest_sha256 = models.CharField(max_length=64, blank=True, default="")
    drop_receipt = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["table", "month"], name="db_archivedmonth_once"),
            models.CheckConstraint(
                condition=models.Q(state="DETACHED", exported_at=None, dropped_at=None)
                | models.Q(state="EXPORTED", exported_at__isnull=False, dropped_at=None)
                | models.Q(state="DROPPED", exported_at__isnull=False, dropped_at__isnull=False),
                name="db_archivedmonth_state_has_its_times",
            ),
            models.CheckConstraint(
                condition=models.Q(exported_at=None)
                | models.Q(rows__isnull=False, verified_at__isnull=False, manifest_sha256__regex=r"^[0-9a-f]{64}$"),
                name="db_archivedmonth_exported_has_a_copy",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.table} {self.month:%Y-%m} {self.state}"
