"""Blueprint versions and the bundles that each offers.

The team look-up of the original documents is blueprints_blueprint_by_team; the organization's is the prefix of the
unique version.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Blueprint",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(help_text="The family; it never changes.", max_length=100)),
                ("version", models.PositiveIntegerField()),
                ("description", models.TextField(blank=True, default="")),
                (
                    "operating_system",
                    models.CharField(choices=[("WINDOWS", "Windows"), ("LINUX", "Linux")], max_length=10),
                ),
                ("software_manifest", models.JSONField(blank=True, default=dict)),
                ("configuration", models.JSONField(blank=True, default=dict)),
                (
                    "origin",
                    models.CharField(
                        choices=[("AUTO", "Automatic"), ("MANUAL", "Manual")], default="MANUAL", max_length=10
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("DRAFT", "Draft"), ("PUBLISHED", "Published"), ("RETIRED", "Retired")],
                        default="DRAFT",
                        max_length=10,
                    ),
                ),
                (
                    "content_hash",
                    models.CharField(blank=True, default="", help_text="SHA-256, set at publishing.", max_length=64),
                ),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="created_blueprints",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blueprints",
                        to="accounts.organization",
                    ),
                ),
                (
                    "parent_version",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="child_versions",
                        to="blueprints.blueprint",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="None = the whole organization may use it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blueprints",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["team"], name="blueprints_blueprint_by_team")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "team", "name", "version"),
                        name="blueprints_blueprint_version_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)), name="blueprints_blueprint_version_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["DRAFT", "PUBLISHED", "RETIRED"])),
                        name="blueprints_blueprint_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("origin__in", ["AUTO", "MANUAL"])), name="blueprints_blueprint_origin_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("operating_system__in", ["WINDOWS", "LINUX"])),
                        name="blueprints_blueprint_operating_system_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("content_hash", ""), ("published_at__isnull", True), ("status", "DRAFT")),
                            models.Q(
                                ("published_at__isnull", False),
                                ("status__in", ["PUBLISHED", "RETIRED"]),
                                models.Q(("content_hash", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="blueprints_blueprint_published_has_hash",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("retired_at__isnull", False), ("status", "RETIRED")),
                            models.Q(("retired_at__isnull", True), ("status__in", ["DRAFT", "PUBLISHED"])),
                            _connector="OR",
                        ),
                        name="blueprints_blueprint_retired_has_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BlueprintBundle",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("region", models.CharField(max_length=32)),
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
                ("bundle_id", models.CharField(help_text="AWS bundle id, wsb-…", max_length=64)),
                ("image_id", models.CharField(blank=True, default="", help_text="AWS image id, wsi-…", max_length=64)),
                (
                    "blueprint",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bundles",
                        to="blueprints.blueprint",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("blueprint", "region", "bundle_type"), name="blueprints_blueprintbundle_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "bundle_type__in",
                                ["STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN"],
                            )
                        ),
                        name="blueprints_blueprintbundle_type_known",
                    ),
                ],
            },
        ),
    ]
