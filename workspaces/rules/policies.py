"""Setting the ceilings of an organization, a team or a family of blueprints."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from blueprints.models import Blueprint
from forge.accounts.models import Membership, Organization, Team, User
from forge.api.errors import Conflict, Denied, Refused
from forge.db.integrity import refusing
from workspaces import actions
from workspaces.models import LifecyclePolicy

CEILINGS = ("idle_minutes", "session_hours", "lifetime_days", "lease_hours", "keep_alive_days")


class MayNotSetPolicies(Denied):
    code = "may_not_set_lifecycle_policies"
    title = "Only admins of the organization set its lifecycle policies"


class PolicyExists(Conflict):
    code = "lifecycle_policy_exists"
    title = "There is a policy of this scope already"
    suggested_action = "Change the one named in `policy`."
    advice = "Change the one that is there."


class PolicyEmpty(Refused):
    code = "lifecycle_policy_empty"
    title = "A new policy has at least one ceiling"


class PolicyScopeRefused(Refused):
    code = "policy_scope_refused"
    title = "This is no scope of a policy"


def may_set(user: object, organization_id: Any) -> bool:
    """True for admins of the organization."""
    return isinstance(user, User) and user.organization_id == organization_id and user.has_role(Membership.Role.ADMIN)


def create_policy(
    *,
    actor: Actor,
    organization: Organization,
    ceilings: Mapping[str, int | None],
    now: datetime,
    team: Team | None = None,
    blueprint_name: str = "",
) -> LifecyclePolicy:
    """Set the ceilings of a scope that has none yet; `ceilings` by the names in CEILINGS, None = none.

    Raises MayNotSetPolicies, PolicyEmpty, PolicyScopeRefused (two scopes at once, a foreign team, no such family) and
    PolicyExists.
    """
    _require_may_set(actor, organization.id)
    _require_scope(organization, team, blueprint_name)
    if all(value is None for value in ceilings.values()):
        raise PolicyEmpty(f"Give one of {', '.join(CEILINGS)}.")
    scope = {"organization": organization, "team": team, "blueprint_name": blueprint_name}
    held = LifecyclePolicy.objects.filter(**scope).values_list("id", flat=True).first()
    exists = PolicyExists(f"Policy {held} has this scope.", extra={"policy": str(held)})
    with refusing({"workspaces_lifecyclepolicy_one_per_scope": exists}):
        made = LifecyclePolicy.objects.create(
            **scope, **_known(ceilings), effective_at=now, lifetime_since=now, created_at=now
        )
        record(
            actor=actor.in_organization(organization.id),
            action=actions.LIFECYCLE_POLICY_CREATE,
            resource_type="LifecyclePolicy",
            resource_id=str(made.id),
            description=f"Set lifecycle policy {made.id}",
            changes={"before": None, "after": _facts(made)},
            occurred_at=now,
        )
    return made


def change_policy(
    *, actor: Actor, policy_id: uuid.UUID, ceilings: Mapping[str, int | None], now: datetime
) -> LifecyclePolicy:
    """Change ceilings of a policy; those that are not named stay. Its machines are reckoned anew by the next sweep."""
    with transaction.atomic():
        policy = LifecyclePolicy.objects.select_for_update(no_key=True, of=("self",)).get(pk=policy_id)
        _require_may_set(actor, policy.organization_id)
        before = _facts(policy)
        wanted = _known(ceilings)
        if "lifetime_days" in wanted:
            relimit(policy, wanted["lifetime_days"], now)
        for name, value in wanted.items():
            setattr(policy, name, value)
        if _facts(policy) == before:
            return policy
        policy.effective_at = now
        policy.is_spread, policy.spread_after = False, None
        policy.save()
        record(
            actor=actor.in_organization(policy.organization_id),
            action=actions.LIFECYCLE_POLICY_UPDATE,
            resource_type="LifecyclePolicy",
            resource_id=str(policy.id),
            description=f"Changed lifecycle policy {policy.id}",
            changes={"before": before, "after": _facts(policy)},
            occurred_at=now,
        )
    return policy


def relimit(policy: LifecyclePolicy, days: int | None, now: datetime) -> None:
    """Set, not in the database, the lifetime ceiling of a policy and since when no longer lifetime was allowed.

    A tighter one begins now, beside those before it, so that no end that they have brought comes later. A looser one
    has held for as long as what it loosens.
    """
    held = [*policy.lifetime_before]
    if policy.lifetime_days is not None:
        held.append([policy.lifetime_days, policy.lifetime_since.isoformat()])
    within = [since for most, since in held if days is not None and most <= days]
    policy.lifetime_before = [[most, since] for most, since in held if days is not None and most > days]
    policy.lifetime_days = days
    policy.lifetime_since = datetime.fromisoformat(within[0]) if within else now


def _known(ceilings: Mapping[str, int | None]) -> dict[str, int | None]:
    if unknown := sorted(set(ceilings) - set(CEILINGS)):
        raise ValueError(f"There is no ceiling {unknown[0]!r}")
    return dict(ceilings)


def _require_may_set(actor: Actor, organization_id: Any) -> None:
    if actor.kind != "COMMAND" and not may_set(actor.user, organization_id):
        raise MayNotSetPolicies("This needs the role: admin.")


def _require_scope(organization: Organization, team: Team | None, blueprint_name: str) -> None:
    if team is not None and blueprint_name:
        raise PolicyScopeRefused("A policy is of a team or of a family of blueprints, not of both.")
    if team is not None and team.organization_id != organization.id:
        raise PolicyScopeRefused("The team is not one of the organization's.")
    families = Blueprint.objects.filter(organization=organization, name=blueprint_name)
    if blueprint_name and not families.exists():
        raise PolicyScopeRefused(f"The organization has no blueprints named {blueprint_name!r}.")


def _facts(policy: LifecyclePolicy) -> dict[str, Any]:
    ceilings = {name: getattr(policy, name) for name in CEILINGS}
    return {
        "team_id": str(policy.team_id) if policy.team_id else None,
        "blueprint_name": policy.blueprint_name,
        **ceilings,
    }
