"""Why an incarnation may be: the entry that began it carries the note of its first checkpoint, signed beforehand.

Whoever can write to the database can put a checkpoint of another incarnation there, and outside nothing contradicts a
name that it has never heard. So the sealer goes on under a new name, and a verification accepts it, only with a
signature that the database alone cannot make.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint
from forge.db import detached

ACTION = "AUDIT_NEW_INCARNATION"
TABLE = "audit_auditlog"

_NOTES = f"""
    SELECT context ->> 'note' FROM (
        SELECT context, organization_id, action_type, result FROM {TABLE}
         UNION ALL SELECT context, organization_id, action_type, result FROM {detached.twin(TABLE)}
    ) AS log
     WHERE organization_id IS NULL AND action_type = '{ACTION}' AND result = 'SUCCESS' AND context @> %(which)s::jsonb
"""  # noqa: S608  every part of it stands in this file and in forge.db


def is_vouched(connection: Any, first: Checkpoint, incarnation: int, known: Sequence[VerifierKey]) -> bool:
    """Whether the log has the entry that began `incarnation` with the checkpoint `first`, signed by a known key."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTES, {"which": json.dumps({"incarnation": incarnation})})
        notes = [note for (note,) in cursor.fetchall() if note]
    return any(_read(note, known) == first for note in notes)


def _read(note: str, known: Sequence[VerifierKey]) -> Checkpoint | None:
    try:
        return read_checkpoint(note, known)
    except NoteError:
        return None
