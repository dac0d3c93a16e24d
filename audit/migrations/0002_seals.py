"""Seals: the Merkle tree over all entries, its checkpoints, and which sinks they have reached.

Only the owner writes here (the sealer connects as alias `owner`); the application's role reads. All four tables are
append-only by trigger, for the owner too. One UPDATE passes: the note of a checkpoint from NULL to its text, because a
checkpoint is committed before it is signed; signing first would leave a signature over what a crash takes back.

`audit_auditnode` holds complete subtrees only (RFC 6962), so no row of it ever changes: a seal reads the at most
log2(n) peaks of the tree and writes one node per leaf, on average, whatever the size of the log.
"""

import django.db.models.deletion
from django.db import migrations, models

from forge.db.operations import AppendOnly, RefuseTruncate

GUARD_FORWARD = """
CREATE FUNCTION audit_checkpoint_guard() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.note IS NULL AND NEW.note IS NOT NULL
       AND to_jsonb(NEW) - 'note' = to_jsonb(OLD) - 'note' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of audit_auditcheckpoint is refused: a checkpoint is signed once and never changed', TG_OP
        USING ERRCODE = 'RF001';
END
$body$;
CREATE TRIGGER audit_checkpoint_guard BEFORE UPDATE OR DELETE ON audit_auditcheckpoint
    FOR EACH ROW EXECUTE FUNCTION audit_checkpoint_guard();
"""
GUARD_REVERSE = """
DROP TRIGGER audit_checkpoint_guard ON audit_auditcheckpoint;
DROP FUNCTION audit_checkpoint_guard();
"""

WIDTHS_FORWARD = """
ALTER TABLE audit_auditleaf ADD CONSTRAINT audit_auditleaf_width CHECK (octet_length(hash) = 32);
ALTER TABLE audit_auditnode ADD CONSTRAINT audit_auditnode_width CHECK (octet_length(hash) = 32);
ALTER TABLE audit_auditcheckpoint ADD CONSTRAINT audit_auditcheckpoint_width CHECK (octet_length(root_hash) = 32);
"""
WIDTHS_REVERSE = """
ALTER TABLE audit_auditleaf DROP CONSTRAINT audit_auditleaf_width;
ALTER TABLE audit_auditnode DROP CONSTRAINT audit_auditnode_width;
ALTER TABLE audit_auditcheckpoint DROP CONSTRAINT audit_auditcheckpoint_width;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="AuditLeaf",
            fields=[
                ("index", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("lane", models.PositiveSmallIntegerField()),
                ("lane_seq", models.PositiveBigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={"verbose_name": "audit leaf", "verbose_name_plural": "audit leaves"},
        ),
        migrations.CreateModel(
            name="AuditNode",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "index", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.PositiveSmallIntegerField()),
                ("index", models.PositiveBigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={"verbose_name": "audit node"},
        ),
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("id", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("incarnation", models.PositiveIntegerField()),
                ("origin", models.TextField()),
                ("tree_size", models.PositiveBigIntegerField()),
                ("root_hash", models.BinaryField()),
                (
                    "sealed_at",
                    models.DateTimeField(help_text="The database's clock when the entries to seal were looked up."),
                ),
                ("note", models.TextField(null=True)),
            ],
            options={"verbose_name": "audit checkpoint"},
        ),
        migrations.CreateModel(
            name="AuditPublication",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="publications",
                        to="audit.auditcheckpoint",
                    ),
                ),
                ("sink", models.TextField()),
                ("published_at", models.DateTimeField()),
            ],
            options={"verbose_name": "audit publication"},
        ),
        migrations.AddConstraint(
            model_name="auditleaf",
            constraint=models.UniqueConstraint(fields=("lane", "lane_seq"), name="audit_auditleaf_place"),
        ),
        migrations.AddConstraint(
            model_name="auditcheckpoint",
            constraint=models.UniqueConstraint(
                fields=("incarnation", "tree_size"), name="audit_auditcheckpoint_one_per_size"
            ),
        ),
        migrations.AddConstraint(
            model_name="auditpublication",
            constraint=models.UniqueConstraint(
                fields=("sink", "checkpoint"), name="audit_auditpublication_once_per_sink"
            ),
        ),
        migrations.RunSQL(WIDTHS_FORWARD, WIDTHS_REVERSE),
        AppendOnly("audit_auditleaf"),
        AppendOnly("audit_auditnode"),
        AppendOnly("audit_auditpublication"),
        migrations.RunSQL(GUARD_FORWARD, GUARD_REVERSE),
        RefuseTruncate("audit_auditcheckpoint"),
    ]
