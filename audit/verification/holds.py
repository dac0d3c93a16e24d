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

_PLACED = f"""
    SELECT id, id >> 44, id & ((1::bigint << 44) - 1), tableoid::regclass::text, "timestamp", organization_id,
           resource_id, changes -> 'after',
           EXISTS (SELECT FROM {LOG} AS released
                    WHERE released.organization_id IS NOT DISTINCT FROM log.organization_id
                      AND released.action_type = 'LEGAL_HOLD_RELEASE' AND released.result = 'SUCCESS'
                      AND released.resource_id = log.resource_id)
      FROM {LOG} AS log WHERE action_type = 'LEGAL_HOLD_PLACE' AND result = 'SUCCESS' ORDER BY "timestamp", id
"""  # noqa: S608  every part of it stands in this package


def check_holds() -> Iterator[Finding]:
    """Each hold that the log says was placed is there, covers what it did, and is released only if the log says so.

    Holds are few; they are held in memory.
    """
    holds = {str(hold.id): hold for hold in LegalHold.objects.all()}
    found = 0
    for id_, lane, lane_seq, partition, timestamp, organization_id, name, criteria, is_released in fetch(_PLACED):
        fault = _fault(holds.get(name), organization_id, criteria, is_released)
        if fault is not None and found < SHOWN:
            found += 1
            detail = f"legal hold {name}, which was placed here, {fault}"
            yield Finding("hold_differs", detail, lane, id_, lane_seq, partition, timestamp)


def _fault(hold: LegalHold | None, organization_id: Any, criteria: Any, is_released: bool) -> str | None:
    if hold is None:
        return "is gone"
    told = json.loads(criteria) if isinstance(criteria, str) else criteria
    if hold.organization_id != organization_id or canonical(plain(hold.criteria)) != canonical(told):
        return "covers something else than it did"
    if not hold.is_active and not is_released:
        return "is released, and no entry says by whom"
    return None
