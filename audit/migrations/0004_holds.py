"""Legal holds, and the index that finds erasures.

A hold is never deleted, and one UPDATE of it passes, for the owner too: its release, once. The index
`audit_auditlog_erasures` has an entry for erasures only; verification asks it whether an erasure names the rows whose
personal values are gone, whatever organization they belong to.
"""

from django.db import migrations, models
from django.db.models import F, Q

import forge.db.ids
from forge.db.operations import RefuseTruncate

GUARD_FORWARD = """
CREATE FUNCTION audit_legalhold_guard() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.released_at IS NULL AND NEW.released_at IS NOT NULL
       AND to_jsonb(NEW) - '{released_by,released_at,release_reason}'::text[]
         = to_jsonb(OLD) - '{released_by,released_at,release_reason}'::text[] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of audit_legalhold is refused: a hold is released once and never changed', TG_OP
        USING ERRCODE = 'RF001';
END
$body$;
CREATE TRIGGER audit_legalhold_guard BEFORE UPDATE OR DELETE ON audit_legalhold
    FOR EACH ROW EXECUTE FUNCTION audit_legalhold_guard();
"""
GUARD_REVERSE = """
DROP TRIGGER audit_legalhold_guard ON audit_legalhold;
DROP FUNCTION audit_legalhold_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_verifications")]

    operations = [
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "organization_id",
                    models.UUIDField(blank=True, help_text="Empty: the whole installation.", null=True),
                ),
                (
                    "user_id",
                    models.UUIDField(blank=True, help_text="Entries by this person or about them.", null=True),
                ),
                (
                    "resource_type",
                    models.CharField(blank=True, default="", help_text="As in the log: WorkSpace.", max_length=128),
                ),
                ("resource_id", models.CharField(blank=True, default="", max_length=128)),
                (
                    "period_start",
                    models.DateTimeField(blank=True, help_text="UTC. Empty: from the beginning.", null=True),
                ),
                (
                    "period_end",
                    models.DateTimeField(blank=True, help_text="UTC, not included. Empty: without end.", null=True),
                ),
                ("reason", models.CharField(max_length=500)),
                ("placed_by", models.UUIDField()),
                ("placed_at", models.DateTimeField()),
                ("released_by", models.UUIDField(blank=True, null=True)),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                ("release_reason", models.CharField(blank=True, default="", max_length=500)),
            ],
            options={
                "indexes": [models.Index("organization_id", "placed_at", "id", name="audit_legalhold_placed")],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(user_id__isnull=False)
                        | ~Q(resource_type="")
                        | Q(period_start__isnull=False)
                        | Q(period_end__isnull=False),
                        name="audit_legalhold_has_criterion",
                    ),
                    models.CheckConstraint(
                        condition=Q(resource_type="", resource_id="") | (~Q(resource_type="") & ~Q(resource_id="")),
                        name="audit_legalhold_whole_resource",
                    ),
                    models.CheckConstraint(
                        condition=Q(period_start__isnull=True)
                        | Q(period_end__isnull=True)
                        | Q(period_start__lt=F("period_end")),
                        name="audit_legalhold_period",
                    ),
                    models.CheckConstraint(condition=~Q(reason=""), name="audit_legalhold_has_reason"),
                    models.CheckConstraint(
                        condition=Q(released_at__isnull=True, released_by__isnull=True, release_reason="")
                        | (Q(released_at__isnull=False, released_by__isnull=False) & ~Q(release_reason="")),
                        name="audit_legalhold_whole_release",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARD_FORWARD, GUARD_REVERSE),
        RefuseTruncate("audit_legalhold"),
        migrations.AddIndex(
            "auditlog",
            models.Index("timestamp", name="audit_auditlog_erasures", condition=Q(action_type="AUDIT_ERASE")),
        ),
    ]
