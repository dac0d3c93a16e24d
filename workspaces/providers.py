"""Every change to provider accounts: where machines of an organization may stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import Membership, Organization, User
from forge.api.errors import Conflict, Denied, Refused
from forge.db.integrity import refusing
from workspaces import actions, stacks
from workspaces.capabilities import CAPABILITIES
from workspaces.models import ProviderAccount, WorkSpace

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_DIRECTORY = re.compile(r"(d|wsd)-[0-9a-z]{8,63}")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
_KMS_ARN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:"
_VOLUME_KEY = re.compile(rf"({_KMS_ARN})?alias/[\w/-]{{1,250}}|{_KMS_ARN}key/[\w-]{{1,128}}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,128}")


class MayNotManageProviderAccounts(Denied):
    code = "may_not_manage_provider_accounts"
    title = "Only admins of the organization open and close provider accounts"


class ProviderAccountRefused(Refused):
    code = "provider_account_refused"
    title = "This does not describe a place for machines"


class ProviderAccountNameTaken(Conflict):
    code = "provider_account_name_taken"
    title = "The organization has a provider account of this name"
    advice = "Choose another."


class RegionTaken(Conflict):
    code = "region_taken"
    title = "Another provider account is enabled in this region"
    suggested_action = "Switch the other one off first."


class PlaceTaken(Conflict):
    code = "place_taken"
    title = "This directory or role cannot be registered"
    suggested_action = "Give a directory and a role that belong to your organization alone."


def may_manage(user: object, organization_id: Any) -> bool:
    """True for admins of the organization."""
    return isinstance(user, User) and user.organization_id == organization_id and user.has_role(Membership.Role.ADMIN)


def register_provider_account(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    kind: str,
    account: str,
    region: str,
    directory_id: str,
    subnets: Sequence[str] = (),
    role_arn: str = "",
    volume_key: str = "",
    services: Sequence[str] = tuple(CAPABILITIES),
) -> ProviderAccount:
    """Open a region to an organization's machines; for its admins and the command line.

    Raises MayNotManageProviderAccounts, ProviderAccountRefused (naming the field), ProviderAccountNameTaken,
    RegionTaken, and PlaceTaken for a directory or role that another organization has registered.
    """
    _require_may_manage(actor, organization.id)
    _check(
        name=name,
        kind=kind,
        account=account,
        region=region,
        directory_id=directory_id,
        subnets=subnets,
        role_arn=role_arn,
        volume_key=volume_key,
        services=services,
    )
    elsewhere = PlaceTaken(f"Directory {directory_id} in {region}, or the role, is in use already.")
    taken = {
        "workspaces_provideraccount_directory_of_one_organization": elsewhere,
        "workspaces_provideraccount_role_of_one_organization": elsewhere,
        "workspaces_provideraccount_name_unique": ProviderAccountNameTaken(f"{name!r} exists."),
        "workspaces_provideraccount_one_enabled_per_region": RegionTaken(f"One is enabled in {region}."),
    }
    with refusing(taken):
        made = ProviderAccount.objects.create(
            organization=organization,
            name=name,
            kind=kind,
            account=account,
            region=region,
            directory_id=directory_id,
            subnets=list(subnets),
            role_arn=role_arn,
            volume_key=volume_key,
            services=_in_order(services),
        )
        record(
            actor=actor.in_organization(organization.id),
            action=actions.PROVIDER_ACCOUNT_CREATE,
            resource_type="ProviderAccount",
            resource_id=str(made.id),
            description=f"Registered provider account {made.id}",
            changes={"before": None, "after": _facts(made)},
        )
    return made


def set_enabled(*, actor: Actor, provider_account: ProviderAccount, enabled: bool) -> ProviderAccount:
    """Open or close a provider account to new machines; those that stand in it stay.

    Raises MayNotManageProviderAccounts, RegionTaken, and ProviderAccountRefused for opening one with a role of another
    account, as it could be registered once.
    """
    _require_may_manage(actor, provider_account.organization_id)
    taken = RegionTaken(f"One is enabled in {provider_account.region}.")
    with refusing({"workspaces_provideraccount_one_enabled_per_region": taken}):
        locked = ProviderAccount.objects.select_for_update(no_key=True).get(pk=provider_account.pk)
        before = _facts(locked)
        if enabled:
            _require_own_role(locked.account, locked.role_arn)
        locked.enabled = enabled
        if _facts(locked) == before:
            return locked
        locked.save(update_fields=["enabled", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.PROVIDER_ACCOUNT_UPDATE,
            resource_type="ProviderAccount",
            resource_id=str(locked.id),
            description=f"Switched provider account {locked.id} {'on' if enabled else 'off'}",
            changes={"before": before, "after": _facts(locked)},
        )
    return locked


def set_volume_key(*, actor: Actor, provider_account: ProviderAccount, volume_key: str) -> ProviderAccount:
    """Say under which key the volumes of new machines are encrypted: an alias or an ARN, empty = AWS's own.

    Machines that stand keep theirs: AWS fixes it when they are made. Raises MayNotManageProviderAccounts and
    ProviderAccountRefused.
    """
    _require_may_manage(actor, provider_account.organization_id)
    if volume_key and not _VOLUME_KEY.fullmatch(volume_key):
        raise ProviderAccountRefused("Neither an alias nor an ARN of a KMS key.", extra={"fields": ["volume_key"]})
    with transaction.atomic():
        locked = ProviderAccount.objects.select_for_update(no_key=True).get(pk=provider_account.pk)
        before = _facts(locked)
        locked.volume_key = volume_key
        if _facts(locked) == before:
            return locked
        locked.save(update_fields=["volume_key", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.PROVIDER_ACCOUNT_UPDATE,
            resource_type="ProviderAccount",
            resource_id=str(locked.id),
            description=f"Set the volume key of provider account {locked.id}",
            changes={"before": before, "after": _facts(locked)},
        )
    return locked


def set_services(
    *, actor: Actor, provider_account: ProviderAccount, services: Sequence[str], now: datetime
) -> ProviderAccount:
    """Say which services are launched in an account; AWS is asked for no other there.

    Machines of a service that is switched off stay, and are looked after. Its stacks are withdrawn. Raises
    MayNotManageProviderAccounts and ProviderAccountRefused.
    """
    _require_may_manage(actor, provider_account.organization_id)
    if not _are_services(services):
        raise ProviderAccountRefused(
            f"Name one or more of {', '.join(CAPABILITIES)}, each once.", extra={"fields": ["services"]}
        )
    with transaction.atomic():
        locked = ProviderAccount.objects.select_for_update(no_key=True).get(pk=provider_account.pk)
        before = _facts(locked)
        locked.services = _in_order(services)
        if _facts(locked) == before:
            return locked
        locked.save(update_fields=["services", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.PROVIDER_ACCOUNT_UPDATE,
            resource_type="ProviderAccount",
            resource_id=str(locked.id),
            description=f"Set the services of provider account {locked.id}",
            changes={"before": before, "after": _facts(locked)},
            occurred_at=now,
        )
        if not locked.offers(WorkSpace.ServiceType.APPLICATIONS):
            stacks.withdraw_all(locked, actor=actor.in_organization(locked.organization_id), now=now)
    return locked


def _are_services(services: Sequence[str]) -> bool:
    return 0 < len(services) == len(set(services)) and set(services) <= CAPABILITIES.keys()


def _in_order(services: Sequence[str]) -> list[str]:
    return [name for name in CAPABILITIES if name in services]


def _require_may_manage(actor: Actor, organization_id: Any) -> None:
    if actor.kind != "COMMAND" and not may_manage(actor.user, organization_id):
        raise MayNotManageProviderAccounts("This needs the role: admin.")


def _check(
    *,
    name: str,
    kind: str,
    subnets: Sequence[str],
    role_arn: str,
    volume_key: str,
    services: Sequence[str],
    **words: str,
) -> None:
    forms = {"account": _ACCOUNT, "region": _REGION, "directory_id": _DIRECTORY}
    wrong = [field for field, form in forms.items() if not form.fullmatch(words[field])]
    if not name.strip() or len(name) > 100:
        wrong.append("name")
    if kind not in ProviderAccount.Kind.values:
        wrong.append("kind")
    if not all(_SUBNET.fullmatch(subnet) for subnet in subnets):
        wrong.append("subnets")
    if role_arn and not _ROLE_ARN.fullmatch(role_arn):
        wrong.append("role_arn")
    if volume_key and not _VOLUME_KEY.fullmatch(volume_key):
        wrong.append("volume_key")
    if not _are_services(services):
        wrong.append("services")
    if wrong:
        raise ProviderAccountRefused(
            f"Not of the form that AWS uses: {', '.join(sorted(wrong))}.", extra={"fields": sorted(wrong)}
        )
    _require_own_role(words["account"], role_arn)


def _require_own_role(account: str, role_arn: str) -> None:
    """Raises ProviderAccountRefused for a role of another account; without one Forge's own credentials are used."""
    role = _ROLE_ARN.fullmatch(role_arn)
    if role is not None and role[1] != account:
        raise ProviderAccountRefused(
            f"role_arn is a role of account {role[1]}, and account is {account}.",
            extra={"fields": ["account", "role_arn"]},
        )


def _facts(account: ProviderAccount) -> dict[str, Any]:
    return {
        "kind": str(account.kind),
        "account": account.account,
        "region": account.region,
        "directory_id": account.directory_id,
        "volume_key": account.volume_key,
        "services": list(account.services),
        "enabled": account.enabled,
    }
