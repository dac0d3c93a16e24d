"""Choose the tags by which costs are summed up, and drop them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import Max

from audit.actors import Actor
from audit.services import record
from costs import actions, permissions
from costs.models import CostRecord
from costs.tags.models import TagKey
from forge.accounts.locks import lock_scope_for_adoption
from forge.accounts.models import Organization
from forge.api.errors import Conflict, Refused
from forge.db.integrity import refusing
from workspaces.tagging.wanted import check_own

MOST_KEYS = 10
"""Of an organization: each one is another row per day and value."""


class TooManyTagKeys(Refused):
    code = "too_many_tag_keys"
    title = "The organization sums its costs by as many tags as it may"
    suggested_action = "Drop one that nobody asks for."


class TagKeyChosen(Conflict):
    code = "tag_key_chosen"
    title = "Costs are summed by this tag already, or its sums are still going"


class TagKeyGoing(Conflict):
    code = "tag_key_going"
    title = "The tag was dropped already; its sums are going"


def choose_tag_key(*, actor: Actor, organization: Organization, key: str, now: datetime) -> TagKey:
    """Sum costs by this tag from now on; a job sums up the past.

    Waits for the bookings of the organization that are under way, as adopting a budget does: whatever is booked
    later knows of the key. Raises MayNotChooseTags, TooManyTagKeys, TagKeyChosen, and what is wrong with the key.
    """
    permissions.require_tags(actor, organization.id)
    check_own({key: ""})
    with refusing({"costs_tagkey_one_per_key": TagKeyChosen()}):
        lock_scope_for_adoption(table="accounts_organization", scope_id=organization.id)
        if TagKey.objects.filter(organization=organization).count() >= MOST_KEYS:
            raise TooManyTagKeys(f"There are {MOST_KEYS}.", extra={"most": MOST_KEYS})
        booked = CostRecord.objects.filter(organization=organization).aggregate(latest=Max("period_start"))["latest"]
        after = max(booked or now, now).astimezone(UTC).date() + timedelta(days=1)
        chosen = TagKey(organization=organization, key=key, fill_before=after, since=after)
        chosen.save(force_insert=True)
        _record(actor, chosen, actions.TAG_KEY_CHOOSE, {"before": None, "after": {"key": key}}, now)
    return chosen


def drop_tag_key(*, actor: Actor, tag_key: TagKey, now: datetime) -> TagKey:
    """Sum costs by this tag no more; a job takes its sums away. The records keep their tags.

    Raises MayNotChooseTags, TagKeyGoing.
    """
    permissions.require_tags(actor, tag_key.organization_id)
    with refusing({}):
        lock_scope_for_adoption(table="accounts_organization", scope_id=tag_key.organization_id)
        dropped = TagKey.objects.select_for_update(no_key=True).get(pk=tag_key.pk)
        if dropped.state == TagKey.State.DROPPING:
            raise TagKeyGoing()
        dropped.state = TagKey.State.DROPPING
        dropped.save(update_fields=["state", "updated_at"])
        _record(actor, dropped, actions.TAG_KEY_DROP, {"before": {"key": dropped.key}, "after": None}, now)
    return dropped


def _record(actor: Actor, tag_key: TagKey, action: str, changes: dict, now: datetime) -> None:
    record(
        actor=actor,
        action=action,
        resource_type="TagKey",
        resource_id=str(tag_key.pk),
        description=f"Costs by the tag {tag_key.key}: {tag_key.get_state_display().lower()}",
        organization_id=tag_key.organization_id,
        changes=changes,
        occurred_at=now,
    )
