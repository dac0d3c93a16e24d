"""The bare side of `audit_append_vs_plain`: one SQL call that puts the same entry into a plain table.

The table has the log's columns but for the four of the chain (lane, lane_seq, previous_log_hash, log_hash), the same
domains, the same monthly partition and the same indexes; its id comes from a sequence. The call takes the same 22
arguments, content hash included (both sides get it ready made: it is reckoned before any lock, without the database),
reads the same clock and answers bytes. It is fair because it is what an audit log without proof would do: each side is
one prepared statement and one durable commit, and only the lane and the hash are missing. Where there is a doubt it
favours the bare side: it writes 80 bytes less per row, and a row of a lane has no counterpart.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psycopg

_COLUMNS = """
    organization_id uuid, user_id uuid, user_email text, actor_kind audit_actor_kind NOT NULL, credential_id uuid,
    action_type varchar(64) NOT NULL, action_description text NOT NULL, resource_type varchar(128) NOT NULL,
    resource_id varchar(128) NOT NULL, result audit_result NOT NULL, source_ip varchar(45), user_agent text,
    interface audit_interface NOT NULL, correlation_id uuid NOT NULL, occurred_at timestamptz NOT NULL,
    context jsonb NOT NULL, changes jsonb, personal jsonb, salt bytea, content text NOT NULL,
    hash_version smallint NOT NULL, content_hash bytea NOT NULL
"""

_INSTALL = f"""
CREATE SEQUENCE bench_plainlog_id;
CREATE TABLE bench_plainlog (
    id bigint NOT NULL, "timestamp" timestamptz NOT NULL, {_COLUMNS}, PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE TABLE bench_plainlog_now PARTITION OF bench_plainlog FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE INDEX ON bench_plainlog (organization_id, "timestamp", id);
CREATE INDEX ON bench_plainlog (organization_id, user_id, "timestamp", id);
CREATE INDEX ON bench_plainlog (organization_id, action_type, "timestamp", id);
CREATE INDEX ON bench_plainlog (organization_id, resource_id, "timestamp", id);
CREATE INDEX ON bench_plainlog (organization_id, correlation_id);
CREATE INDEX ON bench_plainlog ("timestamp", id);

CREATE FUNCTION bench_plain_append(
    p_organization_id uuid, p_user_id uuid, p_user_email text, p_actor_kind text, p_credential_id uuid,
    p_action_type text, p_action_description text, p_resource_type text, p_resource_id text, p_result text,
    p_source_ip text, p_user_agent text, p_interface text, p_correlation_id uuid, p_occurred_at timestamptz,
    p_context jsonb, p_changes jsonb, p_personal jsonb, p_salt bytea, p_content text, p_hash_version smallint,
    p_content_hash bytea
) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    v_id bigint := nextval('bench_plainlog_id');
BEGIN
    INSERT INTO bench_plainlog VALUES (
        v_id, clock_timestamp(), p_organization_id, p_user_id, p_user_email, p_actor_kind, p_credential_id,
        p_action_type, p_action_description, p_resource_type, p_resource_id, p_result, p_source_ip, p_user_agent,
        p_interface, p_correlation_id, p_occurred_at, p_context, p_changes, p_personal, p_salt, p_content,
        p_hash_version, p_content_hash);
    RETURN int8send(v_id);
END
$body$;
GRANT SELECT ON bench_plainlog TO PUBLIC;
"""

_REMOVE = """
DROP FUNCTION bench_plain_append(
    uuid, uuid, text, text, uuid, text, text, text, text, text, text, text, text, uuid, timestamptz, jsonb, jsonb,
    jsonb, bytea, text, smallint, bytea);
DROP TABLE bench_plainlog;
DROP SEQUENCE bench_plainlog_id;
"""

CALL = "bench_plain_append"
TABLE = "bench_plainlog"


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The plain table and its function, as the database's owner makes them; gone afterwards."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as connection:
        connection.execute(_INSTALL)
        try:
            yield
        finally:
            connection.execute(_REMOVE)
