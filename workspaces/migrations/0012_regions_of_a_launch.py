"""Latencies that an organization measured from its places to regions, and the regions that a team may use."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0011_findings"),
    ]

    operations = [
        migrations.CreateModel(
            name="RegionLatency",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "place",
                    models.CharField(
                        help_text="As in people's `location`; case and accents do not matter.", max_length=64
                    ),
                ),
                ("region", models.CharField(max_length=32)),
                (
                    "milliseconds",
                    models.PositiveIntegerField(
                        blank=True, help_text="Round trip; empty = as estimated from the distance.", null=True
                    ),
                ),
                ("source", models.CharField(help_text="Who or what measured it, and when.", max_length=200)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="region_latencies",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "region latencies",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "place", "region"),
                        name="workspaces_regionlatency_one_per_place_and_region",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("milliseconds__isnull", True),
                            models.Q(("milliseconds__gte", 1), ("milliseconds__lte", 5000)),
                            _connector="OR",
                        ),
                        name="workspaces_regionlatency_milliseconds_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("place", ""), _negated=True), models.Q(("source", ""), _negated=True)
                        ),
                        name="workspaces_regionlatency_says_where_and_whence",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RegionPolicy",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "regions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32),
                        blank=True,
                        default=list,
                        help_text="Empty = all.",
                        size=None,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="region_policies",
                        to="accounts.organization",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="region_policies",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "region policies",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "team"), name="workspaces_regionpolicy_one_per_team"
                    )
                ],
            },
        ),
    ]
