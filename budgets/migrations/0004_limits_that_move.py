"""Limits that move: raises for a time, transfers, thresholds of one's own, periods of any length, STOP_IDLE, versions.

What launches and top-ups compare with is the limit at the instant: the amount, what was transferred, and the raises
whose end has not come. `raised` is the sum of those that the books have not ended yet, so a budget without any, as
nearly all are, costs no look-up. `budgets_binding` gives the limit where it gave the amount, and so does what
`budgets_reckon` compares with; `budgets_reserve` and `budgets_settle` stay as they are. Both functions are those of
migration 0002 but for the place that says what is allowed.

Look-ups and what serves them: the raises of a budget, budgets_raise_of_budget; those to end, budgets_raise_to_end,
which holds the open ones only; an organization's list, newest first by keyset, budgets_raise_list.

Back: what was transferred becomes part of the amount, a raise is gone, a period of any length recurs no more, idle
machines are not stopped, thresholds beyond the whole go.
"""

from importlib import import_module

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import costs.expressions
import forge.db.ids

LEDGER = import_module("budgets.migrations.0002_ledger")

_LIMIT = """b.amount + b.transferred + CASE WHEN b.raised = 0 THEN 0 ELSE (
               SELECT coalesce(sum(r.amount), 0) FROM budgets_budgetraise r
                WHERE r.budget_id = b.id AND r.ended_at IS NULL AND r.ends_at > {at}
           ) END"""


def _again(function: str, was: str, becomes: str) -> str:
    """The function written anew with one place changed, which stands in it once."""
    before, found, after = function.partition(was)
    if not found or was in after:
        raise ValueError(f"not once in the function: {was}")
    return (before + becomes + after).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


BINDING_FORWARD = _again(
    LEDGER.BINDING_FORWARD,
    "b.scope_id, b.amount, b.spent,",
    f"b.scope_id, {_LIMIT.format(at='budgets_binding.at')}, b.spent,",
)
BINDING_REVERSE = LEDGER.BINDING_FORWARD.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
RECKON_FORWARD = _again(
    LEDGER.RECKON_FORWARD,
    """SELECT id, scope_id, amount, spent, reserved, period_start, period_end FROM budgets_budget
         WHERE id = ANY (budgets) AND is_active AND adopted_at IS NOT NULL""",
    f"""SELECT b.id, b.scope_id, {_LIMIT.format(at="budgets_reckon.at")} AS amount,
               b.spent, b.reserved, b.period_start, b.period_end
          FROM budgets_budget b
         WHERE b.id = ANY (budgets) AND b.is_active AND b.adopted_at IS NOT NULL""",  # noqa: S608 - of this module alone
)
RECKON_REVERSE = LEDGER.RECKON_FORWARD.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")

BACK = """
UPDATE budgets_budget
   SET amount = amount + transferred, transferred = 0,
       recurs = CASE recurs WHEN 'CUSTOM' THEN 'NONE' ELSE recurs END, recurs_hours = NULL,
       on_limit = CASE on_limit WHEN 'STOP_IDLE' THEN 'BLOCK_LAUNCHES' ELSE on_limit END
 WHERE transferred <> 0 OR recurs = 'CUSTOM' OR on_limit = 'STOP_IDLE';
DELETE FROM budgets_budgetthreshold WHERE fraction > 1;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("budgets", "0003_notices_are_mail"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BudgetRaise",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("amount", models.DecimalField(decimal_places=6, max_digits=18)),
                (
                    "ends_at",
                    models.DateTimeField(help_text="A whole UTC hour, at most the end of the budget's period."),
                ),
                ("reason", models.CharField(max_length=500)),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="Since when it does not count any more.", null=True),
                ),
            ],
            options={
                "verbose_name": "raise",
            },
        ),
        migrations.RemoveConstraint(
            model_name="budget",
            name="budgets_budget_recurs_known",
        ),
        migrations.RemoveConstraint(
            model_name="budget",
            name="budgets_budget_on_limit_known",
        ),
        migrations.RemoveConstraint(
            model_name="budgetthreshold",
            name="budgets_budgetthreshold_fraction_in_range",
        ),
        migrations.AddField(
            model_name="budget",
            name="raised",
            field=models.DecimalField(
                db_default=0,
                decimal_places=6,
                default=0,
                help_text="Sum of its raises that have not ended.",
                max_digits=18,
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="recurs_hours",
            field=models.PositiveIntegerField(
                blank=True, help_text="Length of the next periods of one that recurs with the same length.", null=True
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="transferred",
            field=models.DecimalField(
                db_default=0,
                decimal_places=6,
                default=0,
                help_text="Moved to it from other budgets in this period; below 0 = moved to others.",
                max_digits=18,
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="version",
            field=models.PositiveIntegerField(db_default=1, default=1, help_text="For ETags; raised by people alone."),
        ),
        migrations.AlterField(
            model_name="budget",
            name="on_limit",
            field=models.CharField(
                choices=[
                    ("BLOCK_LAUNCHES", "Refuse launches"),
                    ("BLOCK_STARTS", "Refuse launches and starts"),
                    ("STOP_IDLE", "Refuse launches, stop idle machines"),
                ],
                default="BLOCK_LAUNCHES",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="budget",
            name="recurs",
            field=models.CharField(
                choices=[
                    ("NONE", "No"),
                    ("MONTHLY", "Monthly"),
                    ("QUARTERLY", "Quarterly"),
                    ("CUSTOM", "With the same length"),
                ],
                default="NONE",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("recurs__in", ["NONE", "MONTHLY", "QUARTERLY", "CUSTOM"])),
                name="budgets_budget_recurs_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("recurs", "CUSTOM"), ("recurs_hours__gte", 24)),
                    models.Q(models.Q(("recurs", "CUSTOM"), _negated=True), ("recurs_hours__isnull", True)),
                    _connector="OR",
                ),
                name="budgets_budget_only_custom_has_hours",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("raised__gte", 0)), name="budgets_budget_raised_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount__gte",
                        django.db.models.expressions.CombinedExpression(models.F("transferred"), "*", models.Value(-1)),
                    )
                ),
                name="budgets_budget_gives_no_more_than_it_has",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("on_limit__in", ["BLOCK_LAUNCHES", "BLOCK_STARTS", "STOP_IDLE"])),
                name="budgets_budget_on_limit_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("fraction__gt", 0), ("fraction__lte", 2)),
                name="budgets_budgetthreshold_fraction_in_range",
            ),
        ),
        migrations.AddField(
            model_name="budgetraise",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="None = a command.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="budgetraise",
            name="budget",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="raises", to="budgets.budget"
            ),
        ),
        migrations.AddField(
            model_name="budgetraise",
            name="ended_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Who ended it early; none = it ended by itself.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="budgetraise",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.organization",
            ),
        ),
        migrations.AddIndex(
            model_name="budgetraise",
            index=models.Index(fields=["budget", "ends_at"], name="budgets_raise_of_budget"),
        ),
        migrations.AddIndex(
            model_name="budgetraise",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True)), fields=["ends_at"], name="budgets_raise_to_end"
            ),
        ),
        migrations.AddIndex(
            model_name="budgetraise",
            index=models.Index(
                models.F("organization"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="budgets_raise_list",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetraise",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="budgets_budgetraise_amount_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetraise",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("created_at"))), name="budgets_budgetraise_ends_later"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetraise",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at", costs.expressions.HourOf("ends_at"))),
                name="budgets_budgetraise_ends_with_an_hour",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetraise",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="budgets_budgetraise_has_reason"
            ),
        ),
        migrations.RunSQL(BINDING_FORWARD, BINDING_REVERSE),
        migrations.RunSQL(RECKON_FORWARD, RECKON_REVERSE),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", BACK),
    ]
