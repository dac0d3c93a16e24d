"""Stacks that can be streamed from, and room for machines of WorkSpaces Applications.

A machine of that service is a user of a stack. The name of the stack stands in the directory's place, that of the user
is an email address, and both together are its id in AWS, which a later machine of the same person bears again. So ids
are unique among machines of WorkSpaces Personal only, and one live machine per user is reckoned by region, because
names of stacks repeat there. Going back fails while a value is longer than its old column.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("blueprints", "0002_published_is_immutable"),
        ("workspaces", "0005_configuration_changes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApplicationStack",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("fleet_name", models.CharField(max_length=100)),
                ("fleet_type", models.CharField(max_length=20)),
                ("fleet_state", models.CharField(max_length=20)),
                ("instance_type", models.CharField(max_length=50)),
                (
                    "bundle_type",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("STANDARD", "Standard"),
                            ("PERFORMANCE", "Performance"),
                            ("POWER", "Power"),
                            ("POWERPRO", "PowerPro"),
                            ("GRAPHICS_G4DN", "Graphics.g4dn"),
                            ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
                        ],
                        default="",
                        help_text="Empty: as large as no bundle.",
                        max_length=20,
                    ),
                ),
                (
                    "operating_system",
                    models.CharField(choices=[("WINDOWS", "Windows"), ("LINUX", "Linux")], max_length=10),
                ),
                (
                    "application_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                (
                    "is_offered",
                    models.BooleanField(
                        default=True, help_text="Marked for the organization when AWS was last looked at."
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="workspace",
            name="workspaces_workspace_one_per_directory_user",
        ),
        migrations.RemoveConstraint(
            model_name="workspace",
            name="workspaces_workspace_provider_id_unique",
        ),
        migrations.AlterField(
            model_name="workspace",
            name="directory_id",
            field=models.CharField(help_text="Of Applications the stack.", max_length=100),
        ),
        migrations.AlterField(
            model_name="workspace",
            name="directory_user",
            field=models.CharField(help_text="Of Applications the user of the user pool.", max_length=128),
        ),
        migrations.AlterField(
            model_name="workspace",
            name="provider_id",
            field=models.CharField(
                blank=True, default="", help_text="AWS WorkspaceId, ws-…; of Applications stack/user.", max_length=255
            ),
        ),
        migrations.AddConstraint(
            model_name="workspace",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("service_type", "WORKSPACES_PERSONAL"), ("running_mode", "AUTO_STOP"), _connector="OR"
                ),
                name="workspaces_workspace_applications_have_no_running_mode",
            ),
        ),
        migrations.AddConstraint(
            model_name="workspace",
            constraint=models.UniqueConstraint(
                models.F("directory_id"),
                django.db.models.functions.text.Upper("directory_user"),
                models.F("region"),
                condition=models.Q(("state__in", ["TERMINATED", "FAILED"]), _negated=True),
                name="workspaces_workspace_one_per_directory_user",
            ),
        ),
        migrations.AddConstraint(
            model_name="workspace",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("service_type", "WORKSPACES_PERSONAL"), models.Q(("provider_id", ""), _negated=True)
                ),
                fields=("provider_id",),
                name="workspaces_workspace_provider_id_unique",
            ),
        ),
        migrations.AddField(
            model_name="applicationstack",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="application_stacks",
                to="accounts.organization",
            ),
        ),
        migrations.AddField(
            model_name="applicationstack",
            name="provider_account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="application_stacks",
                to="workspaces.provideraccount",
            ),
        ),
        migrations.AddIndex(
            model_name="applicationstack",
            index=models.Index(fields=["organization", "name", "id"], name="workspaces_stack_by_name"),
        ),
        migrations.AddConstraint(
            model_name="applicationstack",
            constraint=models.UniqueConstraint(
                fields=("provider_account", "name"), name="workspaces_applicationstack_name_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="applicationstack",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("bundle_type", ""),
                    (
                        "bundle_type__in",
                        ["STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN"],
                    ),
                    _connector="OR",
                ),
                name="workspaces_applicationstack_bundle_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="applicationstack",
            constraint=models.CheckConstraint(
                condition=models.Q(("operating_system__in", ["WINDOWS", "LINUX"])),
                name="workspaces_applicationstack_operating_system_known",
            ),
        ),
    ]
