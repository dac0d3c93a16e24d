"""Every change to blueprints: draft, publish, retire."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import record
from blueprints import actions
from blueprints.content import content_hash, fault_of
from blueprints.models import Blueprint, BlueprintBundle, BundleType
from blueprints.permissions import DRAFTING, PUBLISHING, require
from forge.accounts.models import Organization, Team, User
from forge.api.errors import Conflict, NotFound, Refused

MAX_DOCUMENT_BYTES = 64 * 1024


class NotADraft(Conflict):
    code = "not_a_draft"
    title = "What was published does not change"
    suggested_action = "Make a new version."


class NotPublished(Conflict):
    code = "not_published"
    title = "Only a published blueprint can be retired"


class NoBundles(Refused):
    code = "no_bundles"
    title = "A blueprint must offer at least one bundle"


class BundleTwice(Refused):
    code = "bundle_twice"
    title = "A region and bundle type is named twice"


class UnknownBundleType(Refused):
    code = "unknown_bundle_type"
    title = "Not a bundle type"


class DocumentTooLarge(Refused):
    code = "document_too_large"
    title = "The manifest or configuration is too large"


class DocumentNotCanonical(Refused):
    code = "document_not_canonical"
    title = "The manifest or configuration holds what cannot be kept exactly"
    suggested_action = "Write the number as a string."


@dataclass(frozen=True)
class BundleOffer:
    """One AWS bundle that a blueprint offers."""

    region: str
    bundle_type: str
    bundle_id: str
    image_id: str = ""


def draft(
    *,
    actor: Actor,
    organization: Organization,
    team: Team | None,
    name: str,
    operating_system: str,
    bundles: Sequence[BundleOffer],
    description: str = "",
    software_manifest: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    origin: str = Blueprint.Origin.MANUAL,
    parent: Blueprint | None = None,
) -> Blueprint:
    """The next version of a family as a draft: version 1, 2, 3 … without holes, whoever asks at once.

    `parent` is the version that it was made from (None = the newest). Raises MayNotChangeBlueprints, NotFound (a team
    of another organization), BundleTwice, UnknownBundleType, DocumentTooLarge, DocumentNotCanonical.
    """
    require(actor, organization_id=organization.id, team_id=team.id if team else None, roles=DRAFTING)
    if team is not None and team.organization_id != organization.id:
        raise NotFound("No such team.")
    _check_offers(bundles)
    _check_documents(software_manifest, configuration)
    with transaction.atomic():
        _lock_family(organization, team, name)
        family = Blueprint.objects.filter(organization=organization, team=team, name=name)
        newest = family.order_by("-version").first()
        blueprint = Blueprint.objects.create(
            organization=organization,
            team=team,
            name=name,
            version=newest.version + 1 if newest else 1,
            parent_version=parent or newest,
            description=description,
            operating_system=operating_system,
            software_manifest=dict(software_manifest or {}),
            configuration=dict(configuration or {}),
            origin=origin,
            created_by=actor.user if isinstance(actor.user, User) else None,
        )
        _write_offers(blueprint, bundles)
        _record(actor, actions.BLUEPRINT_CREATE, blueprint, before=None, after=_facts(blueprint))
    return blueprint


def revise(
    *,
    actor: Actor,
    blueprint: Blueprint,
    description: str | None = None,
    software_manifest: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    bundles: Sequence[BundleOffer] | None = None,
) -> Blueprint:
    """Change a draft; None leaves a part as it is, and where all is as it was already, nothing is written.

    Raises NotADraft once it is published, and what `draft` raises.
    """
    _require(actor, blueprint, DRAFTING)
    _check_offers(bundles or ())
    _check_documents(software_manifest, configuration)
    with transaction.atomic():
        locked = _locked(blueprint)
        if locked.status != Blueprint.Status.DRAFT:
            raise NotADraft(f"{locked} is {locked.status}.")
        before = _facts(locked)
        asked = {
            "description": description,
            "software_manifest": software_manifest,
            "configuration": configuration,
        }
        changed = {name: to for name, to in asked.items() if to is not None and to != getattr(locked, name)}
        is_offered_anew = bundles is not None and set(bundles) != set(offers_of(locked))
        if not changed and not is_offered_anew:
            return locked
        for name, value in changed.items():
            setattr(locked, name, value)
        locked.save()
        if bundles is not None and is_offered_anew:
            locked.bundles.all().delete()
            _write_offers(locked, bundles)
        revised = sorted([*changed, *(["bundles"] if is_offered_anew else [])])
        _record(actor, actions.BLUEPRINT_UPDATE, locked, before=before, after=_facts(locked) | {"revised": revised})
    return locked


def publish(*, actor: Actor, blueprint: Blueprint, now: datetime) -> Blueprint:
    """Make a draft launchable and fix its content for ever. Raises NotADraft, NoBundles."""
    _require(actor, blueprint, PUBLISHING)
    with transaction.atomic():
        locked = _locked(blueprint)
        if locked.status != Blueprint.Status.DRAFT:
            raise NotADraft(f"{locked} is {locked.status} already.")
        offers = [asdict(offer) for offer in offers_of(locked)]
        if not offers:
            raise NoBundles(f"Add a bundle to {locked} first.")
        locked.content_hash = content_hash(_content(locked), offers)
        locked.status = Blueprint.Status.PUBLISHED
        locked.published_at = now
        locked.save(update_fields=["content_hash", "status", "published_at", "updated_at"])
        _record(
            actor,
            actions.BLUEPRINT_PUBLISH,
            locked,
            before={"status": "DRAFT"},
            after={"status": "PUBLISHED", "content_hash": locked.content_hash},
        )
    return locked


def retire(*, actor: Actor, blueprint: Blueprint, now: datetime) -> Blueprint:
    """Nobody launches it any more; machines made from it go on. Raises NotPublished."""
    _require(actor, blueprint, PUBLISHING)
    with transaction.atomic():
        locked = _locked(blueprint)
        if locked.status != Blueprint.Status.PUBLISHED:
            raise NotPublished(f"{locked} is {locked.status}.")
        locked.status = Blueprint.Status.RETIRED
        locked.retired_at = now
        locked.save(update_fields=["status", "retired_at", "updated_at"])
        _record(actor, actions.BLUEPRINT_RETIRE, locked, before={"status": "PUBLISHED"}, after={"status": "RETIRED"})
    return locked


def of_adopted(
    *, actor: Actor, organization: Organization, operating_system: str, offer: BundleOffer, now: datetime
) -> Blueprint:
    """The blueprint that adopted machines of an AWS bundle stand on, made if there is none; for admins and commands.

    It says what the machines are and is retired at once: nobody has approved it for launches. Whoever wants to launch
    from it makes a version of their own. Raises what `draft` raises.
    """
    name = f"adopted {offer.bundle_id}"
    with transaction.atomic():
        _lock_family(organization, None, name)
        family = Blueprint.objects.filter(organization=organization, team=None, name=name, origin=Blueprint.Origin.AUTO)
        wanted = {"region": offer.region, "bundle_type": offer.bundle_type, "bundle_id": offer.bundle_id}
        offering = BlueprintBundle.objects.filter(blueprint__in=family, **wanted).values("blueprint")
        known = family.filter(id__in=offering, operating_system=operating_system).first()
        if known is not None:
            return known
        made = draft(
            actor=actor,
            organization=organization,
            team=None,
            name=name,
            description=f"Machines that were adopted from bundle {offer.bundle_id}.",
            operating_system=operating_system,
            bundles=[offer],
            origin=Blueprint.Origin.AUTO,
        )
        return retire(actor=actor, blueprint=publish(actor=actor, blueprint=made, now=now), now=now)


def offers_of(blueprint: Blueprint) -> list[BundleOffer]:
    """What a version offers, as `draft` takes it."""
    return [BundleOffer(row.region, row.bundle_type, row.bundle_id, row.image_id) for row in blueprint.bundles.all()]


def _locked(blueprint: Blueprint) -> Blueprint:
    return Blueprint.objects.select_for_update(no_key=True).get(pk=blueprint.pk)


def _require(actor: Actor, blueprint: Blueprint, roles: tuple[str, ...]) -> None:
    require(actor, organization_id=blueprint.organization_id, team_id=blueprint.team_id, roles=roles)


def _lock_family(organization: Organization, team: Team | None, name: str) -> None:
    """One writer of a family at a time, until the end of the transaction."""
    key = f"blueprints:{organization.pk}:{team.pk if team else ''}:{name}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _check_offers(bundles: Sequence[BundleOffer]) -> None:
    pairs = [(offer.region, offer.bundle_type) for offer in bundles]
    twice = next((pair for pair in pairs if pairs.count(pair) > 1), None)
    if twice is not None:
        raise BundleTwice(f"{twice[1]} in {twice[0]}: another region or image is another version.")
    unknown = next((offer.bundle_type for offer in bundles if offer.bundle_type not in BundleType.values), None)
    if unknown is not None:
        raise UnknownBundleType(f"{unknown!r} is not one of: {', '.join(BundleType.values)}.")


def _check_documents(*documents: Mapping[str, Any] | None) -> None:
    for document in documents:
        if document is None:
            continue
        if (fault := fault_of(document)) is not None:
            raise DocumentNotCanonical(fault)
        if len(json.dumps(document)) > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"At most {MAX_DOCUMENT_BYTES} bytes each.")


def _write_offers(blueprint: Blueprint, bundles: Sequence[BundleOffer]) -> None:
    BlueprintBundle.objects.bulk_create(
        BlueprintBundle(
            blueprint=blueprint,
            organization_id=blueprint.organization_id,
            region=offer.region,
            bundle_type=offer.bundle_type,
            bundle_id=offer.bundle_id,
            image_id=offer.image_id,
        )
        for offer in bundles
    )


def _content(blueprint: Blueprint) -> dict[str, Any]:
    return {
        "name": blueprint.name,
        "version": blueprint.version,
        "operating_system": blueprint.operating_system,
        "description": blueprint.description,
        "software_manifest": blueprint.software_manifest,
        "configuration": blueprint.configuration,
    }


def _facts(blueprint: Blueprint) -> dict[str, Any]:
    """What the audit entry tells: no free text, which may hold names."""
    offers = blueprint.bundles.order_by("region", "bundle_type").values_list("region", "bundle_type", "bundle_id")
    return {
        "name": blueprint.name,
        "version": blueprint.version,
        "team": str(blueprint.team_id) if blueprint.team_id else None,
        "operating_system": blueprint.operating_system,
        "status": str(blueprint.status),
        "bundles": [list(offer) for offer in offers],
    }


def _record(
    actor: Actor,
    action: str,
    blueprint: Blueprint,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
) -> None:
    record(
        actor=actor.in_organization(blueprint.organization_id),
        action=action,
        resource_type="Blueprint",
        resource_id=str(blueprint.id),
        description=f"Blueprint {blueprint.id} version {blueprint.version}",
        changes={"before": dict(before) if before is not None else None, "after": dict(after)},
    )
