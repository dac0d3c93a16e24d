"""Provider accounts, machines and the history of their states.

The two look-ups of the original documents: by person, workspaces_by_owner (owner, state); by team, workspaces_by_team
(team, state). A directory and a role belong to one organization: an exclusion constraint each, on btree_gist, which
db.0001 makes. The API's list walks workspaces_by_organization, the sweep of ends workspaces_due_action.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("blueprints", "0001_initial"),
        ("db", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProviderAccount",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("kind", models.CharField(choices=[("AWS", "AWS"), ("SIMULATOR", "Simulator")], max_length=10)),
                ("account", models.CharField(help_text="AWS account number", max_length=12)),
                ("region", models.CharField(max_length=32)),
                ("role_arn", models.CharField(blank=True, default="", max_length=200)),
                ("directory_id", models.CharField(max_length=32)),
                (
                    "subnets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32), blank=True, default=list, size=None
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provider_accounts",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "name"), name="workspaces_provideraccount_name_unique"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("enabled", True)),
                        fields=("organization", "region"),
                        name="workspaces_provideraccount_one_enabled_per_region",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["AWS", "SIMULATOR"])),
                        name="workspaces_provideraccount_kind_known",
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        expressions=[("region", "="), ("directory_id", "="), ("organization", "<>")],
                        name="workspaces_provideraccount_directory_of_one_organization",
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        condition=models.Q(("role_arn", ""), _negated=True),
                        expressions=[("role_arn", "="), ("organization", "<>")],
                        name="workspaces_provideraccount_role_of_one_organization",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkSpace",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                (
                    "service_type",
                    models.CharField(
                        choices=[
                            ("WORKSPACES_PERSONAL", "WorkSpaces Personal"),
                            ("WORKSPACES_APPLICATIONS", "WorkSpaces Applications"),
                        ],
                        default="WORKSPACES_PERSONAL",
                        max_length=30,
                    ),
                ),
                (
                    "bundle_type",
                    models.CharField(
                        choices=[
                            ("STANDARD", "Standard"),
                            ("PERFORMANCE", "Performance"),
                            ("POWER", "Power"),
                            ("POWERPRO", "PowerPro"),
                            ("GRAPHICS_G4DN", "Graphics.g4dn"),
                            ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "operating_system",
                    models.CharField(choices=[("WINDOWS", "Windows"), ("LINUX", "Linux")], max_length=10),
                ),
                (
                    "running_mode",
                    models.CharField(choices=[("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")], max_length=10),
                ),
                (
                    "application_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("root_volume_gb", models.PositiveIntegerField()),
                ("user_volume_gb", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("AVAILABLE", "Available"),
                            ("STOPPING", "Stopping"),
                            ("STOPPED", "Stopped"),
                            ("STARTING", "Starting"),
                            ("TERMINATING", "Terminating"),
                            ("TERMINATED", "Terminated"),
                            ("FAILED", "Failed"),
                        ],
                        default="PENDING",
                        max_length=12,
                    ),
                ),
                ("state_since", models.DateTimeField()),
                (
                    "launched_at",
                    models.DateTimeField(blank=True, help_text="First AVAILABLE; fees run from here.", null=True),
                ),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                ("terminated_at", models.DateTimeField(blank=True, null=True)),
                ("directory_id", models.CharField(max_length=32)),
                ("directory_user", models.CharField(max_length=63)),
                (
                    "provider_id",
                    models.CharField(blank=True, default="", help_text="AWS WorkspaceId, ws-…", max_length=64),
                ),
                ("provider_state", models.CharField(blank=True, default="", max_length=32)),
                ("health", models.CharField(blank=True, default="", max_length=32)),
                ("region", models.CharField(max_length=32)),
                ("ip_address", models.GenericIPAddressField(blank=True, null=True)),
                ("connection_url", models.CharField(blank=True, max_length=500, null=True)),
                ("protocol", models.CharField(choices=[("DCV", "DCV")], default="DCV", max_length=5)),
                ("domain_joined", models.BooleanField(default=False)),
                (
                    "domain_join_status",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("IN_PROGRESS", "In progress"),
                            ("JOINED", "Joined"),
                            ("RETRY", "Retry"),
                            ("FAILED", "Failed"),
                        ],
                        default="PENDING",
                        max_length=12,
                    ),
                ),
                ("domain_join_attempts", models.PositiveSmallIntegerField(default=0)),
                ("cost_to_date", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("auto_stop_timeout_minutes", models.PositiveIntegerField(default=60)),
                ("max_lifetime_days", models.PositiveIntegerField(default=90)),
                ("last_connected_at", models.DateTimeField(blank=True, null=True)),
                ("keep_alive", models.BooleanField(default=False)),
                ("keep_alive_until", models.DateTimeField(blank=True, null=True)),
                ("keep_alive_reason", models.CharField(blank=True, default="", max_length=500)),
                ("stale_notified_at", models.DateTimeField(blank=True, null=True)),
                ("next_action", models.CharField(blank=True, default="", max_length=20)),
                ("next_action_at", models.DateTimeField(blank=True, null=True)),
                ("tags", models.JSONField(blank=True, default=dict)),
                (
                    "version",
                    models.PositiveIntegerField(
                        default=1, help_text="For ETags; raised by people and operations only."
                    ),
                ),
                (
                    "blueprint",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to="blueprints.blueprint",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to="accounts.organization",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to="accounts.project",
                    ),
                ),
                (
                    "provider_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to="workspaces.provideraccount",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="workspaces",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "verbose_name": "WorkSpace",
                "indexes": [
                    models.Index(models.F("owner"), models.F("state"), name="workspaces_by_owner"),
                    models.Index(models.F("team"), models.F("state"), name="workspaces_by_team"),
                    models.Index(
                        models.F("organization"),
                        models.OrderBy(models.F("created_at"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="workspaces_by_organization",
                    ),
                    models.Index(
                        condition=models.Q(("next_action_at__isnull", False)),
                        fields=["next_action_at"],
                        name="workspaces_due_action",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                [
                                    "PENDING",
                                    "AVAILABLE",
                                    "STOPPING",
                                    "STOPPED",
                                    "STARTING",
                                    "TERMINATING",
                                    "TERMINATED",
                                    "FAILED",
                                ],
                            )
                        ),
                        name="workspaces_workspace_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("service_type__in", ["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"])),
                        name="workspaces_workspace_service_type_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "bundle_type__in",
                                ["STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN"],
                            )
                        ),
                        name="workspaces_workspace_bundle_type_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("operating_system__in", ["WINDOWS", "LINUX"])),
                        name="workspaces_workspace_operating_system_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("running_mode__in", ["AUTO_STOP", "ALWAYS_ON"])),
                        name="workspaces_workspace_running_mode_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("protocol", "DCV")), name="workspaces_workspace_protocol_is_dcv"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("domain_join_status__in", ["PENDING", "IN_PROGRESS", "JOINED", "RETRY", "FAILED"])
                        ),
                        name="workspaces_workspace_domain_join_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("application_ids", []),
                                ("blueprint__isnull", False),
                                ("service_type", "WORKSPACES_PERSONAL"),
                            ),
                            models.Q(
                                ("blueprint__isnull", True),
                                ("service_type", "WORKSPACES_APPLICATIONS"),
                                models.Q(("application_ids", []), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="workspaces_workspace_blueprint_or_applications",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("auto_stop_timeout_minutes__gte", 15), ("auto_stop_timeout_minutes__lte", 2880)
                        ),
                        name="workspaces_workspace_idle_timeout_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("max_lifetime_days__gte", 1), ("max_lifetime_days__lte", 3650)),
                        name="workspaces_workspace_lifetime_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("cost_to_date__gte", 0)), name="workspaces_workspace_cost_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "TERMINATED"), _negated=True),
                            ("terminated_at__isnull", False),
                            _connector="OR",
                        ),
                        name="workspaces_workspace_terminated_has_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("connection_url__isnull", True), ("launched_at__isnull", False), _connector="OR"
                        ),
                        name="workspaces_workspace_url_only_once_available",
                    ),
                    models.UniqueConstraint(
                        models.F("directory_id"),
                        django.db.models.functions.text.Upper("directory_user"),
                        condition=models.Q(("state__in", ["TERMINATED", "FAILED"]), _negated=True),
                        name="workspaces_workspace_one_per_directory_user",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("provider_id", ""), _negated=True),
                        fields=("provider_id",),
                        name="workspaces_workspace_provider_id_unique",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StateChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "from_state",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("PENDING", "Pending"),
                            ("AVAILABLE", "Available"),
                            ("STOPPING", "Stopping"),
                            ("STOPPED", "Stopped"),
                            ("STARTING", "Starting"),
                            ("TERMINATING", "Terminating"),
                            ("TERMINATED", "Terminated"),
                            ("FAILED", "Failed"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                (
                    "to_state",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("AVAILABLE", "Available"),
                            ("STOPPING", "Stopping"),
                            ("STOPPED", "Stopped"),
                            ("STARTING", "Starting"),
                            ("TERMINATING", "Terminating"),
                            ("TERMINATED", "Terminated"),
                            ("FAILED", "Failed"),
                        ],
                        max_length=12,
                    ),
                ),
                ("occurred_at", models.DateTimeField(help_text="Business time: when it happened, as far as known.")),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                ("reason", models.CharField(max_length=200)),
                ("actor_kind", models.CharField(max_length=10)),
                ("actor_id", models.UUIDField(blank=True, null=True)),
                ("correlation_id", models.UUIDField()),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="state_changes",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["workspace", "occurred_at"], name="workspaces_change_timeline")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "to_state__in",
                                [
                                    "PENDING",
                                    "AVAILABLE",
                                    "STOPPING",
                                    "STOPPED",
                                    "STARTING",
                                    "TERMINATING",
                                    "TERMINATED",
                                    "FAILED",
                                ],
                            ),
                            models.Q(
                                ("from_state", ""),
                                (
                                    "from_state__in",
                                    [
                                        "PENDING",
                                        "AVAILABLE",
                                        "STOPPING",
                                        "STOPPED",
                                        "STARTING",
                                        "TERMINATING",
                                        "TERMINATED",
                                        "FAILED",
                                    ],
                                ),
                                _connector="OR",
                            ),
                        ),
                        name="workspaces_statechange_states_known",
                    )
                ],
            },
        ),
    ]
