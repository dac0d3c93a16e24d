"""Reports that were issued, which stay as they were, their files while mail is sent, and who subscribes to them.

`costs_issuedreport_by_month` finds what was issued before of a month and scope, the latest first;
`costs_issuedreport_mailed_once` lets no second run of the monthly job issue the same report again. The files are PDFs,
compressed already.
"""

import django.db.models.deletion
import django.db.models.functions.math
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids
from forge.db.operations import AppendOnly


class Migration(migrations.Migration):
    dependencies = [
        ("db", "0001_initial"),
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0011_proof_and_totals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="IssuedReport",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(choices=[("SHOWBACK", "Showback"), ("CHARGEBACK", "Chargeback")], max_length=10),
                ),
                (
                    "by",
                    models.CharField(
                        choices=[
                            ("team", "team"),
                            ("project", "project"),
                            ("cost_center", "cost center"),
                            ("user", "person"),
                        ],
                        help_text="What its lines stand for.",
                        max_length=11,
                    ),
                ),
                ("month", models.DateField(help_text="First day of the UTC month that it is of.")),
                ("format", models.CharField(choices=[("csv", "CSV"), ("json", "JSON"), ("pdf", "PDF")], max_length=4)),
                ("is_provisional", models.BooleanField(help_text="The month was not over, or not metered to its end.")),
                ("metered_through", models.DateTimeField(help_text="Up to here everything was metered.")),
                ("currency", models.CharField(max_length=3)),
                ("total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                (
                    "amount",
                    models.DecimalField(decimal_places=2, help_text="The total as it was shown.", max_digits=18),
                ),
                (
                    "groups",
                    models.PositiveIntegerField(
                        help_text="How many teams, projects, cost centers or people cost something."
                    ),
                ),
                ("size", models.PositiveBigIntegerField(help_text="Bytes of the file.")),
                ("sha256", models.CharField(help_text="Of the file, hexadecimal.", max_length=64)),
                (
                    "is_scheduled",
                    models.BooleanField(default=False, help_text="It went by mail to those who subscribe to it."),
                ),
                (
                    "issued_by_id",
                    models.UUIDField(blank=True, help_text="Who had it made; none = a job or a command.", null=True),
                ),
                ("issued_at", models.DateTimeField()),
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
                    "previous",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The earlier report that it corrects.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="costs.issuedreport",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Whose costs alone; none = the whole organization's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReportFile",
            fields=[
                (
                    "report",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="file",
                        serialize=False,
                        to="costs.issuedreport",
                    ),
                ),
                ("content", models.BinaryField()),
                ("kept_until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="ReportSubscription",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("SHOWBACK", "Showback"), ("CHARGEBACK", "Chargeback")],
                        default="SHOWBACK",
                        max_length=10,
                    ),
                ),
                (
                    "by",
                    models.CharField(
                        choices=[
                            ("team", "team"),
                            ("project", "project"),
                            ("cost_center", "cost center"),
                            ("user", "person"),
                        ],
                        help_text="What its lines stand for.",
                        max_length=11,
                    ),
                ),
                (
                    "served_month",
                    models.DateField(
                        blank=True,
                        help_text="The latest month of which it was sent, or was not the person's to get.",
                        null=True,
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
                    "team",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The team's costs alone; none = the whole organization's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="issuedreport",
            index=models.Index(
                fields=["organization", "month", "team", "issued_at"], name="costs_issuedreport_by_month"
            ),
        ),
        migrations.AddIndex(
            model_name="issuedreport",
            index=models.Index(fields=["organization", "id"], name="costs_issuedreport_list"),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_scheduled", True)),
                fields=("organization", "month", "team", "kind", "by"),
                name="costs_issuedreport_mailed_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("by__in", ["team", "project", "cost_center", "user"]), ("kind", "SHOWBACK")),
                    models.Q(("by__in", ["project", "cost_center"]), ("kind", "CHARGEBACK")),
                    _connector="OR",
                ),
                name="costs_issuedreport_kind_and_by_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.CheckConstraint(
                condition=models.Q(("format__in", ["csv", "json", "pdf"])), name="costs_issuedreport_format_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.CheckConstraint(
                condition=models.Q(("month__day", 1)), name="costs_issuedreport_of_a_month"
            ),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount", django.db.models.functions.math.Round("total_cost", precision=2)), ("total_cost__gte", 0)
                ),
                name="costs_issuedreport_amount_is_the_total_in_cents",
            ),
        ),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.CheckConstraint(
                condition=models.Q(("sha256__regex", "^[0-9a-f]{64}$")), name="costs_issuedreport_sha256_is_one"
            ),
        ),
        migrations.AddIndex(
            model_name="reportsubscription",
            index=models.Index(
                fields=["organization", "team", "kind", "by", "served_month"], name="costs_reportsubscription_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="reportsubscription",
            constraint=models.UniqueConstraint(
                fields=("user", "team", "kind", "by"),
                name="costs_reportsubscription_once_per_person",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="reportsubscription",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("by__in", ["team", "project", "cost_center", "user"]), ("kind", "SHOWBACK")),
                    models.Q(("by__in", ["project", "cost_center"]), ("kind", "CHARGEBACK")),
                    _connector="OR",
                ),
                name="costs_reportsubscription_kind_and_by_known",
            ),
        ),
        AppendOnly("costs_issuedreport"),
        migrations.RunSQL(
            "ALTER TABLE costs_reportfile ALTER COLUMN content SET STORAGE EXTERNAL;",
            "ALTER TABLE costs_reportfile ALTER COLUMN content SET STORAGE EXTENDED;",
        ),
    ]
