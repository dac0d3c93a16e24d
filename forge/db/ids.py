"""Identifiers that sort by the time they were made.

UUIDv7 (RFC 9562) for what has an address; rows of volume take a bigint from a plain sequence. Set-based INSERTs call
the SQL function `forge_uuid7()` (migration db.0001), which makes the same kind of id.
"""

from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    """A new UUIDv7 of the standard library's type (Django's UUIDField refuses `uuid_utils.UUID`)."""
    return _uuid7()
