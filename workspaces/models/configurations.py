"""What machines have been, from modification to modification."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from blueprints.models import BundleType
from forge.accounts.models import Organization, User
from workspaces.models.machines import WorkSpace
from workspaces.resizing import NAMES, Configuration


class ConfigurationChangeQuerySet(models.QuerySet["ConfigurationChange"]):
    def visible_to(self, user: User) -> ConfigurationChangeQuerySet:
        return self.filter(workspace__in=WorkSpace.objects.visible_to(user))


class ConfigurationChange(models.Model):
    """One modification that took effect: what the machine was before it and after it.

    Append-only, and written by PostgreSQL itself whenever the row of a launched machine changes (migration 0005), so
    metering misses none: it prices each hour by what the machine was when the hour began. AWS's limits on changing
    compute types and volumes count from here too.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(
        WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="configuration_changes"
    )
    occurred_at = models.DateTimeField(help_text="Business time: when AWS was seen to have made it.")
    recorded_at = models.DateTimeField(auto_now_add=True)
    before_bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    before_running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    before_auto_stop_timeout_minutes = models.PositiveIntegerField()
    before_root_volume_gb = models.PositiveIntegerField()
    before_user_volume_gb = models.PositiveIntegerField()
    after_bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    after_running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    after_auto_stop_timeout_minutes = models.PositiveIntegerField()
    after_root_volume_gb = models.PositiveIntegerField()
    after_user_volume_gb = models.PositiveIntegerField()

    objects = ConfigurationChangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="workspaces_configurationchange_values_known",
                condition=Q(
                    before_bundle_type__in=BundleType.values,
                    after_bundle_type__in=BundleType.values,
                    before_running_mode__in=["AUTO_STOP", "ALWAYS_ON"],
                    after_running_mode__in=["AUTO_STOP", "ALWAYS_ON"],
                ),
            ),
        ]
        indexes = [models.Index(fields=["workspace", "occurred_at"], name="workspaces_reconfigured")]

    def __str__(self) -> str:
        return f"configuration of {self.workspace_id} at {self.occurred_at:%Y-%m-%d %H:%M}"

    @property
    def before(self) -> Configuration:
        """What the machine was."""
        return Configuration(**{name: getattr(self, f"before_{name}") for name in NAMES})

    @property
    def after(self) -> Configuration:
        """What it has been since."""
        return Configuration(**{name: getattr(self, f"after_{name}") for name in NAMES})
