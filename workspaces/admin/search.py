"""What the search box of the machines finds: by whole ids, and by how a name or a person's name begins.

Each is answered by an index, under row-level security too (forge.db.prefixes), for an organization's people and for
operators, who look into all. Only what so finds nothing is looked for anywhere in names, and not for longer than
LONGEST.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from forge.accounts.models import User
from forge.accounts.searching import TookTooLong, bounded, people_with
from forge.db.prefixes import begins_with
from workspaces.models import WorkSpace

HELP = "A whole id, or how a name or email begins"
MOST_PEOPLE = MOST_NAMED = 200
LONGEST = 0.25
"""Seconds."""
_PROVIDER_ID = "ws-"


def found(machines: QuerySet[WorkSpace], term: str, *, user: Any) -> QuerySet[WorkSpace]:
    """The machines of the id, or of names and at most MOST_PEOPLE owners that begin so, else that have it in a name."""
    term = term.strip()
    if not term or "\x00" in term:
        return machines.none() if term else machines
    try:
        return machines.filter(pk=uuid.UUID(term))
    except ValueError:
        pass
    if term.startswith(_PROVIDER_ID):
        # Only for this service and not for '' the ids are unique, and their index is of these alone.
        return machines.filter(service_type=WorkSpace.ServiceType.PERSONAL, provider_id=term).exclude(provider_id="")
    everybody = machines.order_by()
    named = list(everybody.filter(begins_with("search_name", term)).values_list("pk", flat=True)[:MOST_NAMED])
    people = User.objects.all() if user.is_operator else User.objects.filter(organization_id=user.organization_id)
    people = people.filter(Exists(everybody.filter(owner=OuterRef("pk"))))  # or those without machines use MOST up
    owners = people_with(people, term, most=MOST_PEOPLE, anywhere=not named)
    if named or owners:
        return machines.filter(Q(pk__in=named) | Q(owner__in=owners))
    return machines.filter(pk__in=_anywhere(everybody, term))


def _anywhere(machines: QuerySet[WorkSpace], words: str) -> list[uuid.UUID]:
    """At most MOST_NAMED machines with the words in their name; none where looking takes too long."""
    try:
        with bounded(LONGEST):
            return list(machines.filter(name__icontains=words).values_list("pk", flat=True)[:MOST_NAMED])
    except TookTooLong:
        return []
