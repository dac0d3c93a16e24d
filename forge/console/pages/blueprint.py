"""The page of a blueprint: its versions with who uses them and what they cost, and two of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum

from blueprints.models import Blueprint
from forge.console.costs import costs_of, in_currency
from forge.console.links import address, page_of
from forge.console.pages.audit import audit_tab
from workspaces.models import WorkSpace

SHOWN_VERSIONS = 50
COST_DAYS = 30
AGAINST = "against"
"""Parameter of the address: the version that this one is compared with."""


def blueprint_page(request: Any, blueprint: Blueprint, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Template context."""
    versions = list(_family(request.user, blueprint).order_by("-version")[:SHOWN_VERSIONS])
    other = _other(request.GET.get(AGAINST, ""), blueprint, versions)
    return {
        "template": "console/blueprint.html",
        "blueprint": blueprint,
        "versions": _versions(request.user, blueprint, versions, now),
        "cost_days": COST_DAYS,
        "other": other,
        "differences": differences(_facts(other), _facts(blueprint)) if other else [],
        "audit": audit_tab(blueprint.pk, request.user, opens),
    }


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Name, before, after and what became of it, of all that two versions do not have in common."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name), after.get(name)
        if was != is_now:
            what = "added" if was is None else "removed" if is_now is None else "changed"
            found.append((name, was or "", is_now or "", what))
    return found


def _family(user: Any, blueprint: Blueprint) -> QuerySet[Blueprint]:
    family = {"organization": blueprint.organization_id, "team": blueprint.team_id, "name": blueprint.name}
    return Blueprint.objects.visible_to(user).filter(**family)


def _other(asked: str, blueprint: Blueprint, versions: Iterable[Blueprint]) -> Blueprint | None:
    """The version that was asked for, else the one before."""
    others = [one for one in versions if one.version != blueprint.version]
    if asked.isdecimal():
        return next((one for one in others if one.version == int(asked)), None)
    return next((one for one in others if one.version < blueprint.version), None)


def _versions(user: Any, blueprint: Blueprint, versions: list[Blueprint], now: datetime) -> list[dict[str, Any]]:
    """Each version with its live machines by team, and what it cost in the last days."""
    ids = [version.pk for version in versions]
    live = WorkSpace.objects.visible_to(user).live().filter(blueprint__in=ids).order_by()
    users: dict[Any, list[tuple[str, int]]] = {}
    counted = live.values_list("blueprint", "team__slug").annotate(machines=Count("id")).order_by("-machines")
    for version_id, team, machines in counted:
        users.setdefault(version_id, []).append((team, machines))
    first = now.date() - timedelta(days=COST_DAYS - 1)
    sums = costs_of(user).filter(blueprint__in=ids, day__gte=first).order_by().values("blueprint")
    costs = {row["blueprint"]: row for row in sums.annotate(cost=Sum("total_cost"), hours=Sum("billed_hours"))}
    currency = blueprint.organization.currency
    shown = []
    for version in versions:
        cost = costs.get(version.pk)
        shown.append(
            {
                "version": version,
                "is_this": version.pk == blueprint.pk,
                "page": page_of("blueprints.blueprint", version.pk),
                "compare": f"?{AGAINST}={version.version}",
                "machines": sum(machines for _, machines in users.get(version.pk, ())),
                "teams": users.get(version.pk, []),
                "list": address("workspaces.workspace", blueprint__id__exact=version.pk),
                "cost": in_currency(cost["cost"], currency) if cost else None,
                "per_hour": in_currency(cost["cost"] / cost["hours"], currency) if cost and cost["hours"] else None,
                "costs": address("costs.dailycost", q=version.pk, day__gte=first),
            }
        )
    return shown


def _facts(version: Blueprint) -> dict[str, str]:
    """All that can be launched, a line for each value."""
    facts = {"description": version.description, "operating system": version.get_operating_system_display()}
    facts |= _flat("software", version.software_manifest) | _flat("configuration", version.configuration)
    for bundle in version.bundles.all():
        facts[f"bundle {bundle.region} {bundle.bundle_type}"] = f"{bundle.bundle_id} {bundle.image_id}".strip()
    return facts


def _flat(path: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {name: text for key, one in value.items() for name, text in _flat(f"{path}.{key}", one).items()}
    if isinstance(value, list) and value:
        return {name: text for at, one in enumerate(value) for name, text in _flat(f"{path}[{at}]", one).items()}
    return {} if value in ({}, []) else {path: str(value)}
