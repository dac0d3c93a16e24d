"""API tokens of people and services."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from forge.accounts.models.people import Membership, Organization, User
from forge.db.models import TimestampedModel, UUIDModel


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def visible_to(self, user: User) -> ApiTokenQuerySet:
        """One's own; admins and auditors see all of the organization's, leads their contractors' and engineers'."""
        if user.is_operator:
            return self
        tokens = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return tokens
        return tokens.filter(Q(user_id=user.id) | Q(user_id__in=user.managed_user_ids()))


class ApiToken(UUIDModel, TimestampedModel):
    """A bearer token: its secret is shown once and kept only as SHA-256."""

    class Interface(models.TextChoices):
        PORTAL = "PORTAL", "Portal"
        CLI = "CLI", "CLI"
        LUCY = "LUCY", "Lucy"
        API = "API", "API"

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="api_tokens"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    secret_hash = models.BinaryField(max_length=32)
    interface = models.CharField(max_length=10, choices=Interface.choices, default=Interface.API)
    scopes = models.JSONField(default=list, help_text="read, write; empty = all that the person may do.")
    networks = ArrayField(
        models.CharField(max_length=43),
        default=list,
        db_default=[],
        blank=True,
        help_text="Networks (CIDR) from which it may be used; empty = from everywhere.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="Written at most once a minute.")

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prefix"], name="accounts_apitoken_prefix_unique"),
            models.CheckConstraint(
                name="accounts_apitoken_networks_are_cidr",
                condition=models.Func(
                    models.F("networks"),
                    template="%(expressions)s::cidr[] IS NOT NULL",  # what is no network is refused by the cast
                    output_field=models.BooleanField(),
                ),
            ),
            models.CheckConstraint(
                name="accounts_apitoken_interface_known", condition=Q(interface__in=["PORTAL", "CLI", "LUCY", "API"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_live(self, now: Any) -> bool:
        """True while neither revoked nor past its end."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
