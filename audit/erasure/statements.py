"""The SQL of `audit.erasure`: which rows are about a person, and what is taken from them.

A row is erased whole (`entries`) when it is the person's own, or nobody's and names the person: all five columns that
can be erased become NULL. Another actor's row that names the person (`about`) loses its personal values; who acted and
from where, and the salt that these need, stay. Months that are detached are searched and erased like the others.
"""

# ruff: noqa: S608  every part of these statements stands in this file or in audit.holds

from audit.holds import COVERS
from audit.verification.dropped import LOG, TABLE

_NAMES = """(
    (resource_type = 'User' AND resource_id = %(user_id)s)
    OR context ->> 'credential_prefix' = %(user_hex)s
    OR EXISTS (SELECT FROM jsonb_each_text(personal) WHERE value ~* %(pattern)s))"""
_IS_NOBODYS = """user_id IS NULL AND (user_email IS NULL OR user_email ~* %(pattern)s)
    AND (source_ip IS NOT NULL OR user_agent IS NOT NULL OR personal <> '{}')"""
_IS_OWN = "user_id = %(user_id)s::uuid"

_PIECE = """"timestamp" >= %(first)s AND "timestamp" < %(end)s AND ctid >= %(low)s::tid AND ctid < %(high)s::tid"""


def _subjects(source: str) -> str:
    return f"""
    SELECT * FROM (
        SELECT id, "timestamp", organization_id, user_id, resource_type, resource_id,
               content ~* %(pattern)s AS is_in_content,
               coalesce({_IS_OWN}, false) AS is_own,
               CASE WHEN salt IS NOT NULL AND ({_IS_OWN} OR ({_IS_NOBODYS} AND {_NAMES})) THEN 'entries'
                    WHEN personal <> '{{}}' AND {_NAMES} THEN 'about' END AS form
          FROM {source} OFFSET 0
    ) AS row
"""


_IN_DATABASE = _subjects(f"{LOG} AS log WHERE {_PIECE}")
_IN_COPY = _subjects("""jsonb_to_recordset(%(lines)s::jsonb) AS log (
              id bigint, "timestamp" timestamptz, organization_id uuid, user_id uuid, resource_type text,
              resource_id text, content text, context jsonb, user_email text, source_ip text, user_agent text,
              personal jsonb, salt text)""")

SURVEY = f"""
    WITH row AS MATERIALIZED ({_IN_DATABASE} WHERE form IS NOT NULL OR is_in_content)
    SELECT count(*) FILTER (WHERE form = 'entries'), count(*) FILTER (WHERE form = 'about'),
           count(*) FILTER (WHERE is_in_content), min(id) FILTER (WHERE is_in_content),
           (SELECT coalesce(array_agg(DISTINCT hold.id), '{{}}')
              FROM row AS entry JOIN audit_legalhold AS hold ON {COVERS} WHERE entry.form IS NOT NULL)
      FROM row
"""

CHUNK = f"""
    SELECT id, organization_id, form,
           (SELECT min(hold.id::text) FROM audit_legalhold AS hold WHERE {COVERS})
      FROM ({_IN_DATABASE} WHERE form IS NOT NULL AND is_own = %(is_own)s ORDER BY id LIMIT %(limit)s) AS entry
"""

IN_COPY = f"""
    SELECT id, organization_id, form,
           (SELECT min(hold.id::text) FROM audit_legalhold AS hold WHERE {COVERS})
      FROM ({_IN_COPY} WHERE form IS NOT NULL ORDER BY id) AS entry
"""
"""The same of `lines`: entries of a bundle with their personal values, as one JSON array."""

ERASE = {
    "entries": """
        UPDATE {table}
           SET user_email = NULL, source_ip = NULL, user_agent = NULL, personal = NULL, salt = NULL
         WHERE id = ANY(%(ids)s) AND "timestamp" >= %(first)s AND "timestamp" < %(end)s
    """,
    "about": """
        UPDATE {table} SET personal = NULL
         WHERE id = ANY(%(ids)s) AND "timestamp" >= %(first)s AND "timestamp" < %(end)s
    """,
}

ADDRESSES = f"SELECT DISTINCT user_email FROM {LOG} AS log WHERE user_id = %s AND user_email IS NOT NULL"
PEOPLE = f"SELECT DISTINCT user_id FROM {LOG} AS log WHERE lower(user_email) = lower(%s) AND user_id IS NOT NULL"
# Where months have left, the copies of these may know whom the log does not.
IS_KNOWN = f"""
    SELECT EXISTS (SELECT FROM {LOG} AS log WHERE user_id = %s::uuid OR resource_id = %s::text)
        OR EXISTS (SELECT FROM db_archivedmonth WHERE "table" = '{TABLE}' AND state <> 'DETACHED')
"""
