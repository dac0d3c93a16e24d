"""The audit log: one row per action in monthly partitions, 256 lane heads, and the functions that append.

Only the functions write. They run as their owner, so the application's role needs no INSERT on the log and no UPDATE
on the heads: it can add an entry at the end of a lane and do nothing else. UPDATE, DELETE and TRUNCATE are refused by
triggers for everybody; one UPDATE passes, personal values and salt to NULL (erasure).

**Lanes.** A lane is a hash chain of its own. `audit_append` locks a head that nobody holds (FOR UPDATE SKIP LOCKED),
first the one that this session used last (setting `forge.audit_lane`), so a transaction keeps its lane and busy
sessions settle on lanes of their own; else the lowest free one, which opens lanes only as concurrency asks for them.
All 256 heads exist from here on: opening a lane is an UPDATE like any other and a missing head is a deletion. The
clock is read under the lock. `log_hash` is SHA-256 over fixed-width fields:

    'forge.audit.entry' || hash_version (1 byte) || lane (2) || lane_seq (8) || timestamp (8) ||
    previous_log_hash (32, zeros before the first) || content_hash (32)

big-endian; `timestamp` counts microseconds since 2000-01-01 00:00 UTC, as PostgreSQL's own binary form does.

**Value sets** are domains: PostgreSQL reads a table's CHECK anew for every statement (measured: six of them took a
fifth of an append), a domain's once per session.

**Ids.** `id` = lane · 2^44 + lane_seq: no sequence to call, exact in JSON numbers, unique by what the chain proves, and
the primary key's index walks each lane in order.

**Look-ups** (the seven indexes that the first design named, with organization in front where people search):
- by time: (organization_id, timestamp, id), and pruning to months; of the whole installation: (timestamp, id);
- by user, and user + time: (organization_id, user_id, timestamp, id);
- by action type, and + time: (organization_id, action_type, timestamp, id);
- by resource, and + time: (organization_id, resource_id, timestamp, id); an id names one resource, its type filters;
- by correlation id: (organization_id, correlation_id);
- by id, receipt and lane: the primary key (id, timestamp).
Result, interface and address narrow one of these.
"""

from django.db import migrations, models

from forge.db.operations import AppendOnly, PartitionedTable

DOMAINS_FORWARD = """
CREATE DOMAIN audit_actor_kind AS varchar(16) CONSTRAINT audit_auditlog_actor_kind CHECK (
    VALUE IN ('USER', 'SERVICE', 'JOB', 'COMMAND', 'ANONYMOUS'));
CREATE DOMAIN audit_result AS varchar(8) CONSTRAINT audit_auditlog_result CHECK (
    VALUE IN ('SUCCESS', 'FAILURE', 'DENIED'));
CREATE DOMAIN audit_interface AS varchar(8) CONSTRAINT audit_auditlog_interface CHECK (
    VALUE IN ('PORTAL', 'CLI', 'LUCY', 'API', 'ADMIN', 'COMMAND', 'JOB'));
"""
DOMAINS_REVERSE = "DROP DOMAIN audit_interface, audit_result, audit_actor_kind;"

COLUMNS = """
    id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    organization_id uuid,
    user_id uuid,
    user_email text,
    actor_kind audit_actor_kind NOT NULL,
    credential_id uuid,
    action_type varchar(64) NOT NULL,
    action_description text NOT NULL,
    resource_type varchar(128) NOT NULL,
    resource_id varchar(128) NOT NULL,
    result audit_result NOT NULL,
    source_ip varchar(45),
    user_agent text,
    interface audit_interface NOT NULL,
    correlation_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    context jsonb NOT NULL,
    changes jsonb,
    personal jsonb,
    salt bytea,
    content text NOT NULL,
    hash_version smallint NOT NULL,
    content_hash bytea NOT NULL,
    lane smallint NOT NULL,
    lane_seq bigint NOT NULL,
    previous_log_hash bytea NOT NULL,
    log_hash bytea NOT NULL,
    PRIMARY KEY (id, "timestamp")
"""

LANES_FORWARD = """
CREATE TABLE audit_auditlane (
    lane smallint PRIMARY KEY,
    lane_seq bigint NOT NULL,
    log_hash bytea NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit_auditlane SELECT lane, 0, decode(repeat('00', 32), 'hex') FROM generate_series(0, 255) AS lane;
-- Eight heads to a page, and room for as many dead versions of them before the page is pruned.
ALTER TABLE audit_auditlane SET (fillfactor = 20);
"""
LANES_REVERSE = "DROP TABLE audit_auditlane;"

FUNCTIONS_FORWARD = """
CREATE FUNCTION audit_log_hash(
    hash_version smallint, lane smallint, lane_seq bigint, recorded_at timestamptz,
    previous_log_hash bytea, content_hash bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN sha256(
    'forge.audit.entry'::bytea || substring(int2send(hash_version) FROM 2) || int2send(lane) || int8send(lane_seq)
    || timestamptz_send(recorded_at) || previous_log_hash || content_hash
);

CREATE FUNCTION audit_take_lane() RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    taken smallint;
BEGIN
    SELECT lane INTO taken FROM audit_auditlane ORDER BY lane LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- More than 256 transactions record at once: this one waits for a lane, any of them.
        SELECT lane INTO taken FROM audit_auditlane WHERE lane = pg_backend_pid() % 256 FOR UPDATE;
    END IF;
    IF taken IS NULL THEN
        RAISE EXCEPTION 'the audit log has no lanes' USING ERRCODE = 'RF002';
    END IF;
    PERFORM set_config('forge.audit_lane', taken::text, false);
END
$body$;

CREATE FUNCTION audit_append(
    p_organization_id uuid, p_user_id uuid, p_user_email text, p_actor_kind text, p_credential_id uuid,
    p_action_type text, p_action_description text, p_resource_type text, p_resource_id text, p_result text,
    p_source_ip text, p_user_agent text, p_interface text, p_correlation_id uuid, p_occurred_at timestamptz,
    p_context jsonb, p_changes jsonb, p_personal jsonb, p_salt bytea, p_content text, p_hash_version smallint,
    p_content_hash bytea
) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    v_lane smallint;
    v_seq bigint;
    v_at timestamptz;
    v_previous bytea;
    v_hash bytea;
BEGIN
    -- Plain statements: one UPDATE around the locking SELECT took 6 µs of CPU time more per append (measured).
    LOOP
        SELECT lane, lane_seq + 1, log_hash INTO v_lane, v_seq, v_previous FROM audit_auditlane
         WHERE lane = nullif(current_setting('forge.audit_lane', true), '')::smallint
           FOR UPDATE SKIP LOCKED;
        EXIT WHEN FOUND;
        PERFORM audit_take_lane();
    END LOOP;
    v_at := clock_timestamp();  -- under the lock
    v_hash := audit_log_hash(p_hash_version, v_lane, v_seq, v_at, v_previous, p_content_hash);
    UPDATE audit_auditlane SET lane_seq = v_seq, log_hash = v_hash WHERE lane = v_lane;
    INSERT INTO audit_auditlog VALUES (
        (v_lane::bigint << 44) + v_seq, v_at, p_organization_id, p_user_id, p_user_email, p_actor_kind,
        p_credential_id, p_action_type, p_action_description, p_resource_type, p_resource_id, p_result, p_source_ip,
        p_user_agent, p_interface, p_correlation_id, p_occurred_at, p_context, p_changes, p_personal, p_salt,
        p_content, p_hash_version, p_content_hash, v_lane, v_seq, v_previous, v_hash);
    RETURN int2send(v_lane) || int8send(v_seq) || v_hash;
END
$body$;
"""

BATCH_FORWARD = """
CREATE FUNCTION audit_append_many(entries jsonb) RETURNS bytea[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    v_lane smallint;
    v_before bigint;
    v_seq bigint;
    v_at timestamptz;
    v_hash bytea;
    previous bytea[] := '{}';
    hashes bytea[] := '{}';
    entry record;
BEGIN
    LOOP
        SELECT lane, lane_seq, clock_timestamp(), log_hash INTO v_lane, v_before, v_at, v_hash
          FROM (
              SELECT lane, lane_seq, log_hash FROM audit_auditlane
               WHERE lane = nullif(current_setting('forge.audit_lane', true), '')::smallint
                 FOR UPDATE SKIP LOCKED
          ) AS locked;
        EXIT WHEN FOUND;
        PERFORM audit_take_lane();
    END LOOP;
    v_seq := v_before;
    FOR entry IN
        SELECT hash_version, content_hash
          FROM ROWS FROM (jsonb_to_recordset(entries) AS (hash_version smallint, content_hash bytea))
               WITH ORDINALITY AS given (hash_version, content_hash, place)
         ORDER BY place
    LOOP
        v_seq := v_seq + 1;
        previous := previous || v_hash;
        v_hash := audit_log_hash(entry.hash_version, v_lane, v_seq, v_at, v_hash, entry.content_hash);
        hashes := hashes || v_hash;
    END LOOP;
    INSERT INTO audit_auditlog
    SELECT (v_lane::bigint << 44) + v_before + place, v_at, organization_id, user_id, user_email, actor_kind,
           credential_id, action_type, action_description, resource_type, resource_id, result, source_ip, user_agent,
           interface, correlation_id, occurred_at, context, changes, personal, salt, content, hash_version,
           content_hash, v_lane, v_before + place, previous_log_hash, log_hash
      FROM ROWS FROM (
               jsonb_to_recordset(entries) AS (
                   organization_id uuid, user_id uuid, user_email text, actor_kind text, credential_id uuid,
                   action_type text, action_description text, resource_type text, resource_id text, result text,
                   source_ip text, user_agent text, interface text, correlation_id uuid, occurred_at timestamptz,
                   context jsonb, changes jsonb, personal jsonb, salt bytea, content text, hash_version smallint,
                   content_hash bytea),
               unnest(previous), unnest(hashes)
           ) WITH ORDINALITY AS given (
               organization_id, user_id, user_email, actor_kind, credential_id, action_type, action_description,
               resource_type, resource_id, result, source_ip, user_agent, interface, correlation_id, occurred_at,
               context, changes, personal, salt, content, hash_version, content_hash, previous_log_hash, log_hash,
               place);
    UPDATE audit_auditlane SET lane_seq = v_seq, log_hash = v_hash WHERE lane = v_lane;
    RETURN (SELECT array_agg(int2send(v_lane) || int8send(v_before + place) || hash ORDER BY place)
              FROM unnest(hashes) WITH ORDINALITY AS given (hash, place));
END
$body$;
"""

FUNCTIONS_REVERSE = """
DROP FUNCTION audit_append_many(jsonb);
DROP FUNCTION audit_append(
    uuid, uuid, text, text, uuid, text, text, text, text, text, text, text, text, uuid, timestamptz, jsonb, jsonb,
    jsonb, bytea, text, smallint, bytea);
DROP FUNCTION audit_take_lane();
DROP FUNCTION audit_log_hash(smallint, smallint, bigint, timestamptz, bytea, bytea);
"""

ACTOR_KINDS = [
    ("USER", "User"),
    ("SERVICE", "Service"),
    ("JOB", "Job"),
    ("COMMAND", "Command"),
    ("ANONYMOUS", "Anonymous"),
]
RESULTS = [("SUCCESS", "Success"), ("FAILURE", "Failure"), ("DENIED", "Denied")]
INTERFACES = [
    ("PORTAL", "Portal"),
    ("CLI", "Cli"),
    ("LUCY", "Lucy"),
    ("API", "Api"),
    ("ADMIN", "Admin"),
    ("COMMAND", "Command"),
    ("JOB", "Job"),
]

INDEXES = [
    models.Index("organization_id", "timestamp", "id", name="audit_auditlog_time"),
    models.Index("organization_id", "user_id", "timestamp", "id", name="audit_auditlog_user"),
    models.Index("organization_id", "action_type", "timestamp", "id", name="audit_auditlog_action"),
    models.Index("organization_id", "resource_id", "timestamp", "id", name="audit_auditlog_resource"),
    models.Index("organization_id", "correlation_id", name="audit_auditlog_correlation"),
    models.Index("timestamp", "id", name="audit_auditlog_installation"),
]

PERSONAL = ("user_email", "source_ip", "user_agent", "personal", "salt")


class Migration(migrations.Migration):
    initial = True

    dependencies = [("db", "0001_initial")]

    operations = [
        migrations.RunSQL(DOMAINS_FORWARD, DOMAINS_REVERSE),
        PartitionedTable(
            "audit_auditlog",
            key="timestamp",
            columns=COLUMNS,
            state_operations=[
                migrations.CreateModel(
                    name="AuditLog",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        (
                            "timestamp",
                            models.DateTimeField(
                                help_text="The database's clock when the entry took its place in the lane."
                            ),
                        ),
                        ("organization_id", models.UUIDField(null=True)),
                        ("user_id", models.UUIDField(null=True)),
                        ("user_email", models.TextField(null=True)),
                        ("actor_kind", models.CharField(choices=ACTOR_KINDS, max_length=16)),
                        ("credential_id", models.UUIDField(null=True)),
                        ("action_type", models.CharField(max_length=64)),
                        ("action_description", models.TextField()),
                        ("resource_type", models.CharField(max_length=128)),
                        ("resource_id", models.CharField(max_length=128)),
                        ("result", models.CharField(choices=RESULTS, max_length=8)),
                        ("source_ip", models.CharField(max_length=45, null=True)),
                        ("user_agent", models.TextField(null=True)),
                        ("interface", models.CharField(choices=INTERFACES, max_length=8)),
                        ("correlation_id", models.UUIDField()),
                        ("occurred_at", models.DateTimeField(help_text="Business time: when it happened.")),
                        ("context", models.JSONField()),
                        ("changes", models.JSONField(null=True)),
                        ("personal", models.JSONField(null=True)),
                        ("salt", models.BinaryField(null=True)),
                        ("content", models.TextField()),
                        ("hash_version", models.PositiveSmallIntegerField()),
                        ("content_hash", models.BinaryField()),
                        ("lane", models.PositiveSmallIntegerField()),
                        ("lane_seq", models.PositiveBigIntegerField()),
                        ("previous_log_hash", models.BinaryField()),
                        ("log_hash", models.BinaryField()),
                    ],
                    options={"verbose_name": "audit entry", "verbose_name_plural": "audit log"},
                ),
            ],
        ),
        *(migrations.AddIndex("auditlog", index) for index in INDEXES),
        AppendOnly("audit_auditlog", allow_update_of=PERSONAL),
        migrations.RunSQL(
            LANES_FORWARD,
            LANES_REVERSE,
            state_operations=[
                migrations.CreateModel(
                    name="AuditLane",
                    fields=[
                        ("lane", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                        ("lane_seq", models.PositiveBigIntegerField()),
                        ("log_hash", models.BinaryField()),
                    ],
                    options={"verbose_name": "audit lane"},
                ),
            ],
        ),
        migrations.RunSQL(FUNCTIONS_FORWARD + BATCH_FORWARD, FUNCTIONS_REVERSE),
    ]
