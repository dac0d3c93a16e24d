"""The SQL of `audit.verification`: what a row must be, how rows hang together, and where lanes end.

Everything is computed by PostgreSQL's own functions, none of ours: a verifier should not ask what it verifies. The
table's rows are reached through the parent, because the application's role has no privilege on partitions; the range
of `timestamp` prunes to one of them and the range of `ctid` cuts it into pieces. Months that are detached are read
likewise through their own parent, and the place of dropped ones is taken by what the log says of them (`GONE`).
"""

# ruff: noqa: S608  every part of these statements stands in this file

from audit.verification.dropped import GONE, LOG


def _text(column: str) -> str:
    return f"to_json({column}::text)"


def _id(column: str) -> str:
    return f"""coalesce('"' || {column} || '"', 'null')"""


def _digest(value: str) -> str:
    return f"""coalesce('"' || encode(sha256(salt || convert_to({value}, 'UTF8')), 'hex') || '"', 'null')"""


def _identity(column: str, value: str) -> str:
    """The digest of a value of who acted; without the salt, what stands in the content."""
    return f"""CASE WHEN salt IS NULL THEN coalesce((content::jsonb #> '{{personal,{column}}}')::text, 'null')
                    ELSE {_digest(value)} END"""


# The canonical content again, from the columns alone: everything but what changes and context fill between the two
# parts, because jsonb does not keep canonical bytes. Comparing text is three times as fast as comparing jsonb.
_BEFORE = f"""concat(
    '{{"action_description":', {_text("action_description")}, ',"action_type":', {_text("action_type")},
    ',"actor_kind":', {_text("actor_kind")}, ',')"""
_AFTER = f"""concat(
    ',"correlation_id":', {_id("correlation_id")}, ',"credential_id":', {_id("credential_id")},
    ',"interface":', {_text("interface")},
    ',"occurred_at":"', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    '","organization_id":', {_id("organization_id")}, ',"personal":{{',
    CASE WHEN personal <> '{{}}' THEN (
        SELECT string_agg(concat(to_json(key), ':', CASE WHEN value <> 'null' THEN {_digest("value::text")}
                                                    ELSE 'null' END, ','), '' ORDER BY key COLLATE "C")
          FROM jsonb_each(personal))
    WHEN personal IS NULL THEN (
        SELECT string_agg(concat(to_json(key), ':', value, ','), '' ORDER BY key COLLATE "C")
          FROM jsonb_each(content::jsonb -> 'personal') WHERE key NOT IN ('source_ip', 'user_agent', 'user_email')) END,
    '"source_ip":', {_identity("source_ip", "to_json(source_ip::text)::text")},
    ',"user_agent":', {_identity("user_agent", "to_json(user_agent)::text")},
    ',"user_email":', {_identity("user_email", "to_json(user_email)::text")},
    '}},"resource_id":', {_text("resource_id")}, ',"resource_type":', {_text("resource_type")},
    ',"result":', {_text("result")}, ',"user_id":', {_id("user_id")}, ',"v":', hash_version, '}}')"""


def _rows(where: str) -> str:
    return f"""
    SELECT *, substring(raw FROM octet_length(before) + 1
                        FOR greatest(octet_length(raw) - octet_length(before) - octet_length(after), 0)) AS middle
      FROM (
          SELECT *, tableoid::regclass AS partition, convert_to(content, 'UTF8') AS raw,
                 convert_to({_BEFORE}, 'UTF8') AS before, convert_to({_AFTER}, 'UTF8') AS after
            FROM {LOG} AS log WHERE {where} OFFSET 0
      ) AS row
     OFFSET 0
"""


# Which rows: those of one partition in a range of its blocks; `of_lane` makes it a range of ids.
_PIECE = """"timestamp" >= %(first)s AND "timestamp" < %(end)s AND ctid >= %(low)s::tid AND ctid < %(high)s::tid"""
_ROWS = _rows(_PIECE)

_LOG_HASH = (
    "log_hash = sha256('forge.audit.entry'::bytea || substring(int2send(hash_version) FROM 2) || int2send(lane)"
    ' || int8send(lane_seq) || timestamptz_send("timestamp") || previous_log_hash || content_hash)'
)

# What is gone from a row was erased whole, or its personal values alone, and an audited erasure names the row so.
_ERASURE = """CASE
    WHEN salt IS NOT NULL AND personal IS NOT NULL THEN true
    WHEN salt IS NOT NULL THEN id <@ (SELECT about FROM erased)
    ELSE user_email IS NULL AND source_ip IS NULL AND user_agent IS NULL AND personal IS NULL
         AND id <@ (SELECT entries FROM erased) END"""

_HASHES = {
    "place": "id = (lane::bigint << 44) + lane_seq AND lane BETWEEN 0 AND 255 AND lane_seq >= 1",
    "version": "hash_version = 1",
    "content hash": "sha256(raw) = content_hash",
    "log hash": _LOG_HASH,
}
_COLUMNS = {
    "columns or personal values": "raw = before || middle || after",
    "changes or context": (
        "('{' || convert_from(middle, 'UTF8') || '}')::jsonb ="
        " jsonb_build_object('changes', coalesce(changes, 'null'), 'context', context)"
    ),
}
CHECKS = _HASHES | {"erasure": _ERASURE} | _COLUMNS
"""What each row is held against, in this order; a check that is not true, NULL included, has failed."""


def _failed(checks: dict[str, str]) -> str:
    """The first check that failed; CASE keeps the order, so what failed one is not read as JSON."""
    return "CASE " + " ".join(f"WHEN ({check}) IS NOT TRUE THEN '{name}'" for name, check in checks.items()) + " END"


_FAILED = _failed(CHECKS)

_IS_RANGE = "jsonb_typeof(range -> 0) = 'number' AND jsonb_typeof(range -> 1) = 'number'"


def _ranges(key: str) -> str:
    """The ids that the erasures name under that key; what is no [first, last] names none."""
    return f"""(
        SELECT range_agg(CASE WHEN {_IS_RANGE} THEN
                   CASE WHEN (range -> 0)::numeric BETWEEN 1 AND (range -> 1)::numeric
                             AND (range -> 1)::numeric < 1::bigint << 53
                   THEN int8range((range -> 0)::bigint, (range -> 1)::bigint, '[]') END END)
          FROM erasure, jsonb_path_query(erasure.context, 'lax $.{key}[*]') AS range)"""


# Read only once a row comes that is erased. An erasure vouches if its own row holds, and is sealed or waits for it.
_ERASURES = f"""
    WITH erasure AS MATERIALIZED (
        SELECT context FROM ({_rows("action_type = 'AUDIT_ERASE'")}) AS row
         WHERE result = 'SUCCESS' AND salt IS NOT NULL AND personal IS NOT NULL
           AND context ->> 'month' BETWEEN to_char(%(first)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM')
                                       AND to_char(%(end)s::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM')
           AND coalesce(
               (SELECT leaf.hash = sha256('\\x00'::bytea || row.log_hash) FROM audit_auditleaf AS leaf
                 WHERE leaf.lane = row.lane AND leaf.lane_seq = row.lane_seq),
               NOT EXISTS (SELECT FROM audit_auditleaf AS leaf
                            WHERE leaf.lane = row.lane AND leaf.lane_seq > row.lane_seq))
           AND ({_failed(_HASHES | _COLUMNS)}) IS NULL
    ), erased AS MATERIALIZED (SELECT {_ranges("entries")} AS entries, {_ranges("about")} AS about)
"""

COUNT_ROWS = f"{_ERASURES} SELECT count(*), count({_FAILED}) FROM ({_ROWS}) AS row"

BAD_ROWS = f"""
    {_ERASURES}
    SELECT id, lane, lane_seq, partition::text, "timestamp", failed
      FROM (SELECT *, {_FAILED} AS failed FROM ({_ROWS}) AS row) AS judged
     WHERE failed IS NOT NULL ORDER BY "timestamp", id LIMIT %(limit)s
"""

PLACE = f"""
    SELECT id, lane, lane_seq, tableoid::regclass::text, "timestamp" FROM {LOG} AS log
     WHERE {_PIECE}
"""


def of_lane(statement: str) -> str:
    """The same statement about the rows whose id is in [low, high), in whatever month they stand."""
    return statement.replace(_PIECE, "id >= %(low)s AND id < %(high)s")


# An id outside the lanes has failed the check of its place; here it would only be an overflow.
_SOME_LANE = "id > 0 AND id < 256::bigint << 44"

# The row before stands right before it in this range, or else somewhere in the log (another month), or nowhere.
BROKEN_LINKS = f"""
    WITH suspect AS (
        SELECT * FROM (
            SELECT id, lane, lane_seq, "timestamp", previous_log_hash, tableoid::regclass::text AS partition,
                   lag(id) OVER by_place AS id_before, lag(log_hash) OVER by_place AS hash_before
              FROM {LOG} AS log WHERE "timestamp" >= %(first)s AND "timestamp" < %(end)s AND {_SOME_LANE}
            WINDOW by_place AS (ORDER BY id, "timestamp")
        ) AS row
        WHERE (id_before = id - 1 AND hash_before = previous_log_hash) IS NOT TRUE
    )
"""
# Where two neighbours disagree and the later one's own hash is wrong, that one is at fault, and named by its own check.
_LINK_FINDINGS = f"""
    SELECT suspect.id, suspect.lane, suspect.lane_seq, suspect.partition, suspect."timestamp",
           before.id, before.lane_seq, before.partition, before."timestamp"
      FROM suspect LEFT JOIN LATERAL (
          SELECT id, lane_seq, "timestamp", tableoid::regclass::text AS partition FROM {LOG} AS log
           WHERE log.id < suspect.id AND log.id > (suspect.id >> 44) << 44 ORDER BY log.id DESC LIMIT 1
      ) AS before ON true
     WHERE NOT CASE WHEN suspect.lane_seq = 1 THEN suspect.previous_log_hash = decode(repeat('00', 32), 'hex')
               ELSE EXISTS (SELECT FROM {LOG} AS log
                             WHERE log.id = suspect.id - 1 AND log.log_hash = suspect.previous_log_hash)
                    OR EXISTS (
                        SELECT FROM {GONE} JOIN audit_auditleaf AS leaf
                          ON leaf.lane = gone.lane AND leaf.lane_seq = suspect.lane_seq - 1
                       WHERE gone.lane = suspect.lane AND suspect.lane_seq - 1 BETWEEN gone.first AND gone.last
                         AND leaf.hash = sha256('\\x00'::bytea || suspect.previous_log_hash)) END
       AND (before.id = suspect.id - 1 AND NOT EXISTS (
                SELECT FROM {LOG} AS log
                 WHERE log.id = suspect.id AND log."timestamp" = suspect."timestamp" AND {_LOG_HASH})) IS NOT TRUE
     ORDER BY suspect."timestamp", suspect.id LIMIT %(limit)s
"""
BROKEN_LINKS += _LINK_FINDINGS

# As BROKEN_LINKS, for the rows whose ids are in [low, high) of each lane.
BROKEN_LINKS_OF_LANES = (
    f"""
    WITH suspect AS (
        SELECT * FROM (
            SELECT row.*, lag(id) OVER by_place AS id_before, lag(log_hash) OVER by_place AS hash_before
              FROM unnest(%(lows)s::bigint[], %(highs)s::bigint[]) AS given (low, high) CROSS JOIN LATERAL (
                  SELECT id, lane, lane_seq, "timestamp", previous_log_hash, log_hash,
                         tableoid::regclass::text AS partition
                    FROM {LOG} AS log WHERE id >= given.low AND id < given.high OFFSET 0
              ) AS row
            WINDOW by_place AS (ORDER BY id, "timestamp")
        ) AS row
        WHERE (id_before = id - 1 AND hash_before = previous_log_hash) IS NOT TRUE
    )
"""
    + _LINK_FINDINGS
)

# The first row of each lane after a month: when its predecessor is gone, the month lost its end.
BROKEN_EDGES = (
    f"""
    WITH suspect AS (
        SELECT row.* FROM generate_series(0, 255) AS given (lane) CROSS JOIN LATERAL (
            SELECT id, lane, lane_seq, "timestamp", previous_log_hash, tableoid::regclass::text AS partition
              FROM {LOG} AS log
             WHERE log.id > given.lane::bigint << 44 AND log.id < (given.lane + 1)::bigint << 44
               AND log."timestamp" >= %(end)s ORDER BY log.id LIMIT 1
        ) AS row
    )
"""
    + _LINK_FINDINGS
)

# One statement, so that heads and rows are of one instant even while others append.
BROKEN_HEADS = f"""
    SELECT given.lane, head.lane_seq, last.id, last.lane_seq, last.partition, last."timestamp"
      FROM generate_series(0, 255) AS given (lane)
      LEFT JOIN audit_auditlane AS head ON head.lane = given.lane
      LEFT JOIN LATERAL (
          SELECT id, lane_seq, log_hash, "timestamp", tableoid::regclass::text AS partition FROM {LOG} AS log
           WHERE log.id > given.lane::bigint << 44 AND log.id < (given.lane + 1)::bigint << 44
           ORDER BY log.id DESC LIMIT 1
      ) AS last ON true
     WHERE (head.lane_seq = coalesce(last.lane_seq, 0)
            AND head.log_hash = coalesce(last.log_hash, decode(repeat('00', 32), 'hex'))) IS NOT TRUE
       AND NOT EXISTS (
           SELECT FROM {GONE} JOIN audit_auditleaf AS leaf ON leaf.lane = gone.lane AND leaf.lane_seq = head.lane_seq
            WHERE gone.lane = given.lane AND gone.last = head.lane_seq
              AND gone.first <= coalesce(last.lane_seq, 0) + 1
              AND coalesce(last.lane_seq, 0) < head.lane_seq AND leaf.hash = sha256('\\x00'::bytea || head.log_hash))
     ORDER BY given.lane
"""

HEADS = "SELECT lane, lane_seq FROM audit_auditlane"

# Through the primary key alone, and over all partitions, whatever their bounds say they hold.
SURPLUS = f"""
    SELECT head.lane, head.lane_seq, count(*)
      FROM {LOG} AS log
      JOIN unnest(%(lanes)s::bigint[], %(sequences)s::bigint[]) AS head (lane, lane_seq)
        ON log.id >> 44 = head.lane AND log.id <= (head.lane << 44) + least(head.lane_seq, (1::bigint << 44) - 1)
     GROUP BY head.lane, head.lane_seq
    HAVING count(*) + coalesce((
               SELECT sum(gone.last - gone.first + 1 - (
                          SELECT count(*) FROM forge_detached.audit_auditlog AS held
                           WHERE held.id BETWEEN (gone.lane << 44) + gone.first AND (gone.lane << 44) + gone.last))
                 FROM {GONE} WHERE gone.lane = head.lane), 0) > head.lane_seq
"""

SURPLUS_OF_LANES = f"""
    SELECT head.lane, head.lane_seq, rows.count
      FROM unnest(%(lanes)s::bigint[], %(sequences)s::bigint[], %(lows)s::bigint[]) AS head (lane, lane_seq, low)
     CROSS JOIN LATERAL (
         SELECT count(*) FROM {LOG} AS log WHERE log.id >= head.low
            AND log.id <= (head.lane << 44) + least(head.lane_seq, (1::bigint << 44) - 1)
     ) AS rows CROSS JOIN LATERAL (
         SELECT coalesce(sum(span.last - span.first + 1 - (
                    SELECT count(*) FROM forge_detached.audit_auditlog AS held
                     WHERE held.id BETWEEN span.first AND span.last)), 0) AS count
           FROM (SELECT greatest((gone.lane << 44) + gone.first, head.low) AS first,
                        (gone.lane << 44) + gone.last AS last
                   FROM {GONE} WHERE gone.lane = head.lane) AS span
          WHERE span.first <= span.last
     ) AS gone
     WHERE rows.count + gone.count > greatest(
               (head.lane << 44) + least(head.lane_seq, (1::bigint << 44) - 1) - head.low + 1, 0)
"""

TWINS = f"""
    SELECT id, id & ((1::bigint << 44) - 1), min(tableoid::regclass::text), max(tableoid::regclass::text),
           min("timestamp"), max("timestamp")
      FROM {LOG} AS log WHERE id >= %(low)s AND id < (%(lane)s + 1)::bigint << 44
     GROUP BY id HAVING count(*) > 1 ORDER BY min("timestamp"), id LIMIT %(limit)s
"""

PARTITIONS = """
    SELECT child.relname, pg_relation_size(child.oid) / current_setting('block_size')::bigint
      FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
     WHERE inhparent IN ('audit_auditlog'::regclass, 'forge_detached.audit_auditlog'::regclass)
"""

# Of lanes: those that have rows in [low, high), and where each ends.
FILLED = f"""
    SELECT given.low, given.high FROM unnest(%(lows)s::bigint[], %(highs)s::bigint[]) AS given (low, high)
     WHERE EXISTS (SELECT FROM {LOG} AS log WHERE log.id >= given.low AND log.id < given.high)
     ORDER BY given.low
"""

# The id at which the next piece of a lane begins.
NEXT_PIECE = f"""
    SELECT id FROM {LOG} AS log WHERE id >= %(low)s AND id < %(high)s ORDER BY id OFFSET %(rows)s LIMIT 1
"""
