"""Lists of the console that people come back to: saved under a name, for oneself alone."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import SavedList, User
from forge.api.errors import NotFound, Refused
from forge.db.locks import advisory_lock

MOST = 20
"""Saved lists of one person and model."""
LONGEST_NAME, LONGEST_QUERY = 60, 2000


class TooManySavedLists(Refused):
    code = "too_many_saved_lists"
    title = "There are as many saved filters of this list as there may be"
    suggested_action = "Take one away first."


class NothingToSave(Refused):
    code = "nothing_to_save"
    title = "A saved filter needs a name and a filter"


class UnknownSavedList(NotFound):
    code = "unknown_saved_list"
    title = "You have no such saved filter"


def save_list(*, actor: Actor, model_label: str, name: str, query: str, now: datetime) -> SavedList:
    """Keep `query` of that model's list under `name`, in place of what stood under it.

    Raises NothingToSave, TooManySavedLists.
    """
    user = _person(actor)
    name, query = name.strip(), query.strip()
    if not (0 < len(name) <= LONGEST_NAME and 0 < len(query) <= LONGEST_QUERY):
        raise NothingToSave(f"A name of 1 to {LONGEST_NAME} characters, and a filter of at most {LONGEST_QUERY}.")
    with transaction.atomic():
        advisory_lock(f"accounts_savedlist {user.pk}")
        saved = SavedList.objects.filter(user=user, model_label=model_label)
        before = saved.filter(name=name).first()
        if before is None and saved.count() >= MOST:
            raise TooManySavedLists(f"There are {MOST}.")
        kept, _ = SavedList.objects.update_or_create(
            user=user,
            model_label=model_label,
            name=name,
            defaults={"query": query, "organization_id": user.organization_id, "updated_at": now},
        )
        _record(actor, actions.LIST_SAVE, kept, before=before and _state(before), after=_state(kept), now=now)
    return kept


def forget_list(*, actor: Actor, saved_id: uuid.UUID, now: datetime) -> SavedList:
    """Take a saved list away; raises UnknownSavedList, also for somebody else's."""
    user = _person(actor)
    with transaction.atomic():
        kept = SavedList.objects.visible_to(user).select_for_update().filter(pk=saved_id).first()
        if kept is None:
            raise UnknownSavedList("It may have been taken away already.")
        _record(actor, actions.LIST_FORGET, kept, before=_state(kept), after=None, now=now)
        SavedList.objects.filter(pk=kept.pk).delete()
    return kept


def _person(actor: Actor) -> User:
    if not isinstance(actor.user, User):
        raise NothingToSave("People alone have saved filters.")
    return actor.user


def _record(actor: Actor, action: str, kept: SavedList, *, before: Any, after: Any, now: datetime) -> None:
    record(
        actor=actor,
        action=action,
        description=f"Saved filter of {kept.model_label} {'set' if after else 'taken away'}",
        resource_type="SavedList",
        resource_id=str(kept.pk),
        changes={"before": before, "after": after},
        occurred_at=now,
    )


def _state(kept: SavedList) -> dict[str, str]:
    return {"model_label": kept.model_label, "name": kept.name, "query": kept.query}
