"""The provider's bills: files, their staged lines, what was matched and what was not.

Staged lines (`costs_billline`) are not logged: they are in the file too, and a bill whose lines are lost in a crash is
read again. Their one index finds the lines of a machine and the next machine that has any; each unique constraint finds
a row by what names it, and the lists of a bill's machines and gaps are walked by its id. Uploaded parts are stored as
they are: what is large is compressed already.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0006_price_of_a_service"),
        ("workspaces", "0012_regions_of_a_launch"),
    ]

    operations = [
        migrations.CreateModel(
            name="Bill",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "asked_by_id",
                    models.UUIDField(blank=True, help_text="Who gave the file; none = a command.", null=True),
                ),
                (
                    "operation_id",
                    models.UUIDField(blank=True, help_text="The operation that books it; none = a command.", null=True),
                ),
                ("name", models.CharField(help_text="The file's.", max_length=200)),
                ("size", models.PositiveBigIntegerField(help_text="Bytes.")),
                ("sha256", models.CharField(help_text="Of the file, hexadecimal.", max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("READING", "Reading"),
                            ("BOOKING", "Booking"),
                            ("BOOKED", "Booked"),
                            ("FAILED", "Failed"),
                        ],
                        default="READING",
                        max_length=8,
                    ),
                ),
                (
                    "reading",
                    models.UUIDField(
                        blank=True, help_text="Who reads it now; another one puts this one out.", null=True
                    ),
                ),
                (
                    "format",
                    models.CharField(
                        blank=True,
                        choices=[("CUR", "AWS Cost and Usage Report"), ("FOCUS", "FOCUS")],
                        default="",
                        max_length=5,
                    ),
                ),
                (
                    "month",
                    models.DateField(blank=True, help_text="First day of the UTC month that it is for.", null=True),
                ),
                (
                    "accounts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=12),
                        blank=True,
                        default=list,
                        help_text="Those of ours in it.",
                        size=None,
                    ),
                ),
                ("currency", models.CharField(blank=True, default="", max_length=3)),
                ("lines", models.PositiveBigIntegerField(default=0)),
                ("machine_lines", models.PositiveBigIntegerField(default=0, help_text="That name a machine.")),
                (
                    "settled_lines",
                    models.PositiveBigIntegerField(default=0, help_text="Of those, booked or put down as a gap."),
                ),
                ("other_lines", models.PositiveBigIntegerField(default=0)),
                ("elsewhere_lines", models.PositiveBigIntegerField(default=0)),
                ("machine_amount", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("other_amount", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("tax_amount", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("booked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "replaced_at",
                    models.DateTimeField(blank=True, help_text="When a later bill took its place.", null=True),
                ),
                ("error", models.CharField(blank=True, default="", max_length=500)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bills",
                        to="accounts.organization",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BilledMachine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
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
                ("hours", models.PositiveIntegerField(help_text="Records of the month.")),
                ("metered_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("billed_cost", models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                (
                    "bill",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="machines",
                        to="costs.bill",
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
                        related_name="+",
                        to="workspaces.workspace",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BillGap",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "No machine of ours has this id"),
                            ("NO_RECORDS", "The machine has no cost records in the month"),
                            ("NOT_METERED", "The machine is not metered to the month's end"),
                            ("CREDIT", "Credits beyond the machine's charges of the month"),
                        ],
                        max_length=11,
                    ),
                ),
                ("resource", models.CharField(help_text="The machine's id as the bill has it.", max_length=255)),
                ("account", models.CharField(max_length=12)),
                ("lines", models.PositiveBigIntegerField()),
                ("amount", models.DecimalField(decimal_places=6, max_digits=18)),
                ("first_at", models.DateTimeField(help_text="Start of the first line.")),
                ("last_at", models.DateTimeField(help_text="End of the last line.")),
                (
                    "bill",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gaps",
                        to="costs.bill",
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
        ),
        migrations.CreateModel(
            name="BillLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("bill_id", models.UUIDField()),
                ("resource", models.TextField()),
                ("account", models.TextField()),
                ("starts", models.DateTimeField()),
                ("ends", models.DateTimeField()),
                ("part", models.SmallIntegerField(help_text="costs.bills.formats: compute, storage or transfer.")),
                ("amount", models.DecimalField(decimal_places=18, max_digits=38)),
                ("quantity", models.DecimalField(decimal_places=18, max_digits=38)),
            ],
            options={
                "indexes": [models.Index(fields=["bill_id", "resource"], name="costs_billline_by_resource")],
            },
        ),
        migrations.CreateModel(
            name="BillPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                (
                    "bill",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="costs.bill",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="bill",
            index=models.Index(fields=["organization", "id"], name="costs_bill_list"),
        ),
        migrations.AddConstraint(
            model_name="bill",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "FAILED"), _negated=True),
                fields=("organization", "sha256"),
                name="costs_bill_one_per_file",
            ),
        ),
        migrations.AddConstraint(
            model_name="bill",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["READING", "BOOKING"])),
                fields=("organization",),
                name="costs_bill_one_open_per_organization",
            ),
        ),
        migrations.AddConstraint(
            model_name="bill",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["READING", "BOOKING", "BOOKED", "FAILED"])),
                name="costs_bill_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="bill",
            constraint=models.CheckConstraint(
                condition=models.Q(("format__in", ["", "CUR", "FOCUS"])), name="costs_bill_format_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="bill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "BOOKED"), _negated=True),
                    models.Q(
                        ("booked_at__isnull", False),
                        ("month__isnull", False),
                        ("settled_lines", models.F("machine_lines")),
                    ),
                    _connector="OR",
                ),
                name="costs_bill_booked_has_its_facts",
            ),
        ),
        migrations.AddIndex(
            model_name="billedmachine",
            index=models.Index(fields=["bill", "id"], name="costs_billedmachine_list"),
        ),
        migrations.AddConstraint(
            model_name="billedmachine",
            constraint=models.UniqueConstraint(
                fields=("bill", "workspace", "bundle_type"), name="costs_billedmachine_one_per_bundle"
            ),
        ),
        migrations.AddIndex(
            model_name="billgap",
            index=models.Index(fields=["bill", "id"], name="costs_billgap_list"),
        ),
        migrations.AddConstraint(
            model_name="billgap",
            constraint=models.UniqueConstraint(
                fields=("bill", "resource", "reason"), name="costs_billgap_one_per_resource"
            ),
        ),
        migrations.AddConstraint(
            model_name="billgap",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason__in", ["UNKNOWN", "NO_RECORDS", "NOT_METERED", "CREDIT"])),
                name="costs_billgap_reason_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="billpart",
            constraint=models.UniqueConstraint(fields=("bill", "number"), name="costs_billpart_number"),
        ),
        migrations.RunSQL(
            "ALTER TABLE costs_billline SET UNLOGGED;"
            "ALTER TABLE costs_billpart ALTER COLUMN content SET STORAGE EXTERNAL;",
            "ALTER TABLE costs_billline SET LOGGED;"
            "ALTER TABLE costs_billpart ALTER COLUMN content SET STORAGE EXTENDED;",
        ),
    ]
