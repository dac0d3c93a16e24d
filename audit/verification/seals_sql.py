"""The SQL of `audit.verification.seals`: how rows, leaves, nodes and checkpoints must agree.

As in `rows_sql` everything is computed by PostgreSQL's own functions. `size` and `newest` are the bounds up to which
everything is judged, read once: what is within them never changes, so sealing goes on meanwhile.
"""

# ruff: noqa: S608  every part of these statements stands in this file

from audit.verification.dropped import GONE, LOG

BOUNDS = """
    SELECT (SELECT coalesce(max("index") + 1, 0) FROM audit_auditleaf),
           coalesce((SELECT max(id) FROM audit_auditcheckpoint), 0)
"""

_PLACE = """log.id, log.id >> 44, log.id & ((1::bigint << 44) - 1), log.tableoid::regclass::text, log."timestamp" """
_LEAF_OF_ROW = """leaf.lane = log.id >> 44 AND leaf.lane_seq = log.id & ((1::bigint << 44) - 1)"""
_WITHIN = """log."timestamp" >= %(first)s AND log."timestamp" < %(end)s"""

_NEW_ROWS = f"""(
        SELECT row.* FROM unnest(%(lows)s::bigint[], %(highs)s::bigint[]) AS given (low, high) CROSS JOIN LATERAL (
            SELECT tableoid, id, "timestamp", log_hash FROM {LOG} AS log WHERE id >= given.low AND id < given.high
            OFFSET 0
        ) AS row
    ) AS log"""


def of_lanes(statement: str) -> str:
    """The same statement about the rows whose ids are in [low, high) of each lane, in whatever month they stand."""
    return statement.replace(f"{LOG} AS log", _NEW_ROWS)


# With the time of the checkpoint that sealed another row in this place.
OTHER_ROWS = f"""
    SELECT log.id, log.lane, log.lane_seq, log.partition, log."timestamp", checkpoint.sealed_at FROM (
        SELECT log.id, log.id >> 44 AS lane, leaf.lane_seq, log.tableoid::regclass::text AS partition, log."timestamp",
               leaf."index" AS leaf
          FROM {LOG} AS log JOIN audit_auditleaf AS leaf ON {_LEAF_OF_ROW}
         WHERE {_WITHIN} AND leaf.hash IS DISTINCT FROM sha256('\\x00'::bytea || log.log_hash)
         ORDER BY log."timestamp", log.id LIMIT %(limit)s
    ) AS log LEFT JOIN LATERAL (
        SELECT sealed_at FROM audit_auditcheckpoint WHERE tree_size > log.leaf ORDER BY id LIMIT 1
    ) AS checkpoint ON true ORDER BY log."timestamp", log.id
"""

# Rows below the last number of their lane that was sealed.
UNSEALED_ROWS = f"""
    SELECT {_PLACE} FROM {LOG} AS log
      JOIN (SELECT given.lane, last.lane_seq FROM generate_series(0, 255) AS given (lane) CROSS JOIN LATERAL (
                SELECT lane_seq FROM audit_auditleaf AS leaf WHERE leaf.lane = given.lane ORDER BY lane_seq DESC LIMIT 1
            ) AS last) AS sealed ON sealed.lane = log.id >> 44 AND log.id & ((1::bigint << 44) - 1) < sealed.lane_seq
      LEFT JOIN audit_auditleaf AS leaf ON {_LEAF_OF_ROW}
     WHERE {_WITHIN} AND leaf."index" IS NULL
     ORDER BY log."timestamp", log.id LIMIT %(limit)s
"""

# Where the row is gone: the month in which its leaf was sealed, and the times around it in the lane.
ROWLESS_LEAVES = f"""
    SELECT (leaf.lane::bigint << 44) + leaf.lane_seq, leaf.lane, leaf.lane_seq,
           to_char(checkpoint.sealed_at AT TIME ZONE 'UTC', '"audit_auditlog_"YYYY_MM'), before."timestamp",
           after."timestamp"
      FROM (
          SELECT lane, lane_seq, "index" FROM audit_auditleaf AS leaf
           WHERE "index" >= %(from)s AND "index" < %(size)s
             AND NOT EXISTS (SELECT FROM {LOG} AS log WHERE log.id = (leaf.lane::bigint << 44) + leaf.lane_seq)
             AND NOT EXISTS (SELECT FROM {GONE} WHERE gone.lane = leaf.lane
                                AND leaf.lane_seq BETWEEN gone.first AND gone.last)
           ORDER BY "index" LIMIT %(limit)s
      ) AS leaf
      LEFT JOIN LATERAL (SELECT sealed_at FROM audit_auditcheckpoint WHERE tree_size > leaf."index" ORDER BY id LIMIT 1
                        ) AS checkpoint ON true
      LEFT JOIN LATERAL (SELECT "timestamp" FROM {LOG} AS log
                          WHERE log.id < (leaf.lane::bigint << 44) + leaf.lane_seq AND log.id > leaf.lane::bigint << 44
                          ORDER BY log.id DESC LIMIT 1) AS before ON true
      LEFT JOIN LATERAL (SELECT "timestamp" FROM {LOG} AS log
                          WHERE log.id > (leaf.lane::bigint << 44) + leaf.lane_seq
                            AND log.id < (leaf.lane + 1)::bigint << 44
                          ORDER BY log.id LIMIT 1) AS after ON true
     ORDER BY leaf."index"
"""

# A row was committed after the checkpoint before its own looked, and before its own did; its time must say so.
ROWS_OUT_OF_TIME = f"""
    SELECT {_PLACE} FROM (
        SELECT id, tree_size, sealed_at, lag(tree_size, 1, 0::bigint) OVER by_id AS low,
               lag(sealed_at) OVER by_id AS since
          FROM audit_auditcheckpoint WHERE id >= %(base)s AND id <= %(newest)s WINDOW by_id AS (ORDER BY id)
    ) AS checkpoint
      JOIN audit_auditleaf AS leaf ON leaf."index" >= checkpoint.low AND leaf."index" < checkpoint.tree_size
      JOIN {LOG} AS log ON log.id = (leaf.lane::bigint << 44) + leaf.lane_seq
     WHERE checkpoint.id > %(base)s
       AND (log."timestamp" > checkpoint.sealed_at OR log."timestamp" < checkpoint.since - %(back)s)
     ORDER BY log."timestamp", log.id LIMIT %(limit)s
"""

LANES_BACK_IN_TIME = f"""
    SELECT {_PLACE} FROM (
        SELECT id, tableoid, "timestamp", lag("timestamp") OVER by_id AS last_at, lag(id) OVER by_id AS last_id
          FROM {LOG} AS log WINDOW by_id AS (ORDER BY id)
    ) AS log
     WHERE last_id >> 44 = id >> 44 AND "timestamp" < last_at - %(back)s
     ORDER BY "timestamp", id LIMIT %(limit)s
"""

LATE_ROWS = f"""
    SELECT {_PLACE} FROM {LOG} AS log LEFT JOIN audit_auditleaf AS leaf ON {_LEAF_OF_ROW}
     WHERE leaf."index" IS NULL AND log."timestamp" < clock_timestamp() - %(late)s
     ORDER BY log."timestamp", log.id LIMIT %(limit)s
"""

MISSING_LEAVES = """
    SELECT "index" FROM (
        SELECT "index", lag("index", 1, %(from)s::bigint - 1) OVER (ORDER BY "index") AS last FROM audit_auditleaf
         WHERE "index" >= %(from)s AND "index" < %(size)s
    ) AS leaf WHERE "index" <> last + 1 ORDER BY "index" LIMIT %(limit)s
"""

# Of numbers that are gone nothing but their leaves is left: one each, or another row's leaf hides under their name.
LEAVES_OF_GONE = f"""
    SELECT gone.lane, gone.first, gone.last, leaf.count FROM {GONE}
     CROSS JOIN LATERAL (SELECT count(*) AS count FROM audit_auditleaf
                          WHERE lane = gone.lane AND lane_seq BETWEEN gone.first AND gone.last) AS leaf
     WHERE leaf.count <> gone.last - gone.first + 1 ORDER BY gone.lane, gone.first LIMIT %(limit)s
"""

LEAVES = (
    """SELECT "index", hash FROM audit_auditleaf WHERE "index" >= %(low)s AND "index" < %(high)s ORDER BY "index" """
)

_CHILDREN = """(SELECT "index", hash FROM audit_auditnode WHERE level = %(level)s - 1)"""
_FAULTY_NODES = """
    SELECT coalesce(node."index", must."index") FROM (
        SELECT even."index" / 2 AS "index", sha256('\\x01'::bytea || even.hash || odd.hash) AS hash
          FROM {children} AS even JOIN {children} AS odd ON odd."index" = even."index" + 1
         WHERE even."index" %% 2 = 0 AND (even."index" / 2 + 1) << %(level)s <= %(size)s
           AND even."index" >= %(from)s >> %(level)s << 1
    ) AS must FULL JOIN (
        SELECT "index", hash FROM audit_auditnode WHERE level = %(level)s AND ("index" + 1) << %(level)s <= %(size)s
           AND "index" >= %(from)s >> %(level)s
    ) AS node ON node."index" = must."index"
     WHERE node.hash IS DISTINCT FROM must.hash ORDER BY 1 LIMIT %(limit)s
"""
FAULTY_NODES_ABOVE_LEAVES = _FAULTY_NODES.format(children="audit_auditleaf")
FAULTY_NODES = _FAULTY_NODES.format(children=_CHILDREN)

CHECKPOINTS = """
    SELECT id, incarnation, origin, tree_size, root_hash, sealed_at, note,
           sealed_at < clock_timestamp() - %(late)s AS is_late
      FROM audit_auditcheckpoint WHERE id > %(after)s AND id <= %(newest)s ORDER BY id LIMIT 5000
"""

INCARNATIONS = """
    SELECT incarnation, min(origin), min(tree_size) FROM audit_auditcheckpoint WHERE id <= %(newest)s
     GROUP BY incarnation ORDER BY incarnation
"""

# The lanes that stand in a range of leaves, each with the first place of it.
WINDOW = f"""
    SELECT (leaf.lane::bigint << 44) + leaf.lane_seq, leaf.lane, leaf.lane_seq, log.tableoid::regclass::text,
           log."timestamp"
      FROM (
        SELECT DISTINCT ON (lane) lane, lane_seq FROM audit_auditleaf
         WHERE "index" >= %(low)s AND "index" < %(high)s ORDER BY lane, lane_seq
    ) AS leaf LEFT JOIN {LOG} AS log ON log.id = (leaf.lane::bigint << 44) + leaf.lane_seq
     ORDER BY 1 LIMIT %(limit)s
"""

# Up to where a verification reaches, after which checkpoint it begins, the first number of each lane beyond that.
NEWEST_CHECKPOINT = "SELECT id, tree_size, root_hash FROM audit_auditcheckpoint ORDER BY id DESC LIMIT 1"
CHECKPOINT = "SELECT id, tree_size, root_hash, sealed_at FROM audit_auditcheckpoint WHERE id = %(id)s"

FLOORS = """
    SELECT given.lane,
           least(coalesce(later.first, least(coalesce(last.lane_seq, 0), 1::bigint << 44) + 1), (1::bigint << 44) - 1)
      FROM generate_series(0, 255) AS given (lane)
      LEFT JOIN (SELECT lane, min(lane_seq) AS first FROM audit_auditleaf WHERE "index" >= %(size)s GROUP BY lane
                ) AS later ON later.lane = given.lane
      LEFT JOIN LATERAL (SELECT lane_seq FROM audit_auditleaf AS leaf WHERE leaf.lane = given.lane
                          ORDER BY lane_seq DESC LIMIT 1) AS last ON true
     ORDER BY given.lane
"""
