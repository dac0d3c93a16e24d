"""What the search box of the machines finds: by whole ids, by name, and by person; each by an index.

People are few beside machines: words are looked for in them, and their machines are found by an index. Only what that
does not find is looked for in the names of all machines, and not for longer than LONGEST.
"""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
from django.db import OperationalError, transaction
from django.db.models import Q, QuerySet

from forge.accounts.models import User
from forge.db.locks import statement_timeout
from workspaces.models import WorkSpace

HELP = "A whole id or name of a machine, or a person"
MOST_PEOPLE = MOST_NAMED = 200
LONGEST = 0.5
"""Seconds."""
_PROVIDER_ID = "ws-"


def found(machines: QuerySet[WorkSpace], term: str, *, user: Any) -> QuerySet[WorkSpace]:
    """The machines of the id or name, else of at most MOST_PEOPLE people with the words, else with them in the name."""
    term = term.strip()
    if not term or "\x00" in term:
        return machines.none() if term else machines
    try:
        return machines.filter(pk=uuid.UUID(term))
    except ValueError:
        pass
    if term.startswith(_PROVIDER_ID):
        return machines.filter(provider_id=term)
    people = User.objects.all() if user.is_operator else User.objects.filter(organization_id=user.organization_id)
    # Forge names a machine for its owner's directory user and the end of its id.
    owner_name, dash, _ = term.rpartition("-")
    if dash:
        named = machines.filter(owner__in=_ids(people.filter(directory_username__iexact=owner_name)), name=term)
        if named.exists():
            return named
    words = Q(email__icontains=term) | Q(full_name__icontains=term) | Q(directory_username__icontains=term)
    owners = _ids(people.filter(words))
    return machines.filter(owner__in=owners) if owners else machines.filter(pk__in=_named(machines, term))


def _ids(people: QuerySet[User]) -> list[uuid.UUID]:
    return list(people.order_by("email").values_list("pk", flat=True)[:MOST_PEOPLE])


def _named(machines: QuerySet[WorkSpace], words: str) -> list[uuid.UUID]:
    """At most MOST_NAMED machines with the words in their name; none where looking takes LONGEST."""
    try:
        with transaction.atomic():
            statement_timeout(LONGEST)
            named = list(machines.filter(name__icontains=words).order_by().values_list("pk", flat=True)[:MOST_NAMED])
            transaction.set_rollback(True)  # nothing was written: it takes the time limit back
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            return []
        raise
    return named
