"""Where months go that leave their tables: the schema of the detached ones, and the record of what became of each.

In `forge_detached` every partitioned table has a twin of the same name (operation `DetachedMonths` of its room), and a
detached month is a partition of that twin: so it has its triggers, and who may read the twin reads it.

`db_archivedmonth` commits together with the audit entry of each step. The trigger lets a step go forward only: no row
is deleted, what a step has set stays, and a dropped month is final. A copy may be exported again until then.
"""

from django.db import migrations, models

SCHEMA_FORWARD = "CREATE SCHEMA forge_detached;"
SCHEMA_REVERSE = "DROP SCHEMA forge_detached;"

GUARD_FORWARD = """
CREATE FUNCTION db_archivedmonth_guard() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'DROPPED'
       AND (NEW.id, NEW."table", NEW.month, NEW.partition, NEW.detached_at)
         = (OLD.id, OLD."table", OLD.month, OLD.partition, OLD.detached_at)
       AND (OLD.state, NEW.state) IN (
           ('DETACHED', 'EXPORTED'), ('EXPORTED', 'EXPORTED'), ('EXPORTED', 'DROPPED'))
       AND (NEW.state = 'EXPORTED' OR (NEW.exported_at, NEW.rows, NEW.location, NEW.manifest_sha256)
         = (OLD.exported_at, OLD.rows, OLD.location, OLD.manifest_sha256)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of db_archivedmonth is refused: what became of a month is not rewritten', TG_OP
        USING ERRCODE = 'RF001';
END
$body$;
CREATE TRIGGER db_archivedmonth_guard BEFORE UPDATE OR DELETE ON db_archivedmonth
    FOR EACH ROW EXECUTE FUNCTION db_archivedmonth_guard();
CREATE TRIGGER forge_refuse_truncate BEFORE TRUNCATE ON db_archivedmonth
    FOR EACH STATEMENT EXECUTE FUNCTION forge_refuse_truncate();
"""
GUARD_REVERSE = """
DROP TRIGGER forge_refuse_truncate ON db_archivedmonth;
DROP TRIGGER db_archivedmonth_guard ON db_archivedmonth;
DROP FUNCTION db_archivedmonth_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("db", "0001_initial")]

    operations = [
        migrations.RunSQL(SCHEMA_FORWARD, SCHEMA_REVERSE),
        migrations.CreateModel(
            name="ArchivedMonth",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("table", models.CharField(max_length=63)),
                ("month", models.DateField(help_text="Its first day.")),
                ("partition", models.CharField(help_text="The table that held the month.", max_length=63)),
                (
                    "state",
                    models.CharField(
                        choices=[("DETACHED", "Detached"), ("EXPORTED", "Exported"), ("DROPPED", "Dropped")],
                        default="DETACHED",
                        max_length=10,
                    ),
                ),
                ("detached_at", models.DateTimeField()),
                ("exported_at", models.DateTimeField(blank=True, null=True)),
                (
                    "verified_at",
                    models.DateTimeField(blank=True, help_text="When the copy was last found to be right.", null=True),
                ),
                ("dropped_at", models.DateTimeField(blank=True, null=True)),
                ("rows", models.PositiveBigIntegerField(blank=True, null=True)),
                (
                    "location",
                    models.TextField(blank=True, default="", help_text="Address of the archive and path in it."),
                ),
                ("manifest_sha256", models.CharField(blank=True, default="", max_length=64)),
                ("drop_receipt", models.TextField(blank=True, default="")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("table", "month"), name="db_archivedmonth_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("dropped_at", None), ("exported_at", None), ("state", "DETACHED")),
                            models.Q(("dropped_at", None), ("exported_at__isnull", False), ("state", "EXPORTED")),
                            models.Q(
                                ("dropped_at__isnull", False), ("exported_at__isnull", False), ("state", "DROPPED")
                            ),
                            _connector="OR",
                        ),
                        name="db_archivedmonth_state_has_its_times",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("exported_at", None),
                            models.Q(
                                ("manifest_sha256__regex", "^[0-9a-f]{64}$"),
                                ("rows__isnull", False),
                                ("verified_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="db_archivedmonth_exported_has_a_copy",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARD_FORWARD, GUARD_REVERSE),
    ]
