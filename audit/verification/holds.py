"""Legal holds that were placed and are not there any more, though nobody released them: what they kept is in danger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from audit.canonical import canonical, plain
from audit.models import LegalHold
from audit.verification.dropped import LOG
from audit.verification.findings import SHOWN, Finding
from audit.verification.queries import fetch

# One pass over the log: no index begins with the type of an action.
_ENTRIES = f"""
    SELECT id, id >> 44, id & ((1::bigint << 44) - 1), tableoid::regclass::text, "timestamp", organization_id,
           resource_id, changes -> 'after', action_type = 'LEGAL_HOLD_RELEASE'
      FROM {LOG} AS log
     WHERE action_type IN ('LEGAL_HOLD_PLACE', 'LEGAL_HOLD_RELEASE') AND result = 'SUCCESS' ORDER BY "timestamp", id
"""  # noqa: S608  every part of it stands in this package


def check_holds() -> Iterator[Finding]:
    """Each hold that the log says was placed is there, covers what it did, and is released only if the log says so.

    Holds are few; they are held in memory.
    """
    # Holds are placed and released meanwhile: what had ended before the entries are read, what is there after it.
    ended = {str(id_) for id_ in LegalHold.objects.exclude(released_at=None).values_list("id", flat=True)}
    entries = fetch(_ENTRIES)
    released = {(organization_id, name) for *_, organization_id, name, _, is_release in entries if is_release}
    holds = {str(hold.id): hold for hold in LegalHold.objects.all()}
    found = 0
    for id_, lane, lane_seq, partition, timestamp, organization_id, name, criteria, is_release in entries:
        if is_release or found == SHOWN:
            continue
        is_untold = name in ended and (organization_id, name) not in released
        fault = _fault(holds.get(name), organization_id, criteria, is_untold=is_untold)
        if fault is not None:
            found += 1
            detail = f"legal hold {name}, which was placed here, {fault}"
            yield Finding("hold_differs", detail, lane, id_, lane_seq, partition, timestamp)


def _fault(hold: LegalHold | None, organization_id: Any, criteria: Any, *, is_untold: bool) -> str | None:
    if hold is None:
        return "is gone"
    told = json.loads(criteria) if isinstance(criteria, str) else criteria
    if hold.organization_id != organization_id or canonical(plain(hold.criteria)) != canonical(told):
        return "covers something else than it did"
    return "is released, and no entry says by whom" if is_untold else None
