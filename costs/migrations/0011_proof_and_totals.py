"""Faults of the books, which the nightly proof finds; and daily totals, which are the daily sums without their people.

A fault that stands is one row of a day, tag or budget. `costs_dailytotal` follows from `costs_dailycost` alone, so its
triggers stand there: after each INSERT (an upsert fires that of UPDATE as well), UPDATE and DELETE the differences are
written down as rows that are not folded, as in 0010. `rows` counts the daily sums of a total, so that one of which none
are left can go. The migration sums up what there is.

Indexes: the one row of each total, the range of days of an organization, and the rows that are to be folded.
"""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

_KEYS = """organization_id, day, team_id, project_id, blueprint_id, cost_center, bundle_type, region, running_mode,
           basis"""

_FUNCTION = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO costs_dailytotal (
           {keys},
           is_folded, rows, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost
    )
    SELECT {keys},
           false, sum(sign), sum(sign * billed_hours), sum(sign * compute_cost), sum(sign * storage_cost),
           sum(sign * data_transfer_cost), sum(sign * total_cost)
      FROM ({rows}) part
     GROUP BY {keys}
    HAVING sum(sign) <> 0 OR sum(sign * billed_hours) <> 0 OR sum(sign * compute_cost) <> 0
        OR sum(sign * storage_cost) <> 0 OR sum(sign * data_transfer_cost) <> 0;
    RETURN NULL;
END
$body$;
"""
_SUM_UP = """
INSERT INTO costs_dailytotal (
       {keys},
       is_folded, rows, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost
)
SELECT {keys},
       true, count(*), sum(billed_hours), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost), sum(total_cost)
  FROM costs_dailycost
 GROUP BY {keys};
"""
_AFTER = "SELECT 1 AS sign, * FROM after"
_BEFORE = "SELECT -1 AS sign, * FROM before"
_ROWS = {"inserted": _AFTER, "updated": f"{_AFTER} UNION ALL {_BEFORE}", "deleted": _BEFORE}

FORWARD = (
    "".join(_FUNCTION.format(function=f"costs_total_{name}", keys=_KEYS, rows=rows) for name, rows in _ROWS.items())
    + """
CREATE TRIGGER costs_total_inserted AFTER INSERT ON costs_dailycost
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION costs_total_inserted();
CREATE TRIGGER costs_total_updated AFTER UPDATE ON costs_dailycost
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION costs_total_updated();
CREATE TRIGGER costs_total_deleted AFTER DELETE ON costs_dailycost
    REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION costs_total_deleted();
"""
    + _SUM_UP.format(keys=_KEYS)
)
REVERSE = """
DROP TRIGGER costs_total_inserted ON costs_dailycost;
DROP TRIGGER costs_total_updated ON costs_dailycost;
DROP TRIGGER costs_total_deleted ON costs_dailycost;
DROP FUNCTION costs_total_inserted();
DROP FUNCTION costs_total_updated();
DROP FUNCTION costs_total_deleted();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("blueprints", "0002_published_is_immutable"),
        ("costs", "0010_tag_sums"),
    ]

    operations = [
        migrations.CreateModel(
            name="BookFault",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("DAILY", "Daily sums and records"),
                            ("TOTAL", "Daily totals and daily sums"),
                            ("TAG", "Sums by tag and records"),
                            ("BUDGET", "A budget's spent and the costs of its scope"),
                        ],
                        max_length=6,
                    ),
                ),
                ("day", models.DateField(blank=True, help_text="UTC; none of a budget.", null=True)),
                (
                    "subject",
                    models.CharField(
                        blank=True, default="", help_text="The tag's key or the budget's id.", max_length=127
                    ),
                ),
                ("expected", models.DecimalField(decimal_places=6, help_text="By the records.", max_digits=20)),
                ("found", models.DecimalField(decimal_places=6, max_digits=20)),
                (
                    "groups",
                    models.PositiveIntegerField(
                        default=1, help_text="Sums that differ; `expected` and `found` are of these."
                    ),
                ),
                ("seen_at", models.DateTimeField(help_text="When it was found first.")),
                ("last_seen_at", models.DateTimeField()),
                (
                    "resolved_at",
                    models.DateTimeField(blank=True, help_text="When the books were found to agree again.", null=True),
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
                "indexes": [models.Index(fields=["organization", "id"], name="costs_bookfault_list")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("organization", "kind", "day", "subject"),
                        name="costs_bookfault_one_open",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["DAILY", "TOTAL", "TAG", "BUDGET"])),
                        name="costs_bookfault_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "BUDGET"), ("day__isnull", False), _connector="XOR"),
                        name="costs_bookfault_day_unless_budget",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DailyTotal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("cost_center", models.CharField(blank=True, default="", max_length=100)),
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
                ("region", models.CharField(max_length=32)),
                (
                    "running_mode",
                    models.CharField(choices=[("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")], max_length=10),
                ),
                ("basis", models.CharField(max_length=10)),
                (
                    "is_folded",
                    models.BooleanField(help_text="The sum itself; else differences that are still to be added to it."),
                ),
                ("rows", models.BigIntegerField(help_text="Daily costs in it.")),
                ("billed_hours", models.DecimalField(decimal_places=6, max_digits=20)),
                ("compute_cost", models.DecimalField(decimal_places=6, max_digits=20)),
                ("storage_cost", models.DecimalField(decimal_places=6, max_digits=20)),
                ("data_transfer_cost", models.DecimalField(decimal_places=6, max_digits=20)),
                ("total_cost", models.DecimalField(decimal_places=6, max_digits=20)),
                (
                    "blueprint",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="blueprints.blueprint",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.project",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "day"], name="costs_dailytotal_by_day"),
                    models.Index(
                        condition=models.Q(("is_folded", False)), fields=["id"], name="costs_dailytotal_unfolded"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_folded", True)),
                        fields=(
                            "organization",
                            "day",
                            "team",
                            "project",
                            "blueprint",
                            "cost_center",
                            "bundle_type",
                            "region",
                            "running_mode",
                            "basis",
                        ),
                        name="costs_dailytotal_one_per_group",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total_cost",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("compute_cost"), "+", models.F("storage_cost")
                                    ),
                                    "+",
                                    models.F("data_transfer_cost"),
                                ),
                            )
                        ),
                        name="costs_dailytotal_total_is_the_sum",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, REVERSE),
    ]
