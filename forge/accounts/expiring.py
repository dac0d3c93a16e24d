"""Warnings before a token, or a person's credentials, end: by mail, once for each end.

A warning is owed by the row's id and its end, so the job may run as often as it likes, and twice at once.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from forge.accounts.models import ApiToken, Membership, User
from forge.outbox.services import Owed, owe

Role = Membership.Role
TOKEN_ENDS, CREDENTIALS_END = "account.token_ends", "account.credentials_end"


def warn(*, now: datetime) -> dict[str, int]:
    """Owe a mail for every end within FORGE_EXPIRY_WARNING_DAYS; how many tokens and people are near theirs.

    A token's owner is told; of a service's token the admins. Of a person's end the person, and the leads of the teams.
    """
    until = now + timedelta(days=settings.FORGE_EXPIRY_WARNING_DAYS)
    live = Q(user__is_active=True, user__organization__is_active=True)
    tokens = list(
        ApiToken.objects.filter(live, revoked_at=None, expires_at__gt=now, expires_at__lte=until)
        .select_related("user")
        .order_by("id")
    )
    people = list(
        User.objects.filter(
            is_active=True,
            organization__is_active=True,
            credentials_expire_at__gt=now,
            credentials_expire_at__lte=until,
        ).order_by("id")
    )
    with transaction.atomic():
        owe([*_of_tokens(tokens), *_of_people(people)], now=now)
    return {"tokens": len(tokens), "people": len(people)}


def _of_tokens(tokens: Iterable[ApiToken]) -> Iterator[Owed]:
    admins = _admins({token.organization_id for token in tokens if token.user.is_service})
    for token in tokens:
        readers = admins[token.organization_id] if token.user.is_service else [token.user_id]
        for reader in readers:
            yield _owed(TOKEN_ENDS, "ApiToken", token.organization_id, reader, token.id, token.expires_at)


def _of_people(people: Iterable[User]) -> Iterator[Owed]:
    leads = _leads([user.id for user in people])
    admins = _admins({user.organization_id for user in people if user.is_service})
    for user in people:
        readers = admins[user.organization_id] if user.is_service else [user.id, *leads[user.id]]
        for reader in dict.fromkeys(readers):
            yield _owed(CREDENTIALS_END, "User", user.organization_id, reader, user.id, user.credentials_expire_at)


def _owed(
    kind: str,
    target_type: str,
    organization_id: uuid.UUID | None,
    recipient_id: uuid.UUID,
    target_id: uuid.UUID,
    end: datetime | None,
) -> Owed:
    if organization_id is None or end is None:
        raise ValueError("only what has an organization and an end is looked for")
    return Owed(
        organization_id=organization_id,
        recipient_id=recipient_id,
        kind=kind,
        target_type=target_type,
        target_id=target_id,
        once=f"{target_id}:{end.isoformat()}",
        facts={"ends_at": end.isoformat()},
        useless_after=end,
    )


def _admins(organization_ids: set[uuid.UUID | None]) -> dict[uuid.UUID | None, list[uuid.UUID]]:
    found: dict[uuid.UUID | None, list[uuid.UUID]] = defaultdict(list)
    named = [one for one in organization_ids if one is not None]
    rows = Membership.objects.filter(organization_id__in=named, role=Role.ADMIN, user__is_active=True)
    for organization_id, user_id in rows.order_by("id").values_list("organization_id", "user_id"):
        found[organization_id].append(user_id)
    return found


def _leads(user_ids: list[uuid.UUID]) -> dict[uuid.UUID, list[uuid.UUID]]:
    teams = defaultdict(list)
    for user_id, team_id in Membership.objects.filter(user_id__in=user_ids, team__isnull=False).values_list(
        "user_id", "team_id"
    ):
        teams[team_id].append(user_id)
    found: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    rows = Membership.objects.filter(team_id__in=list(teams), role=Role.TEAM_LEAD, user__is_active=True)
    for team_id, lead_id in rows.order_by("id").values_list("team_id", "user_id"):
        for user_id in teams[team_id]:
            found[user_id].append(lead_id)
    return found
