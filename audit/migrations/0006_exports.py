"""Exports: files of entries that an operation writes, and their content in parts.

The content is in the database, not in a folder: a part and the place behind its last entry commit together, so a
killed worker loses and doubles nothing and leaves no stray file; every web process can serve it; and its end is a
DELETE. Parts are compressed before they come here, so PostgreSQL does not try again (STORAGE EXTERNAL).

`audit_auditexport_list` serves the list of an organization, newest first; `audit_auditexport_due` (partial: what still
has content) the hourly purge; the unique number reads the parts of a file in order.
"""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_detached_months"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditExport",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization_id", models.UUIDField()),
                ("asked_by_id", models.UUIDField(help_text="Who asked for it.", null=True)),
                ("operation_id", models.UUIDField(help_text="The operation that writes it.")),
                ("format", models.CharField(choices=[("csv", "Csv"), ("ndjson", "Ndjson")], max_length=8)),
                (
                    "filters",
                    models.JSONField(default=dict, help_text="As in the address of the list; emptied with the file."),
                ),
                ("as_of", models.DateTimeField(help_text="What the log held then is exported.")),
                ("heads", models.JSONField()),
                ("place_timestamp", models.DateTimeField(null=True)),
                ("place_id", models.BigIntegerField(null=True)),
                ("entries", models.PositiveBigIntegerField(default=0, help_text="Entries written so far.")),
                ("size", models.PositiveBigIntegerField(default=0, help_text="Bytes of the file so far.")),
                ("written_at", models.DateTimeField(help_text="When its last line was written.", null=True)),
                ("sha256", models.CharField(default="", help_text="Of the whole file, hexadecimal.", max_length=64)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(help_text="From then on it is not given out, and purged.")),
                ("purged_at", models.DateTimeField(help_text="When its content was deleted.", null=True)),
            ],
            options={
                "verbose_name": "audit export",
                "indexes": [
                    models.Index(models.F("organization_id"), models.F("id"), name="audit_auditexport_list"),
                    models.Index(
                        models.F("expires_at"), condition=models.Q(("purged_at", None)), name="audit_auditexport_due"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("format__in", ["csv", "ndjson"])), name="audit_auditexport_format"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("place_id", None), ("place_timestamp", None)),
                            models.Q(("place_id__isnull", False), ("place_timestamp__isnull", False)),
                            _connector="OR",
                        ),
                        name="audit_auditexport_place_is_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at", None), ("sha256", "")),
                            models.Q(
                                ("finished_at__isnull", False),
                                ("written_at__isnull", False),
                                models.Q(("sha256", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="audit_auditexport_finished_is_written",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditExportPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="audit.auditexport",
                    ),
                ),
            ],
            options={
                "verbose_name": "part of an audit export",
                "constraints": [
                    models.UniqueConstraint(fields=("export", "number"), name="audit_auditexportpart_number")
                ],
            },
        ),
        migrations.RunSQL(
            "ALTER TABLE audit_auditexportpart ALTER COLUMN content SET STORAGE EXTERNAL;",
            "ALTER TABLE audit_auditexportpart ALTER COLUMN content SET STORAGE EXTENDED;",
        ),
    ]
