"""The bare side of `audit_append_vs_single_chain_early` and `_late`: the same log as one hash chain behind one lock.

This is how a tamper-evident log is usually built: one head row, taken FOR UPDATE, so each entry can name the hash of
the one before it; whoever holds it keeps it until the commit. The table is made from the log's with LIKE, so it has the
same columns, value sets and indexes, with one partition; the log's triggers, which no INSERT fires, are left out. The
head row has the layout of the lanes' heads, and the function is the product's `audit_append` line by line: the same 22
arguments, the same hash, the same answer. One thing differs: there is one head and it is waited for, where the product
takes one of 256 that is free. So what the ratio shows is the lanes alone. Where there is a doubt it favours the bare
side: it never looks for a lane.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psycopg

_INSTALL = """
CREATE TABLE bench_chainhead (lane smallint PRIMARY KEY, lane_seq bigint NOT NULL, log_hash bytea NOT NULL)
    WITH (fillfactor = 20);
INSERT INTO bench_chainhead VALUES (0, 0, decode(repeat('00', 32), 'hex'));
CREATE TABLE bench_chainlog (LIKE audit_auditlog INCLUDING ALL) PARTITION BY RANGE ("timestamp");
CREATE TABLE bench_chainlog_now PARTITION OF bench_chainlog FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

CREATE FUNCTION bench_chain_append(
    p_organization_id uuid, p_user_id uuid, p_user_email text, p_actor_kind text, p_credential_id uuid,
    p_action_type text, p_action_description text, p_resource_type text, p_resource_id text, p_result text,
    p_source_ip text, p_user_agent text, p_interface text, p_correlation_id uuid, p_occurred_at timestamptz,
    p_context jsonb, p_changes jsonb, p_personal jsonb, p_salt bytea, p_content text, p_hash_version smallint,
    p_content_hash bytea
) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    v_seq bigint;
    v_at timestamptz;
    v_previous bytea;
    v_hash bytea;
BEGIN
    SELECT lane_seq + 1, log_hash INTO v_seq, v_previous FROM bench_chainhead WHERE lane = 0 FOR UPDATE;
    v_at := clock_timestamp();  -- under the lock
    v_hash := audit_log_hash(p_hash_version, 0::smallint, v_seq, v_at, v_previous, p_content_hash);
    UPDATE bench_chainhead SET lane_seq = v_seq, log_hash = v_hash WHERE lane = 0;
    INSERT INTO bench_chainlog VALUES (
        v_seq, v_at, p_organization_id, p_user_id, p_user_email, p_actor_kind,
        p_credential_id, p_action_type, p_action_description, p_resource_type, p_resource_id, p_result, p_source_ip,
        p_user_agent, p_interface, p_correlation_id, p_occurred_at, p_context, p_changes, p_personal, p_salt,
        p_content, p_hash_version, p_content_hash, 0, v_seq, v_previous, v_hash);
    RETURN int2send(0::smallint) || int8send(v_seq) || v_hash;
END
$body$;
GRANT SELECT ON bench_chainlog, bench_chainhead TO PUBLIC;
"""

_REMOVE = """
DROP FUNCTION bench_chain_append(
    uuid, uuid, text, text, uuid, text, text, text, text, text, text, text, text, uuid, timestamptz, jsonb, jsonb,
    jsonb, bytea, text, smallint, bytea);
DROP TABLE bench_chainlog;
DROP TABLE bench_chainhead;
"""

CALL = "bench_chain_append"
TABLE = "bench_chainlog"
HEAD = "bench_chainhead"

BROKEN_LINKS = """
    SELECT count(*) FROM (
        SELECT previous_log_hash, lag(log_hash) OVER (ORDER BY lane_seq) AS before, lane_seq,
               lag(lane_seq, 1, 0::bigint) OVER (ORDER BY lane_seq) AS seq_before
          FROM bench_chainlog
    ) AS entry
     WHERE lane_seq <> seq_before + 1 OR previous_log_hash <> coalesce(before, decode(repeat('00', 32), 'hex'))
"""
"""Entries that do not go on from the one before them; zero in a whole chain."""


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The chain, its head and its function, as the database's owner makes them; gone afterwards."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as connection:
        connection.execute(_INSTALL)
        try:
            yield
        finally:
            connection.execute(_REMOVE)
