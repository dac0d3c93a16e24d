"""The bare side of `list_vs_bare_view`: a plain Django view that answers the same list.

It authenticates with the same authenticator, asks the same queryset (one row more than the page, in the same order,
joined with the same tables, limited to what the caller may see), writes the same fields of each row into a dict by
hand, the permitted actions by the same functions, and dumps it with `json.dumps`. It is fair because it runs behind the
same middleware in the same process on the same database connection; what it leaves out is what a framework adds:
viewset, serializers, filters, strict parameters, keyset pages, throttles, content negotiation, error documents. The
benchmark checks that both bodies are equal but for the page links.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from forge.accounts.authentication import TokenAuthentication
from forge.accounts.models import User
from forge.db import scope
from workspaces.models import WorkSpace
from workspaces.permissions import may
from workspaces.rules.reckoning import lifetime_ends
from workspaces.services.control import legal_of

PAGE = 100


def workspaces(request: HttpRequest) -> HttpResponse:
    """The first page of the caller's machines, the newest first."""
    with scope.system():
        user, _ = TokenAuthentication().authenticate(request)
    scope.belongs_to(user.organization_id)
    machines = WorkSpace.objects.with_names().visible_to(user)
    page = list(machines.order_by("-created_at", "-pk")[: PAGE + 1])
    ends = lifetime_ends(page)
    results = [_shown(machine, ends[machine.id], user, request) for machine in page[:PAGE]]
    body = {"next": None, "previous": None, "results": results}
    return HttpResponse(json.dumps(body), content_type="application/json")


def _shown(machine: WorkSpace, lifetime_end: datetime, user: User, request: HttpRequest) -> dict[str, Any]:
    actions = legal_of(machine)
    url = machine.connection_url
    return {
        "id": str(machine.id),
        "name": machine.name,
        "service_type": machine.service_type,
        "bundle_type": machine.bundle_type,
        "operating_system": machine.operating_system,
        "running_mode": machine.running_mode,
        "blueprint": str(machine.blueprint_id) if machine.blueprint_id else None,
        "application_ids": machine.application_ids,
        "root_volume_gb": machine.root_volume_gb,
        "user_volume_gb": machine.user_volume_gb,
        "state": machine.state,
        "state_since": _time(machine.state_since),
        "health": machine.health,
        "launched_at": _time(machine.launched_at),
        "stopped_at": _time(machine.stopped_at),
        "terminated_at": _time(machine.terminated_at),
        "provider_id": machine.provider_id,
        "provider_state": machine.provider_state,
        "directory_user": machine.directory_user,
        "region": machine.region,
        "ip_address": machine.ip_address,
        "connection_url": request.build_absolute_uri(url) if url and url.startswith("/") else url,
        "protocol": machine.protocol,
        "domain_join_status": machine.domain_join_status,
        "owner": machine.owner.email,
        "team": machine.team.slug,
        "project": machine.project.slug if machine.project else None,
        "cost_to_date": str(machine.cost_to_date),
        "currency": machine.organization.currency,
        "auto_stop_timeout_minutes": machine.auto_stop_timeout_minutes,
        "max_lifetime_days": machine.max_lifetime_days,
        "lifetime_end": _time(lifetime_end),
        "last_connected_at": _time(machine.last_connected_at),
        "keep_alive": machine.keep_alive,
        "keep_alive_until": _time(machine.keep_alive_until),
        "keep_alive_reason": machine.keep_alive_reason,
        "last_activity_at": _time(machine.last_activity_at),
        "next_action": machine.next_action,
        "next_action_at": _time(machine.next_action_at),
        "quarantined_at": _time(machine.quarantined_at),
        "tags": machine.tags,
        "findings": request.build_absolute_uri(f"/api/v1/findings/?workspace={machine.id}&open=true"),
        "actions": [action for action in actions if may(user, action, machine)],
        "version": machine.version,
        "created_at": _time(machine.created_at),
        "updated_at": _time(machine.updated_at),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


urlpatterns = [path("api/v1/bare/workspaces/", workspaces), path("", include("forge.urls"))]
