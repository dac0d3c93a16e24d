"""How a person gets into a machine: what to type and where, or an address that opens a session."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Conflict, Unavailable
from forge.db.ids import uuid7
from workspaces import actions, aws
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.places import place_of
from workspaces.services.control import IllegalInThisState, intent_of, legal_of, require_may, require_use
from workspaces.services.launching import ask_guards, with_repairs
from workspaces.transitions import lock_machine, lock_scopes_of, move

CLIENTS = "https://clients.amazonworkspaces.com/"
"""Where AWS offers its clients of WorkSpaces Personal."""

URL_SECONDS = 120
"""How long a streaming URL can be opened: long enough for a program to hand it on, too short to be kept."""


class OpensSession(Conflict):
    code = "opens_session"
    title = "This would start a session, which costs money"
    suggested_action = "POST to the same address."


class UnknownApplication(Conflict):
    code = "unknown_application"
    title = "The machine has no such application"
    suggested_action = "Choose one of `application_ids`."
    advice = "Choose another application."


class FleetNotRunning(Conflict):
    code = "fleet_not_running"
    title = "The fleet that streams these applications does not run"
    suggested_action = "Ask whoever runs the fleet in AWS to start it, and try again."


class CannotConnectNow(Unavailable):
    code = "aws_unavailable"
    title = "AWS does not tell how to connect at the moment"


@dataclass(frozen=True)
class Access:
    """How to get in. Of Personal: the registration code and user name for AWS's clients. Of Applications: `url`."""

    service_type: str
    user_name: str
    registration_code: str | None = None
    client_url: str | None = None
    url: str | None = None
    expires_at: datetime | None = None


def connect(*, actor: Actor, workspace_id: uuid.UUID, application_id: str = "", now: datetime) -> Access:
    """Open a machine to a person, and leave an audit entry.

    Of WorkSpaces Applications this starts the machine if it is STOPPED, after the guards of a start, and gives a
    streaming URL, of `application_id` or of the first of the machine's applications. Raises MayNotControl,
    InQuarantine, IllegalInThisState, UnknownApplication, FleetNotRunning, CannotConnectNow, and what the guards refuse.
    """
    seen = _look(actor=actor, workspace_id=workspace_id)
    access = _access(seen, application_id)  # before the transaction: a URL that is then refused is shown to nobody

    def admit() -> Access:
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        _require_legal(actor, workspace)
        before = str(workspace.state)
        if workspace.capabilities.starts_by_itself and workspace.state == State.STOPPED:
            ask_guards(intent_of(workspace, kind="start", actor=actor, operation_id=uuid7(), now=now), dry_run=False)
            move(workspace=workspace, target=State.AVAILABLE, occurred_at=now, reason="connect", actor=actor, now=now)
        _tell(actor, workspace, before=before, now=now)
        return access

    return with_repairs(admit)


def show_access(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> Access:
    """The same without changing the machine; an audit entry only when it is another person's.

    Raises OpensSession where that cannot be, and what `connect` raises but for the guards' refusals.
    """
    seen = _look(actor=actor, workspace_id=workspace_id)
    if seen.capabilities.starts_by_itself and seen.state == State.STOPPED:
        raise OpensSession(f"Machine {seen.name} has no session.", extra={"state": seen.state})
    access = _access(seen)
    if actor.user_id != seen.owner_id:
        with transaction.atomic():
            _tell(actor, seen, before=str(seen.state), now=now)
    return access


def _look(*, actor: Actor, workspace_id: uuid.UUID) -> WorkSpace:
    workspace = WorkSpace.objects.select_related("provider_account").get(pk=workspace_id)
    _require_legal(actor, workspace)
    return workspace


def _require_legal(actor: Actor, workspace: WorkSpace) -> None:
    require_may(actor, "connect", workspace)
    require_use("connect", workspace)
    legal = legal_of(workspace)
    if "connect" not in legal:
        raise IllegalInThisState(
            f"Nobody can connect to a machine that is {workspace.state}.",
            extra={"state": workspace.state, "legal": legal},
        )


def _access(workspace: WorkSpace, application_id: str = "") -> Access:
    try:
        if workspace.service_type == WorkSpace.ServiceType.PERSONAL:
            return _of_computer(workspace)
        return _of_stream(workspace, application_id)
    except aws.NotReady as error:
        raise FleetNotRunning(error.message) from error
    except aws.AwsError as error:
        raise CannotConnectNow(str(error), retry_after=30) from error


def _of_computer(workspace: WorkSpace) -> Access:
    code = (workspace.connection_url or "").partition("registrationCode=")[2]
    if not code:
        gateway = aws.Gateway(place_of(workspace.provider_account))
        code = gateway.registration_code(workspace.directory_id)
    return Access(
        service_type=workspace.service_type,
        user_name=workspace.directory_user,
        registration_code=code,
        client_url=CLIENTS,
        url=workspace.connection_url,
    )


def _of_stream(workspace: WorkSpace, application_id: str) -> Access:
    if application_id and application_id not in workspace.application_ids:
        raise UnknownApplication(
            f"The machine has no application {application_id!r}.", extra={"application_ids": workspace.application_ids}
        )
    gateway = aws.ApplicationsGateway(place_of(workspace.provider_account))
    made = gateway.streaming_url(
        workspace.provider_id, application_id=application_id or workspace.application_ids[0], seconds=URL_SECONDS
    )
    return Access(
        service_type=workspace.service_type,
        user_name=workspace.directory_user,
        url=made.url,
        expires_at=made.expires_at,
    )


def _tell(actor: Actor, workspace: WorkSpace, *, before: str, now: datetime) -> None:
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=actions.WORKSPACE_CONNECT,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Told how to connect to machine {workspace.id}",
        changes={
            "before": {"state": before, "access_shown": False},
            "after": {"state": str(workspace.state), "access_shown": True},
        },
        context={"service_type": workspace.service_type, "is_own": actor.user_id == workspace.owner_id},
        occurred_at=now,
    )
