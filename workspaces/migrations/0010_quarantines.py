"""Machines of people who are switched off: since when one is barred, for whom it is kept and until when.

- `open` (partial: what is not over): the sweep's look for hand-overs that are over and reminders that fall due.
- `machine`: the quarantines of one machine.
- `one_open`: a machine is in quarantine once at a time, whoever looks at the same time.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0009_usage_samples"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="quarantined_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Since when nobody may use it: its owner is switched off. Empty = in use.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Quarantine",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("began_at", models.DateTimeField()),
                (
                    "kept_until",
                    models.DateTimeField(
                        help_text="No rule ends the machine before; whoever wants its data saves it by then."
                    ),
                ),
                ("handed_over_at", models.DateTimeField(blank=True, null=True)),
                ("hand_over_reason", models.CharField(blank=True, default="", max_length=500)),
                ("reminded_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[("RETURNED", "The owner came back"), ("MACHINE_ENDED", "The machine has ended")],
                        default="",
                        max_length=20,
                    ),
                ),
                (
                    "heir",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Who is told and looks after what is on the machine; none = the admins.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="quarantines",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=["kept_until", "id"],
                        name="workspaces_quarantine_open",
                    ),
                    models.Index(fields=["workspace", "began_at"], name="workspaces_quarantine_machine"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("workspace",),
                        name="workspaces_quarantine_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kept_until__gt", models.F("began_at"))),
                        name="workspaces_quarantine_kept_for_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("handed_over_at__isnull", True),
                            models.Q(("heir__isnull", False), models.Q(("hand_over_reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="workspaces_quarantine_handed_to_somebody",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at__isnull", True), ("outcome", "")),
                            models.Q(("ended_at__isnull", False), ("outcome__in", ["RETURNED", "MACHINE_ENDED"])),
                            _connector="OR",
                        ),
                        name="workspaces_quarantine_ended_says_how",
                    ),
                ],
            },
        ),
    ]
