"""Machines that AWS shows in a directory of ours and that no row of ours describes.

At most one standing row per machine; a row that is gone or adopted stays as history.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import forge.db.ids

VERDICTS = [
    ("ADOPTABLE", "Adoptable"),
    ("TEAM_UNCLEAR", "Adoptable with a team"),
    ("NO_OWNER", "Nobody has this directory user name"),
    ("OWNER_HAS_MACHINE", "The person has another machine"),
    ("NOT_OFFERED", "A kind that is not offered"),
    ("NOT_SETTLED", "Neither running nor stopped"),
]


def _to(model, *, name="+", null=False, index=False):
    return models.ForeignKey(
        db_index=index, null=null, on_delete=django.db.models.deletion.PROTECT, related_name=name, to=model
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0003_callallowance"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="UnmanagedMachine",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("provider_id", models.CharField(max_length=64)),
                ("directory_id", models.CharField(max_length=32)),
                ("directory_user", models.CharField(max_length=63)),
                ("bundle_id", models.CharField(max_length=64)),
                ("bundle_type", models.CharField(help_text="AWS's ComputeTypeName.", max_length=32)),
                (
                    "operating_system",
                    models.CharField(blank=True, default="", help_text="AWS's OperatingSystemName.", max_length=32),
                ),
                ("running_mode", models.CharField(max_length=32)),
                ("root_volume_gb", models.PositiveIntegerField()),
                ("user_volume_gb", models.PositiveIntegerField()),
                ("auto_stop_minutes", models.PositiveIntegerField(default=0)),
                ("provider_state", models.CharField(max_length=32)),
                ("tags", models.JSONField(blank=True, default=dict)),
                ("is_orphan", models.BooleanField(default=False)),
                ("verdict", models.CharField(choices=VERDICTS, default="NOT_SETTLED", max_length=20)),
                ("first_seen_at", models.DateTimeField()),
                ("gone_at", models.DateTimeField(help_text="When AWS no longer showed it.", null=True)),
                ("adopted_at", models.DateTimeField(null=True)),
                ("operation_id", models.UUIDField(help_text="The operation that adopted it.", null=True)),
                ("organization", _to("accounts.organization")),
                ("owner", _to(settings.AUTH_USER_MODEL, null=True)),
                ("provider_account", _to("workspaces.provideraccount", name="unmanaged_machines")),
                ("team", _to("accounts.team", null=True)),
                (
                    "workspace",
                    models.OneToOneField(
                        help_text="What it became.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adopted_from",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        "organization",
                        F("first_seen_at").desc(),
                        F("id").desc(),
                        name="workspaces_unmanaged_list",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(adopted_at__isnull=True, gone_at__isnull=True),
                        fields=("provider_account", "provider_id"),
                        name="workspaces_unmanagedmachine_once",
                    ),
                    models.CheckConstraint(
                        condition=Q(verdict__in=[name for name, _ in VERDICTS]),
                        name="workspaces_unmanagedmachine_verdict_known",
                    ),
                    models.CheckConstraint(
                        condition=Q(adopted_at__isnull=True, workspace__isnull=True)
                        | Q(adopted_at__isnull=False, workspace__isnull=False),
                        name="workspaces_unmanagedmachine_adopted_whole",
                    ),
                    models.CheckConstraint(
                        condition=~Q(verdict="ADOPTABLE") | Q(owner__isnull=False, team__isnull=False),
                        name="workspaces_unmanagedmachine_adoptable_has_owner",
                    ),
                ],
            },
        ),
    ]
