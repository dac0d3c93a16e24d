"""The launch guards of this room: who may launch what; the budget guard comes last and from its own room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

from audit.actors import Interface
from blueprints.models import Blueprint, BundleType
from blueprints.offers import Offers, offers_to_machines
from forge.accounts.models import Membership
from forge.api.errors import Denied, Refused, TooMany
from forge.operations.models import Operation
from workspaces.intents import Intent
from workspaces.models import Quarantine

Role = Membership.Role

BUNDLES_OF_ROLE: dict[str, frozenset[str]] = {
    Role.CONTRACTOR: frozenset({BundleType.STANDARD, BundleType.PERFORMANCE}),
    Role.ENGINEER: frozenset(BundleType.values) - {BundleType.GRAPHICSPRO_G4DN},
    Role.TEAM_LEAD: frozenset(BundleType.values),
    Role.ADMIN: frozenset(BundleType.values),
    Role.FINANCE: frozenset(),
    Role.AUDITOR: frozenset(),
}


class BundleNotAllowed(Refused):
    code = "bundle_not_allowed"
    title = "Your role may not launch this bundle"
    suggested_action = "Choose one that `GET /api/v1/bundles/` says you may launch."
    advice = "Choose another bundle type, or ask your team lead."


class BlueprintNotFound(Refused):
    code = "blueprint_not_found"
    title = "There is no such blueprint for this team"
    suggested_action = "Choose one of `GET /api/v1/blueprints/?latest=true`."
    advice = "Choose another blueprint."


class BlueprintNotPublished(Refused):
    code = "blueprint_not_published"
    title = "The blueprint is not published"
    suggested_action = "Publish it, or choose a version that is."


class BlueprintRetired(Refused):
    code = "blueprint_retired"
    title = "The blueprint is retired"
    suggested_action = "Choose the newest version: `GET /api/v1/blueprints/?latest=true`."
    advice = "Choose its newest version."


class OperatingSystemNotOffered(Refused):
    code = "operating_system_not_offered"
    title = "The blueprint does not offer this operating system"
    suggested_action = "Ask for the blueprint's operating system, or choose another blueprint."


class BundleNotOffered(Refused):
    code = "bundle_not_offered"
    title = "The blueprint does not offer this bundle in this region"
    suggested_action = "Choose one of the blueprint's `bundles`."
    advice = "Choose a bundle type that the blueprint's page lists."


class CredentialsExpired(Denied):
    code = "credentials_expired"
    title = "The credentials have ended"
    suggested_action = "Ask a team lead or an admin to give them a later end."


class LaunchesExhausted(TooMany):
    code = "launch_rate_exceeded"
    title = "Too many launches in an hour"
    suggested_action = "Try again when the hour is over."


def bundles_for_role(role: str | None) -> frozenset[str]:
    """Bundle types that a role may launch; none for an unknown role."""
    return BUNDLES_OF_ROLE.get(role or "", frozenset())


def bundle_allowed_for_role(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Refuses BundleNotAllowed, naming what the role may launch."""
    allowed = bundles_for_role(intent.role)
    if _chooses_bundle(intent) and intent.bundle_type not in allowed:
        raise BundleNotAllowed(
            f"As {intent.role} you may not launch {intent.bundle_type}.",
            extra={"allowed": [name for name in BundleType.values if name in allowed]},
        )
    return {}


def blueprint_visible(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Refuses a blueprint of another team, a draft, a retired one, and what it does not offer.

    A machine that exists changes within what its blueprint offers, retired or not, an adopted one also within what an
    admin has published for its kind (blueprints.offers), and moves to teams that have it.
    """
    blueprint = intent.blueprint
    if intent.kind == "move" and blueprint is not None:
        _refuse_of_another_team(blueprint, intent)
    if not _chooses_bundle(intent) or blueprint is None:
        return {}
    if intent.kind == "launch":
        _refuse_unusable(blueprint, intent)
    if intent.kind == "launch":
        offers = set(blueprint.bundles.values_list("region", "bundle_type"))
    else:
        offers = offers_to_machines([blueprint.id]).get(blueprint.id, set())
    if (intent.region, intent.bundle_type) not in offers:
        raise _not_offered(blueprint, intent, offers)
    return {}


def _not_offered(blueprint: Blueprint, intent: Intent, offers: Offers) -> BundleNotOffered:
    wanted = f"{intent.bundle_type} in {intent.region}"
    offered = {"offered": [{"region": region, "bundle_type": bundle_type} for region, bundle_type in sorted(offers)]}
    if intent.kind == "launch" or blueprint.origin != Blueprint.Origin.AUTO:
        return BundleNotOffered(f"{blueprint} does not offer {wanted}.", extra=offered)
    return BundleNotOffered(
        f"The machine was adopted, and nobody offers {wanted} to machines of its kind yet.",
        extra=offered | {"blueprint": str(blueprint.id)},
        suggested_action=f"Ask an admin to publish a version of the blueprint “{blueprint.name}” that offers it.",
    )


def _chooses_bundle(intent: Intent) -> bool:
    """True for a launch, and for a modification of the bundle type."""
    if intent.kind == "modify" and intent.workspace is not None:
        return intent.bundle_type != intent.workspace.bundle_type
    return intent.kind == "launch"


def _refuse_unusable(blueprint: Blueprint, intent: Intent) -> None:
    _refuse_of_another_team(blueprint, intent)
    if blueprint.status == Blueprint.Status.DRAFT:
        raise BlueprintNotPublished(f"{blueprint} is a draft; publish it first.")
    if blueprint.status == Blueprint.Status.RETIRED:
        raise BlueprintRetired(f"{blueprint} was retired at {blueprint.retired_at:%Y-%m-%d}; use a newer version.")
    if intent.operating_system != blueprint.operating_system:
        raise OperatingSystemNotOffered(
            f"{blueprint} is {blueprint.operating_system}.", extra={"offered": [blueprint.operating_system]}
        )


def _refuse_of_another_team(blueprint: Blueprint, intent: Intent) -> None:
    if blueprint.team_id not in (None, intent.team.id):
        raise BlueprintNotFound(
            f"Team {intent.team.slug} has no such blueprint.", extra={"blueprint": str(blueprint.id)}
        )


def credentials_valid(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Refuses when the owner's (or the caller's) credentials have ended.

    An owner's machine is adopted, and moved to whom it is to be charged, all the same.
    """
    people = (intent.actor.user,) if intent.kind in ("adopt", "move") else (intent.owner, intent.actor.user)
    for person in people:
        if person is intent.owner and _is_handed_over(intent):
            continue
        if person is not None and not person.credentials_valid(intent.now):
            raise CredentialsExpired(f"The credentials of {person.email} have ended.", extra={"user": str(person.id)})
    return {}


def _is_handed_over(intent: Intent) -> bool:
    """Whether the machine of an owner who is switched off is somebody else's to use for now."""
    if intent.workspace_id is None or intent.owner.credentials_valid(intent.now):
        return False
    found = Quarantine.objects.open().filter(workspace_id=intent.workspace_id).first()
    return found is not None and found.is_handed_over(intent.now)


def launch_rate(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Refuses past the launches that one person asked for in an hour: a setting for all, five through Lucy."""
    if intent.kind != "launch" or intent.actor.user_id is None:
        return {}
    through_lucy = intent.actor.interface == Interface.LUCY
    limit = settings.FORGE_LUCY_LAUNCHES_PER_HOUR if through_lucy else settings.FORGE_LAUNCHES_PER_HOUR
    if limit is None:
        return {}
    since = intent.now - timedelta(hours=1)
    asked_for = Operation.objects.filter(organization_id=intent.organization.id, actor_id=intent.actor.user_id)
    launched = asked_for.filter(kind="workspace.launch", created_at__gt=since).count()
    if launched >= limit:
        raise LaunchesExhausted(f"{launched} launches in the last hour; {limit} are allowed.", retry_after=3600)
    return {}
