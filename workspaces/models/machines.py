"""Machines, and every state that they passed through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper

from blueprints.models import Blueprint, BundleType, OperatingSystem
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.db.models import TimestampedModel, UUIDModel
from forge.db.prefixes import searched
from workspaces.capabilities import CAPABILITIES, Capabilities
from workspaces.lifecycle import LIVE_STATES, State
from workspaces.models.providers import ProviderAccount

NEVER = datetime.max.replace(tzinfo=UTC)
"""Stands for an end that nobody knows where instants are compared."""


def kept_alive(now: datetime) -> Q:
    """What machines are protected from automatic ends at `now`; a keep-alive without an end lasts."""
    return Q(keep_alive=True) & (Q(keep_alive_until__isnull=True) | Q(keep_alive_until__gt=now))


class WorkSpaceQuerySet(models.QuerySet["WorkSpace"]):
    def visible_to(self, user: User) -> WorkSpaceQuerySet:
        """Organization-wide roles see all machines, a lead the team's and the own, others the own."""
        if user.is_operator:
            return self
        machines = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return machines
        return machines.filter(Q(owner_id=user.id) | Q(team_id__in=user.led_team_ids()))

    def live(self) -> WorkSpaceQuerySet:
        """Machines that are neither TERMINATED nor FAILED."""
        return self.filter(state__in=LIVE_STATES)

    def with_names(self) -> WorkSpaceQuerySet:
        """With the rows that a list of machines names and reckons by; of the blueprint without its long texts."""
        texts = ("blueprint__software_manifest", "blueprint__configuration", "blueprint__description")
        return self.select_related("owner", "team", "project", "organization", "blueprint").defer(*texts)


class WorkSpace(UUIDModel, TimestampedModel):
    """One cloud workstation, from the wish for it to its end."""

    class ServiceType(models.TextChoices):
        PERSONAL = "WORKSPACES_PERSONAL", "WorkSpaces Personal"
        APPLICATIONS = "WORKSPACES_APPLICATIONS", "WorkSpaces Applications"

    class RunningMode(models.TextChoices):
        AUTO_STOP = "AUTO_STOP", "AutoStop"
        ALWAYS_ON = "ALWAYS_ON", "AlwaysOn"

    class Protocol(models.TextChoices):
        DCV = "DCV", "DCV"

    class DomainJoin(models.TextChoices):
        PENDING = "PENDING", "Pending"
        IN_PROGRESS = "IN_PROGRESS", "In progress"
        JOINED = "JOINED", "Joined"
        RETRY = "RETRY", "Retry"
        FAILED = "FAILED", "Failed"

    class Signal(models.TextChoices):
        CONNECTED = "connected", "A person was connected"
        CPU = "cpu", "The CPU was busy"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="workspaces")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="workspaces")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, db_index=False, related_name="workspaces")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="workspaces")
    name = models.CharField(max_length=100)
    search_name = searched("name", max_length=100)
    service_type = models.CharField(max_length=30, choices=ServiceType.choices, default=ServiceType.PERSONAL)
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    operating_system = models.CharField(max_length=10, choices=OperatingSystem.choices)
    running_mode = models.CharField(max_length=10, choices=RunningMode.choices)
    blueprint = models.ForeignKey(Blueprint, on_delete=models.PROTECT, null=True, blank=True, related_name="workspaces")
    application_ids = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    root_volume_gb = models.PositiveIntegerField()
    user_volume_gb = models.PositiveIntegerField()
    configured_at = models.DateTimeField(
        null=True, blank=True, help_text="Business time of the last change to the five facts above; none = as launched."
    )
    mode_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Business time of the last change of the running mode; none = as launched.",
    )

    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    state_since = models.DateTimeField()
    launched_at = models.DateTimeField(null=True, blank=True, help_text="First AVAILABLE; fees run from here.")
    stopped_at = models.DateTimeField(null=True, blank=True)
    terminated_at = models.DateTimeField(null=True, blank=True)

    provider_account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, related_name="workspaces")
    directory_id = models.CharField(max_length=100, help_text="Of Applications the stack.")
    directory_user = models.CharField(max_length=128, help_text="Of Applications the user of the user pool.")
    provider_id = models.CharField(
        max_length=255, blank=True, default="", help_text="AWS WorkspaceId, ws-…; of Applications stack/user."
    )
    aws_account = models.CharField(
        max_length=12,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Number of the AWS account in which it was made; empty = that of its provider account.",
    )
    provider_state = models.CharField(max_length=32, blank=True, default="")
    health = models.CharField(max_length=32, blank=True, default="")
    region = models.CharField(max_length=32)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    connection_url = models.CharField(max_length=500, null=True, blank=True)  # noqa: DJ001 - null until AVAILABLE
    protocol = models.CharField(max_length=5, choices=Protocol.choices, default=Protocol.DCV)
    domain_joined = models.BooleanField(default=False)
    domain_join_status = models.CharField(max_length=12, choices=DomainJoin.choices, default=DomainJoin.PENDING)
    domain_join_attempts = models.PositiveSmallIntegerField(default=0)

    cost_to_date = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    auto_stop_timeout_minutes = models.PositiveIntegerField(default=60)
    max_lifetime_days = models.PositiveIntegerField(default=90)
    last_connected_at = models.DateTimeField(null=True, blank=True)
    keep_alive = models.BooleanField(default=False)
    keep_alive_until = models.DateTimeField(null=True, blank=True)
    let_go_at = models.DateTimeField(
        null=True, blank=True, help_text="When somebody took a keep-alive away; its end is warned of anew since then."
    )
    keep_alive_reason = models.CharField(max_length=500, blank=True, default="")
    stale_notified_at = models.DateTimeField(null=True, blank=True)
    last_activity_at = models.DateTimeField(null=True, blank=True, help_text="Newest sign of use that was sampled.")
    last_signal = models.CharField(max_length=10, blank=True, default="", db_default="", choices=Signal.choices)
    next_action = models.CharField(max_length=20, blank=True, default="")
    next_action_at = models.DateTimeField(null=True, blank=True)
    quarantined_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when nobody may use it: its owner is switched off. Empty = in use."
    )
    next_rule = models.CharField(max_length=10, blank=True, default="", db_default="")
    warn_at = models.DateTimeField(null=True, blank=True, help_text="When the next warning falls due.")
    stop_warned_at = models.DateTimeField(null=True, blank=True)
    end_warned_at = models.DateTimeField(null=True, blank=True)
    put_off_until = models.DateTimeField(null=True, blank=True, help_text="No rule flags or ends it before.")
    stop_put_off_until = models.DateTimeField(null=True, blank=True, help_text="No rule stops it before.")
    is_unreckoned = models.BooleanField(
        default=True, db_default=True, editable=False, help_text="Something changed that its next action follows from."
    )
    tags = models.JSONField(default=dict, blank=True, help_text="People's own; Forge's are workspaces.tagging.wanted.")
    attributed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Business time of the last change of owner, team, project or tags; none = as launched.",
    )
    auto_stop_asked_minutes = models.PositiveIntegerField(
        null=True,
        help_text="AutoStop time that AWS is asked for because of a work lease, until it shows what is wanted.",
    )
    applied_tags = models.JSONField(
        default=dict, db_default={}, blank=True, editable=False, help_text="What Forge wrote to the machine in AWS."
    )
    tags_applied_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When AWS was first seen to show the wanted tags."
    )
    version = models.PositiveIntegerField(default=1, help_text="For ETags; raised by people and operations only.")

    objects = WorkSpaceQuerySet.as_manager()

    class Meta:
        verbose_name = "WorkSpace"
        constraints = [
            models.CheckConstraint(
                name="workspaces_workspace_state_known",
                condition=Q(state__in=State.values),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_service_type_known",
                condition=Q(service_type__in=["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"]),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_bundle_type_known", condition=Q(bundle_type__in=BundleType.values)
            ),
            models.CheckConstraint(
                name="workspaces_workspace_operating_system_known",
                condition=Q(operating_system__in=["WINDOWS", "LINUX"]),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_running_mode_known",
                condition=Q(running_mode__in=["AUTO_STOP", "ALWAYS_ON"]),
            ),
            models.CheckConstraint(name="workspaces_workspace_protocol_is_dcv", condition=Q(protocol="DCV")),
            models.CheckConstraint(
                name="workspaces_workspace_domain_join_status_known",
                condition=Q(domain_join_status__in=["PENDING", "IN_PROGRESS", "JOINED", "RETRY", "FAILED"]),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_blueprint_or_applications",
                condition=Q(service_type="WORKSPACES_PERSONAL", blueprint__isnull=False, application_ids=[])
                | Q(service_type="WORKSPACES_APPLICATIONS", blueprint__isnull=True) & ~Q(application_ids=[]),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_applications_have_no_running_mode",
                condition=Q(service_type="WORKSPACES_PERSONAL") | Q(running_mode="AUTO_STOP"),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_idle_timeout_in_range",
                condition=Q(auto_stop_timeout_minutes__gte=15, auto_stop_timeout_minutes__lte=2880),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_lifetime_in_range",
                condition=Q(max_lifetime_days__gte=1, max_lifetime_days__lte=3650),
            ),
            models.CheckConstraint(name="workspaces_workspace_cost_not_negative", condition=Q(cost_to_date__gte=0)),
            models.CheckConstraint(
                name="workspaces_workspace_last_signal_known", condition=Q(last_signal__in=["", "connected", "cpu"])
            ),
            models.CheckConstraint(
                name="workspaces_workspace_terminated_has_time",
                condition=~Q(state="TERMINATED") | Q(terminated_at__isnull=False),
            ),
            models.CheckConstraint(
                name="workspaces_workspace_url_only_once_available",
                condition=Q(connection_url__isnull=True) | Q(launched_at__isnull=False),
            ),
            models.UniqueConstraint(
                "directory_id",
                Upper("directory_user"),
                "region",
                condition=~Q(state__in=["TERMINATED", "FAILED"]),
                name="workspaces_workspace_one_per_directory_user",
            ),
            models.UniqueConstraint(
                F("provider_id"),  # named as a field it would give the read-only `state` a default in the API's schema
                condition=Q(service_type="WORKSPACES_PERSONAL")
                & ~Q(provider_id="")
                & ~Q(state__in=["TERMINATED", "FAILED"]),
                name="workspaces_workspace_provider_id_unique",
            ),
        ]
        indexes = [
            models.Index("owner", "state", name="workspaces_by_owner"),
            models.Index("team", "state", name="workspaces_by_team"),
            models.Index("organization", F("created_at").desc(), F("id").desc(), name="workspaces_by_organization"),
            models.Index("provider_id", "organization", name="workspaces_by_provider_id"),  # ended ones too
            models.Index("search_name", "organization", name="workspaces_by_name"),  # operators look into all
            models.Index(
                fields=["next_action_at"], condition=Q(next_action_at__isnull=False), name="workspaces_due_action"
            ),
            models.Index(fields=["warn_at"], condition=Q(warn_at__isnull=False), name="workspaces_due_warning"),
            models.Index(fields=["id"], condition=Q(is_unreckoned=True), name="workspaces_unreckoned"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def capabilities(self) -> Capabilities:
        """What the machine's service can do with it."""
        return CAPABILITIES[self.service_type]

    @property
    def is_live(self) -> bool:
        """True while the machine may still exist."""
        return self.state in LIVE_STATES

    def is_kept_alive(self, now: datetime) -> bool:
        """True while no rule may end it: `kept_alive` for one row."""
        return self.keep_alive and (self.keep_alive_until is None or self.keep_alive_until > now)

    @property
    def lifetime_end(self) -> datetime:
        """When the machine's agreed lifetime is over, counted from the wish for it."""
        return self.created_at + timedelta(days=self.max_lifetime_days)

    def lives_until(self, now: datetime) -> datetime:
        """Until when it lives as far as is known: to the end of its lifetime, or of its keep-alive if that is later.

        NEVER where neither has an end, or the machine lives past it. `costs_lives_until` says the same in SQL.
        """
        kept = (self.keep_alive_until or NEVER) if self.keep_alive else self.lifetime_end
        until = max(self.lifetime_end, kept)
        return until if until > now else NEVER


class StateChangeQuerySet(models.QuerySet["StateChange"]):
    def visible_to(self, user: User) -> StateChangeQuerySet:
        return self.filter(workspace__in=WorkSpace.objects.visible_to(user))


class StateChange(models.Model):
    """One move of a machine from a state to another; append-only, and what metering reads."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="state_changes")
    from_state = models.CharField(max_length=12, choices=State.choices, blank=True, default="")
    to_state = models.CharField(max_length=12, choices=State.choices)
    occurred_at = models.DateTimeField(help_text="Business time: when it happened, as far as known.")
    recorded_at = models.DateTimeField(auto_now_add=True)
    reason = models.CharField(max_length=200)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.UUIDField(null=True, blank=True)
    correlation_id = models.UUIDField()

    objects = StateChangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="workspaces_statechange_states_known",
                condition=Q(to_state__in=State.values) & (Q(from_state="") | Q(from_state__in=State.values)),
            ),
        ]
        indexes = [models.Index(fields=["workspace", "occurred_at"], name="workspaces_change_timeline")]

    def __str__(self) -> str:
        return f"{self.from_state or '—'} → {self.to_state}"
