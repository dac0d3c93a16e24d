"""Sums of costs by the tags that an organization chooses, kept by a trigger of the cost records.

Whatever changes records (metering, late states, corrections of prices, the provider's bill) changes them by INSERT or
UPDATE of `costs_costrecord`; after each such statement its differences by day, key, value and basis are written down
as rows of `costs_tagcost` that are not folded. They are only added, so bookings never wait for each other there; a job
folds them (costs/tags/rolling.py). Months that leave the table are detached, which no trigger sees: their sums stay.

A key's row is shared (FOR SHARE) until the booking ends. Whoever sums up a day of the past has it alone: bookings of
that day are either there to be summed, or come to the trigger afterwards and find the day among those that it keeps
(`fill_before`). Choosing and dropping take the organization's row FOR UPDATE, which every booking shares first.

Indexes: the one row of each sum, the range of days of a key, and the rows that are to be folded.
"""

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids

_FUNCTION = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM costs_tagkey) THEN
        RETURN NULL;
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT organization_id, key, fill_before
          FROM costs_tagkey
         WHERE state <> 'DROPPING' AND organization_id IN (SELECT organization_id FROM after)
         ORDER BY id
           FOR SHARE
    )
    INSERT INTO costs_tagcost (
        organization_id, key, day, value, basis, is_folded, records, billed_hours, compute_cost, storage_cost,
        data_transfer_cost, total_cost
    )
    SELECT part.organization_id, chosen.key, part.day, left(coalesce(part.tags ->> chosen.key, ''), 256), part.basis,
           false, sum(part.sign), sum(part.sign * part.billed_hours), sum(part.sign * part.compute_cost),
           sum(part.sign * part.storage_cost), sum(part.sign * part.data_transfer_cost),
           sum(part.sign * part.total_cost)
      FROM (
          SELECT 1 AS sign, (period_start AT TIME ZONE 'UTC')::date AS day, * FROM after{before}
      ) part
      JOIN chosen ON chosen.organization_id = part.organization_id
     WHERE chosen.fill_before IS NULL OR part.day >= chosen.fill_before
     GROUP BY 1, 2, 3, 4, 5
    HAVING sum(part.sign) <> 0 OR sum(part.sign * part.billed_hours) <> 0 OR sum(part.sign * part.compute_cost) <> 0
        OR sum(part.sign * part.storage_cost) <> 0 OR sum(part.sign * part.data_transfer_cost) <> 0;
    RETURN NULL;
END
$body$;
"""
_BEFORE = """
          UNION ALL
          SELECT -1, (period_start AT TIME ZONE 'UTC')::date, * FROM before"""

FORWARD = (
    _FUNCTION.format(function="costs_sum_tags_of_new", before="")
    + _FUNCTION.format(function="costs_sum_tags_of_changed", before=_BEFORE)
    + """
CREATE TRIGGER costs_tags_of_new AFTER INSERT ON costs_costrecord
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION costs_sum_tags_of_new();
CREATE TRIGGER costs_tags_of_changed AFTER UPDATE ON costs_costrecord
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION costs_sum_tags_of_changed();
"""
)
REVERSE = """
DROP TRIGGER costs_tags_of_changed ON costs_costrecord;
DROP TRIGGER costs_tags_of_new ON costs_costrecord;
DROP FUNCTION costs_sum_tags_of_changed();
DROP FUNCTION costs_sum_tags_of_new();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0009_bills"),
    ]

    operations = [
        migrations.CreateModel(
            name="TagCost",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=127)),
                ("day", models.DateField()),
                ("value", models.CharField(blank=True, max_length=256)),
                ("basis", models.CharField(max_length=10)),
                (
                    "is_folded",
                    models.BooleanField(help_text="The sum itself; else differences that are still to be added to it."),
                ),
                ("records", models.BigIntegerField(help_text="Cost records in it.")),
                ("billed_hours", models.DecimalField(decimal_places=6, max_digits=18)),
                ("compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("storage_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("data_transfer_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
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
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "key", "day"], name="costs_tagcost_by_day"),
                    models.Index(
                        condition=models.Q(("is_folded", False)), fields=["id"], name="costs_tagcost_unfolded"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_folded", True)),
                        fields=("organization", "key", "day", "value", "basis"),
                        name="costs_tagcost_one_per_sum",
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
                        name="costs_tagcost_total_is_the_sum",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("basis__in", ["ESTIMATED", "METERED", "BILLED"])),
                        name="costs_tagcost_basis_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TagKey",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("key", models.CharField(help_text="As machines have it, such as cost-center.", max_length=127)),
                (
                    "state",
                    models.CharField(
                        choices=[("FILLING", "The past is being summed up"), ("KEPT", "Kept"), ("DROPPING", "Going")],
                        default="FILLING",
                        max_length=8,
                    ),
                ),
                (
                    "fill_before",
                    models.DateField(blank=True, help_text="Days before it are not summed up yet.", null=True),
                ),
                ("since", models.DateField(help_text="The first day that is summed up.")),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tag_keys",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "key"), name="costs_tagkey_one_per_key"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["FILLING", "KEPT", "DROPPING"])),
                        name="costs_tagkey_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state", "DROPPING"),
                            models.Q(("fill_before__isnull", True), ("state", "KEPT")),
                            models.Q(("fill_before__isnull", False), ("state", "FILLING")),
                            _connector="OR",
                        ),
                        name="costs_tagkey_kept_is_filled",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("key", ""), _negated=True), name="costs_tagkey_key_not_empty"
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, REVERSE),
    ]
