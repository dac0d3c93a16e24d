"""Finding people by how their name, email or directory user begins: each by an index, also among millions.

Where nobody's begins so, the words are looked for anywhere in them, for a moment: in an organization of thousands that
finds the middle of a name, among millions it ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from forge.accounts.models import User
from forge.db.locks import statement_timeout
from forge.db.prefixes import begins_with

HELP = "A whole id, or how a name or email begins"
MOST = 500
"""People that one search finds, each with a row in the list."""
LONGEST = 0.25
"""Seconds that looking for words anywhere may take."""
COLUMNS = ("search_email", "search_name", "search_surname", "search_directory_user")


class TookTooLong(Exception):
    """What no index answers was not found in time."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Let no read of the block take longer; raises TookTooLong. The block writes nothing."""
    try:
        with transaction.atomic():
            statement_timeout(seconds)
            yield
            transaction.set_rollback(True)  # it takes the limit back
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TookTooLong from error
        raise


def people_with(people: QuerySet[User], term: str, *, most: int, anywhere: bool = True) -> list[uuid.UUID]:
    """Ids of at most `most` of the people whose name, last name, email or directory user begins with the term.

    Where nobody's does, and `anywhere`, of those who have it anywhere in them.
    """
    found: dict[uuid.UUID, None] = {}
    for column in COLUMNS:
        beginning = people.filter(begins_with(column, term)).order_by(column, "id")
        found |= dict.fromkeys(beginning.values_list("pk", flat=True)[:most])
    if found or not anywhere:
        return list(found)[:most]
    words = Q(email__icontains=term) | Q(full_name__icontains=term) | Q(directory_username__icontains=term)
    try:
        with bounded(LONGEST):
            return list(people.filter(words).order_by().values_list("pk", flat=True)[:most])
    except TookTooLong:
        return []


def is_whole_id(term: str) -> bool:
    try:
        uuid.UUID(term)
    except ValueError:
        return False
    return True


class FindsPeople:
    """Mixin of admin classes whose rows are of a person each: by a whole id, or by the person.

    `person` is the path to the person, `found_by` names fields that a term is compared with as a whole besides.
    """

    person = "user"
    found_by: tuple[str, ...] = ()
    search_fields = ("id__exact",)
    search_help_text = HELP

    def get_search_results(self, request: Any, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term or is_whole_id(term):
            return super().get_search_results(request, queryset, term)  # type: ignore[misc]
        user = request.user
        people = User.objects.all() if user.is_operator else User.objects.filter(organization_id=user.organization_id)
        people = people.filter(Exists(queryset.order_by().filter(**{self.person: OuterRef("pk")})))
        matches = Q(**{f"{self.person}__in": people_with(people, term, most=MOST)})
        for name in self.found_by:
            matches |= Q(**{name: term})
        return queryset.filter(matches), False
