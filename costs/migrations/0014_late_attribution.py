"""Book an hour to whom its machine belonged when the hour began, and under the tags and cost center of then.

Until now a new record took them from the machine's row and its project at the time of booking: after an outage of
metering, the hours of days bore what had been set in the meantime. Now the first change that ended after the hour began
(workspaces 0018; here the cost centers of projects, which a trigger of theirs writes down, with the row's `updated_at`
where that changes too) says what held; where there is none the rows do. The hour of the launch counts from the launch.
Records that stand are not touched.

The function is that of migration 0008 but for the end of its INSERT of new records, below.
"""

from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

from forge.db.operations import AppendOnly

BOOK = import_module("costs.migrations.0008_estimates").BOOK

FROM = """
    SELECT w.id, w.organization_id, w.owner_id, w.team_id, w.project_id, w.blueprint_id, c.price_id, c.hour,
           c.hour + interval '1 hour', c.seconds, c.billed, c.storage_gb, 0, c.compute,
           c.storage, 0, c.compute + c.storage, o.currency, c.basis, price.bundle_type, w.region,
           price.running_mode,
           left(coalesce(nullif(p.cost_center, ''), w.tags ->> 'cost-center', ''), 100), w.tags
      FROM change c
      JOIN workspaces_workspace w ON w.id = c.workspace_id
      JOIN costs_price price ON price.id = c.price_id
      JOIN accounts_organization o ON o.id = w.organization_id
      LEFT JOIN accounts_project p ON p.id = w.project_id
     WHERE c.is_new
"""
TO = """
    SELECT w.id, w.organization_id, whose.owner_id, whose.team_id, whose.project_id, w.blueprint_id, c.price_id, c.hour,
           c.hour + interval '1 hour', c.seconds, c.billed, c.storage_gb, 0, c.compute,
           c.storage, 0, c.compute + c.storage, o.currency, c.basis, price.bundle_type, w.region,
           price.running_mode,
           left(
               coalesce(nullif(coalesce(center.cost_center, p.cost_center), ''), whose.tags ->> 'cost-center', ''), 100
           ),
           whose.tags
      FROM change c
      JOIN workspaces_workspace w ON w.id = c.workspace_id
      JOIN costs_price price ON price.id = c.price_id
      JOIN accounts_organization o ON o.id = w.organization_id
      LEFT JOIN LATERAL (
          SELECT id, owner_id, team_id, project_id, tags
            FROM workspaces_attributionchange
           WHERE workspace_id = c.workspace_id AND occurred_at > greatest(c.hour, w.launched_at)
           ORDER BY occurred_at, id
           LIMIT 1
      ) was ON true
     CROSS JOIN LATERAL (
         SELECT coalesce(was.owner_id, w.owner_id) AS owner_id, coalesce(was.team_id, w.team_id) AS team_id,
                CASE WHEN was.id IS NULL THEN w.project_id ELSE was.project_id END AS project_id,
                coalesce(was.tags, w.tags) AS tags
     ) whose
      LEFT JOIN accounts_project p ON p.id = whose.project_id
      LEFT JOIN LATERAL (
          SELECT cost_center
            FROM costs_costcenterchange
           WHERE project_id = whose.project_id AND occurred_at > greatest(c.hour, w.launched_at)
           ORDER BY occurred_at, id
           LIMIT 1
      ) center ON true
     WHERE c.is_new
"""

KEEP = """
CREATE FUNCTION costs_keep_cost_center() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO costs_costcenterchange (organization_id, project_id, occurred_at, cost_center)
    VALUES (
        NEW.organization_id, NEW.id,
        greatest(
            CASE WHEN NEW.updated_at IS DISTINCT FROM OLD.updated_at THEN NEW.updated_at ELSE statement_timestamp() END,
            (SELECT max(occurred_at) FROM costs_costcenterchange WHERE project_id = NEW.id)
        ),
        OLD.cost_center
    );
    RETURN NULL;
END
$body$;

CREATE TRIGGER costs_cost_center_changed AFTER UPDATE OF cost_center ON accounts_project
FOR EACH ROW WHEN (OLD.cost_center IS DISTINCT FROM NEW.cost_center) EXECUTE FUNCTION costs_keep_cost_center();
"""
FORGET = """
DROP TRIGGER costs_cost_center_changed ON accounts_project;
DROP FUNCTION costs_keep_cost_center();
"""


def changed(book: str, before: str, after: str) -> str:
    """The function with one piece in place of another that stands in it once."""
    if book.count(before) != 1:
        raise ValueError(f"stands {book.count(before)} times in costs_book: {before}")
    return book.replace("CREATE FUNCTION costs_book", "CREATE OR REPLACE FUNCTION costs_book").replace(before, after)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0013_advice"),
        ("workspaces", "0018_attribution_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="CostCenterChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("occurred_at", models.DateTimeField(help_text="Until when it held.")),
                ("cost_center", models.CharField(blank=True, default="", max_length=100)),
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
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.project",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["project", "occurred_at", "id"], name="costs_centered")],
            },
        ),
        migrations.RunSQL(KEEP, FORGET),
        AppendOnly("costs_costcenterchange"),
        migrations.RunSQL(changed(BOOK, FROM, TO), changed(BOOK, FROM, FROM)),
    ]
