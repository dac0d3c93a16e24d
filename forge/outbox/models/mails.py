"""Mail as rows: whom it goes to, what it tells, when it is due and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from forge.db.models import TimestampedModel, UUIDModel


class MailQuerySet(models.QuerySet["Mail"]):
    def visible_to(self, user: Any) -> MailQuerySet:
        """Admins and auditors see those of the organization, others what was sent to themselves."""
        if user.is_operator:
            return self
        here = self.filter(organization_id=user.organization_id)
        return here if user.has_role("admin", "auditor") else here.filter(recipient_id=user.id)

    def due(self, now: datetime) -> MailQuerySet:
        """What is to be sent at `now`, longest waiting first; with what a sender that vanished has left."""
        return self.filter(due_at__lte=now).order_by("due_at", "id")


class Mail(UUIDModel, TimestampedModel):
    """One mail to one person, committed with what it tells and sent afterwards.

    `facts` hold ids, figures and times and never a name or an address: those are looked up when it is sent, so what a
    mail says of people is forgotten with them. `due_at` is also the lease of whoever is sending it.
    """

    class State(models.TextChoices):
        DUE = "DUE", "To be sent"
        SENT = "SENT", "Sent"
        GIVEN_UP = "GIVEN_UP", "Given up"
        WITHDRAWN = "WITHDRAWN", "Not sent any more"

    organization_id = models.UUIDField()
    recipient_id = models.UUIDField(help_text="Who gets it; the address is looked up when it is sent.")
    kind = models.CharField(max_length=64)
    facts = models.JSONField(default=dict, blank=True)
    target_type = models.CharField(max_length=64, help_text="What it is about.")
    target_id = models.UUIDField()
    correlation_id = models.UUIDField(null=True, blank=True)
    dedupe_key = models.CharField(max_length=200, help_text="What it tells to whom: written once, whoever writes it.")
    message_id = models.CharField(max_length=200, help_text="Its Message-ID, the same at every try.")

    state = models.CharField(max_length=10, choices=State.choices, default=State.DUE)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When to send, or to try again; empty = no more.")
    useless_after = models.DateTimeField(null=True, blank=True, help_text="After this it tells nobody anything.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Tries so far, those of vanished senders too.")
    last_error = models.TextField(blank=True, default="")
    withdrawn_because = models.CharField(max_length=200, blank=True, default="")
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = MailQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "mail"
        indexes = [
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="outbox_mail_due"),
            models.Index(fields=["organization_id", "id"], name="outbox_mail_org"),
            models.Index(fields=["recipient_id", "id"], name="outbox_mail_recipient"),
            models.Index(fields=["target_id", "id"], name="outbox_mail_target"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["dedupe_key"], name="outbox_mail_written_once"),
            models.CheckConstraint(
                condition=Q(state__in=["DUE", "SENT", "GIVEN_UP", "WITHDRAWN"]), name="outbox_mail_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="DUE", due_at__isnull=False) | ~Q(state="DUE") & Q(due_at__isnull=True),
                name="outbox_mail_due_while_to_be_sent",
            ),
            models.CheckConstraint(
                condition=Q(state="SENT", sent_at__isnull=False) | ~Q(state="SENT") & Q(sent_at__isnull=True),
                name="outbox_mail_sent_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="WITHDRAWN") | ~Q(withdrawn_because=""), name="outbox_mail_withdrawn_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(state="GIVEN_UP") | ~Q(last_error=""), name="outbox_mail_given_up_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(kind="") & ~Q(target_type="") & ~Q(message_id="") & ~Q(dedupe_key=""),
                name="outbox_mail_kind_and_target_named",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_retryable(self) -> bool:
        """Whether somebody may ask for another round of tries."""
        return self.state == self.State.GIVEN_UP
