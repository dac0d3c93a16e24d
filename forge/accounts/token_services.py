"""Issuing and revoking API tokens."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.actors import Actor, Interface
from audit.services import record
from forge.accounts import actions, tokens
from forge.accounts import networks as networks_of
from forge.accounts.authentication import TokenExpired
from forge.accounts.models import ApiToken, Membership, User
from forge.accounts.scopes import SCOPES
from forge.accounts.services import MayNotManagePeople, require_role
from forge.api.errors import Conflict, Denied, Refused


class TokenEndInPast(Refused):
    code = "token_end_in_past"
    title = "A token must end in the future"


class UnknownScope(Refused):
    code = "unknown_scope"
    title = "Not a token scope"


class NotANetwork(Refused):
    code = "not_a_network"
    title = "Not a network in CIDR notation"


class ServiceTokenNeedsEnd(Refused):
    code = "service_token_needs_end"
    title = "A token of a service account must have an end"


class LucyIssuesNoTokens(Denied):
    code = "lucy_issues_no_tokens"
    title = "The assistant's token makes no other tokens, or its limits would bind nobody"


class WiderThanItsIssuer(Denied):
    code = "wider_than_its_issuer"
    title = "A token issues none that lasts longer or may do more than itself"


class NoLiveTokens(Conflict):
    code = "no_live_tokens"
    title = "There is no token that works"


class TokenAlreadyRevoked(Conflict):
    code = "token_already_revoked"
    title = "The token is revoked already"


def issue_token(
    *,
    actor: Actor,
    user: User,
    name: str,
    now: datetime,
    interface: str = ApiToken.Interface.API,
    scopes: Sequence[str] = (),
    networks: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A new token and its text, which is shown this once; for oneself, or by an admin for others.

    A token issues none that ends later, has other scopes or is used from elsewhere than itself, or whoever finds it
    could keep it for ever. Whoever ends tokens of the person meanwhile waits, or is waited for: what is ended makes
    none. Raises TokenExpired, LucyIssuesNoTokens, WiderThanItsIssuer, TokenEndInPast, ServiceTokenNeedsEnd,
    UnknownScope, NotANetwork, MayNotManagePeople.
    """
    _require_may_manage(actor, user)
    if actor.interface == Interface.LUCY:
        raise LucyIssuesNoTokens("Issue it through the portal or another token.")
    if expires_at is not None and expires_at <= now:
        raise TokenEndInPast("Set expires_at to a time to come, or leave it out.")
    if expires_at is None and user.is_service:
        raise ServiceTokenNeedsEnd("Nobody notices a forgotten one: set expires_at.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise UnknownScope(f"{unknown[0]!r} is not one of: {', '.join(SCOPES)}.")
    allowed = _canonical(networks)
    parts = tokens.generate()
    with transaction.atomic():
        _lock_people(actor.user_id, user.id)
        _require_live(actor, now)
        _require_within_issuer(actor, scopes, allowed, expires_at)
        token = ApiToken.objects.create(
            organization_id=user.organization_id,
            user=user,
            name=name,
            prefix=parts.prefix,
            secret_hash=parts.secret_hash,
            interface=interface,
            scopes=list(scopes),
            networks=allowed,
            expires_at=expires_at,
        )
        record(
            actor=actor.in_organization(user.organization_id),
            action=actions.TOKEN_CREATE,
            resource_type="ApiToken",
            resource_id=str(token.id),
            description=f"Issued token {token.id} to user {user.id}",
            changes={
                "before": None,
                "after": {
                    "interface": interface,
                    "scopes": list(scopes),
                    "networks": allowed,
                    "expires_at": expires_at,
                },
            },
        )
    return token, parts.text


def revoke_token(*, actor: Actor, token: ApiToken, now: datetime) -> ApiToken:
    """End a token at once; for whoever `may_revoke` names. Raises TokenAlreadyRevoked, MayNotManagePeople."""
    if actor.kind != "COMMAND" and not may_revoke(actor.user, token):
        raise MayNotManagePeople("Only its owner, a lead of the owner's team and admins revoke a token.")
    with transaction.atomic():
        _lock_people(token.user_id)
        locked = ApiToken.objects.select_for_update(no_key=True).get(pk=token.pk)
        if locked.revoked_at is not None:
            raise TokenAlreadyRevoked(f"It was revoked at {locked.revoked_at.isoformat()}.")
        locked.revoked_at = now
        locked.save(update_fields=["revoked_at", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.TOKEN_REVOKE,
            resource_type="ApiToken",
            resource_id=str(locked.id),
            description=f"Revoked token {locked.id} of user {locked.user_id}",
            changes={"before": {"revoked_at": None}, "after": {"revoked_at": now}},
        )
    return locked


def revoke_all(*, actor: Actor, user: User, now: datetime) -> int:
    """End every token of the acting person at once, with one entry that names them; how many.

    Raises NoLiveTokens, MayNotManagePeople.
    """
    if actor.user_id != user.id:
        raise MayNotManagePeople("People revoke all of their own tokens alone.")
    with transaction.atomic():
        _lock_people(user.id)
        held = live_tokens(user, now).select_for_update(no_key=True).order_by("id")
        ids = list(held.values_list("pk", flat=True))
        if not ids:
            raise NoLiveTokens("All are revoked, or have ended.")
        ApiToken.objects.filter(pk__in=ids).update(revoked_at=now, updated_at=now)
        record(
            actor=actor.in_organization(user.organization_id),
            action=actions.TOKEN_REVOKE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Revoked all {len(ids)} tokens of user {user.id}",
            changes={"before": {"tokens": [str(key) for key in ids]}, "after": {"tokens": []}},
        )
    return len(ids)


def live_tokens(user: User, now: datetime) -> QuerySet[ApiToken]:
    """The person's tokens that are neither revoked nor past their end."""
    unended = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return ApiToken.objects.filter(unended, user=user, revoked_at__isnull=True)


def may_revoke(user: object, token: ApiToken) -> bool:
    """True for its owner, admins, operators, and leads of a team in which the owner is contractor or engineer."""
    if not isinstance(user, User):
        return False
    if user.is_operator or user.id == token.user_id:
        return True
    if token.organization_id is None or user.organization_id != token.organization_id:
        return False
    return user.has_role(Membership.Role.ADMIN) or user.managed_user_ids().filter(user_id=token.user_id).exists()


def _require_may_manage(actor: Actor, user: User) -> None:
    if actor.kind != "COMMAND" and actor.user_id != user.id:
        require_role(actor, user.organization_id, Membership.Role.ADMIN)


def _lock_people(*ids: uuid.UUID | None) -> None:
    """Let one transaction at a time make or end tokens of these people, or switch them off."""
    people = User.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=[one for one in ids if one])
    list(people.order_by("pk").values_list("pk", flat=True))


def _require_live(actor: Actor, now: datetime) -> None:
    """Look again, under the lock, at what authenticated the actor. Raises TokenExpired."""
    if not actor.has_account:
        return
    person = User.objects.filter(pk=actor.user_id).first()
    if person is None or not person.credentials_valid(now):
        raise TokenExpired("The person's credentials have ended.")
    if actor.credential_id is not None:
        issuer = ApiToken.objects.filter(pk=actor.credential_id).first()
        if issuer is None or not issuer.is_live(now):
            raise TokenExpired("Ask for a new one under /api/v1/tokens/.")


def _canonical(given: Sequence[str]) -> list[str]:
    try:
        return [networks_of.canonical(text) for text in given]
    except ValueError as error:
        raise NotANetwork(f"{error}; write it like 203.0.113.0/24.") from error


def _require_within_issuer(
    actor: Actor, scopes: Sequence[str], networks: Sequence[str], expires_at: datetime | None
) -> None:
    issuer = ApiToken.objects.filter(pk=actor.credential_id).first() if actor.credential_id else None
    if issuer is None:
        return
    if issuer.expires_at is not None and (expires_at is None or expires_at > issuer.expires_at):
        raise WiderThanItsIssuer(f"It ends at {issuer.expires_at.isoformat()}; set expires_at no later.")
    if issuer.scopes and not (scopes and set(scopes) <= set(issuer.scopes)):
        raise WiderThanItsIssuer(f"It has the scope {', '.join(issuer.scopes)}; name that one.")
    if not networks_of.are_within(networks, issuer.networks):
        raise WiderThanItsIssuer(f"It is used from {', '.join(issuer.networks)}; name networks within.")
