"""Webhooks as rows: endpoints that people name, what is delivered to them, and each try of it."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from forge.db.models import TimestampedModel, UUIDModel

MONEY = ("budget.", "costs.")
"""How the kinds begin that finance may have delivered."""


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def standing(self) -> WebhookQuerySet:
        """All that are not removed."""
        return self.exclude(state=Webhook.State.REMOVED)

    def visible_to(self, user: Any) -> WebhookQuerySet:
        """Admins and auditors see those of the organization, finance those about money, a lead those of the team."""
        if user.is_operator:
            return self.standing()
        here = self.standing().filter(organization_id=user.organization_id)
        if user.has_role("admin", "auditor"):
            return here
        seen = Q(team_id__in=user.led_team_ids())
        if user.has_role("finance"):
            seen |= Q(team_id=None, is_about_money=True)
        return here.filter(seen)


class Webhook(UUIDModel, TimestampedModel):
    """An address to which an organization has what happens delivered, signed with a secret that is shown once.

    The secrets are kept encrypted (forge.outbox.webhooks.secrets): unlike a password's, their text is needed to sign.
    During a change of secrets the former one signs too, until `former_secret_until`.
    """

    class State(models.TextChoices):
        ON = "ON", "On"
        OFF = "OFF", "Switched off"
        FAILED = "FAILED", "Switched off after long failure"
        REMOVED = "REMOVED", "Removed"

    organization_id = models.UUIDField()
    team_id = models.UUIDField(null=True, blank=True, help_text="Hears only what is about this team; empty = all.")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2000, blank=True)
    kinds = ArrayField(models.CharField(max_length=64), default=list, blank=True, help_text="Empty = every kind.")
    is_about_money = models.BooleanField(default=False, editable=False, help_text="Whether all its kinds are.")
    owner_id = models.UUIDField(null=True, blank=True, help_text="Who made it, and is told when it is switched off.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.ON)
    state_since = models.DateTimeField(default=timezone.now)

    secret = models.BinaryField(blank=True, help_text="Encrypted.")
    former_secret = models.BinaryField(blank=True, default=b"", help_text="Encrypted; empty = none.")
    former_secret_until = models.DateTimeField(null=True, blank=True)

    failures = models.PositiveIntegerField(default=0, help_text="Tries in a row that failed.")
    failing_since = models.DateTimeField(null=True, blank=True)
    rests_until = models.DateTimeField(null=True, blank=True, help_text="After a failure nothing is sent before.")

    objects = WebhookQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization_id", "id"], name="outbox_webhook_org")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["ON", "OFF", "FAILED", "REMOVED"]), name="outbox_webhook_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="REMOVED", url="", secret=b"", former_secret=b"")
                | ~Q(state="REMOVED") & ~Q(url="") & ~Q(secret=b"") & ~Q(name=""),
                name="outbox_webhook_removed_keeps_no_secret",
            ),
            models.CheckConstraint(
                condition=Q(former_secret=b"", former_secret_until__isnull=True)
                | ~Q(former_secret=b"") & Q(former_secret_until__isnull=False),
                name="outbox_webhook_former_secret_ends",
            ),
            models.CheckConstraint(
                condition=Q(failures=0, failing_since__isnull=True) | Q(failures__gt=0, failing_since__isnull=False),
                name="outbox_webhook_failing_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_on(self) -> bool:
        return self.state == self.State.ON

    def hears(self, kind: str, team_id: Any) -> bool:
        """Whether what happened, of that kind and about that team, is delivered here."""
        return (not self.kinds or kind in self.kinds) and self.team_id in (None, team_id)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def visible_to(self, user: Any) -> WebhookDeliveryQuerySet:
        """Those of the webhooks that the person sees."""
        return self.filter(webhook__in=Webhook.objects.visible_to(user).values("id"))


class WebhookDelivery(UUIDModel, TimestampedModel):
    """One thing that happened, for one webhook: committed with it and sent afterwards.

    `body` is what is sent, byte for byte, at every try: ids, figures and times, never a name or an address.
    `due_at` is also the lease of whoever is sending it.
    """

    class State(models.TextChoices):
        DUE = "DUE", "To be sent"
        DELIVERED = "DELIVERED", "Delivered"
        GIVEN_UP = "GIVEN_UP", "Given up"
        WITHDRAWN = "WITHDRAWN", "Not sent any more"

    organization_id = models.UUIDField()
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, db_index=False, related_name="deliveries")
    event_id = models.UUIDField(help_text="Its webhook-id: the same at every try and for every webhook.")
    kind = models.CharField(max_length=64)
    body = models.TextField()
    dedupe_key = models.CharField(max_length=200, help_text="What it tells: written once, whoever writes it.")

    state = models.CharField(max_length=10, choices=State.choices, default=State.DUE)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When to send, or to try again; empty = no more.")
    tried_until = models.DateTimeField(help_text="What fails after this is given up.")
    attempts = models.PositiveIntegerField(default=0, help_text="Tries so far, those of vanished senders too.")
    earlier_attempts = models.PositiveIntegerField(default=0, help_text="Of them, those before it was sent by hand.")
    delivered_at = models.DateTimeField(null=True, blank=True, help_text="When it was last taken.")
    last_error = models.CharField(max_length=300, blank=True, default="")

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="outbox_webhookdelivery_due"),
            models.Index(fields=["organization_id", "id"], name="outbox_webhookdelivery_org"),
            models.Index(fields=["webhook", "id"], name="outbox_webhookdelivery_webhook"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "dedupe_key"], name="outbox_webhookdelivery_once"),
            models.CheckConstraint(
                condition=Q(state__in=["DUE", "DELIVERED", "GIVEN_UP", "WITHDRAWN"]),
                name="outbox_webhookdelivery_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="DUE", due_at__isnull=False) | ~Q(state="DUE") & Q(due_at__isnull=True),
                name="outbox_webhookdelivery_due_while_to_be_sent",
            ),
            models.CheckConstraint(
                condition=~Q(state="DELIVERED") | Q(delivered_at__isnull=False),
                name="outbox_webhookdelivery_delivered_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["GIVEN_UP", "WITHDRAWN"]) | ~Q(last_error=""),
                name="outbox_webhookdelivery_end_says_why",
            ),
            models.CheckConstraint(
                condition=~Q(kind="") & ~Q(body="") & ~Q(dedupe_key=""), name="outbox_webhookdelivery_tells_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class WebhookAttempt(models.Model):
    """One try: when, how long it took, the status of the answer and how its body began, or what went wrong."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, db_index=False, related_name="attempt_rows")
    number = models.PositiveIntegerField()
    began_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Empty = no answer came.")
    error = models.CharField(max_length=300, blank=True, default="")
    excerpt = models.CharField(max_length=200, blank=True, default="", help_text="How the answer's body began.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="outbox_webhookattempt_number"),
            models.CheckConstraint(
                condition=Q(status_code__isnull=False) | ~Q(error=""), name="outbox_webhookattempt_says_what_came"
            ),
        ]

    def __str__(self) -> str:
        return f"try {self.number}"
