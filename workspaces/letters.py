"""What mail about machines says; named in FORGE_MAIL_KINDS, called when it is sent.

What may have changed since is looked up then: a registration code that AWS told late, a machine that has ended.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from forge.accounts.models import User
from forge.operations.models import Operation
from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail
from workspaces.lifecycle import AUTOMATIC, TERMINAL_STATES
from workspaces.models import WorkSpace

CLIENTS = "https://clients.amazonworkspaces.com/"
"""Where AWS offers its clients of WorkSpaces Personal."""

CODE_OF_URL = "registrationCode="


def ready(mail: Mail, reader: Reader) -> Letter:
    """How to connect: the client, the registration code and the user name."""
    workspace = machine_of(mail)
    if workspace.state in TERMINAL_STATES:
        raise NothingToTell("the machine has ended")
    steps = _how_to_connect(workspace)
    return Letter(
        subject=f"Forge: your machine {workspace.name} is ready",
        sentence=f"Your machine {workspace.name} is ready.",
        rows=[*_described(workspace), *steps],
        paragraphs=[
            *_first_steps(workspace),
            f"Its agreed lifetime ends at {reader.time(workspace.lifetime_end)}.",
        ],
    )


def failed(mail: Mail, reader: Reader) -> Letter:
    """Why a launch came to nothing and what to do now."""
    workspace = machine_of(mail)
    operation = (
        Operation.objects.filter(target_id=workspace.id, kind="workspace.launch").order_by("-created_at", "-id").first()
    )
    by = mail.facts["by"]
    if by is None and operation is not None and operation.cancel_requested_by is not None:
        by = str(operation.cancel_requested_by)
    is_called_off = mail.facts["reason"] in ("cancelled", "called_off")
    if is_called_off and by == str(mail.recipient_id):
        raise NothingToTell("its reader has called the launch off")
    error: dict[str, Any] = operation.error if operation else {}
    why = f"It was called off by {_named(by)}." if is_called_off else f"{error.get('detail') or mail.facts['reason']}."
    rows = [*_described(workspace), ("Failed at", reader.time(datetime.fromisoformat(mail.facts["at"])))]
    if operation is not None:
        rows.append(("Operation", str(operation.id)))
    return Letter(
        subject=f"Forge: the launch of {workspace.name} has failed",
        sentence=f"The launch of your machine {workspace.name} has failed.",
        rows=rows,
        paragraphs=[
            why.replace("..", "."),
            "There is no machine and nothing is charged; the money that was set aside for it is free again.",
            _advice(mail.facts["reason"], error),
        ],
    )


def ended(mail: Mail, reader: Reader) -> Letter:
    """That a machine and what was on it are gone, and by whom."""
    workspace = machine_of(mail)
    return Letter(
        subject=f"Forge: your machine {workspace.name} has ended",
        sentence=f"Your machine {workspace.name} has ended, and what was on its volumes is gone.",
        rows=[
            *_described(workspace),
            ("Ended at", reader.time(datetime.fromisoformat(mail.facts["at"]))),
            ("Because", _cause(mail, workspace)),
        ],
        paragraphs=["Nothing is charged for it any more. You can launch another one at any time."],
    )


def machine_of(mail: Mail) -> WorkSpace:
    """The machine that the mail is about."""
    return WorkSpace.objects.get(pk=mail.target_id)


def _described(workspace: WorkSpace) -> list[tuple[str, str]]:
    return [
        ("Machine", workspace.name),
        ("Bundle", f"{workspace.get_bundle_type_display()}, {workspace.get_operating_system_display()}"),
        ("Region", workspace.region),
    ]


def _how_to_connect(workspace: WorkSpace) -> list[tuple[str, str]]:
    if workspace.service_type == WorkSpace.ServiceType.APPLICATIONS:
        return [("User name", workspace.directory_user)]
    rows = [("User name", workspace.directory_user), ("Client", CLIENTS)]
    if code := (workspace.connection_url or "").partition(CODE_OF_URL)[2]:
        rows += [("Registration code", code), ("In a browser", workspace.connection_url or "")]
    return rows


def _first_steps(workspace: WorkSpace) -> list[str]:
    if workspace.service_type == WorkSpace.ServiceType.APPLICATIONS:
        return [f"“Connect” opens its applications, as does POST /api/v1/workspaces/{workspace.id}/connect/."]
    if not workspace.connection_url:
        return ["AWS has not told its registration code yet; “Connect” shows it as soon as it has."]
    sign_in = "sign in with the user name and the password of your directory account."
    return [f"Install the client, enter the registration code once, and {sign_in}"]


def _advice(reason: str, error: dict[str, Any]) -> str:
    elsewhere = ", ".join(sorted({other["region"] for other in error.get("alternatives", [])}))
    if elsewhere:
        return f"Another region offers the same: {elsewhere}. Launch it there, or try again later."
    if reason == "directory_user_taken":
        return (
            "AWS has a machine for your directory user already. Ask an admin to adopt it or to have it ended in AWS; "
            "then launch again."
        )
    if reason in ("cancelled", "called_off"):
        return "Launch again if you still need one."
    return "Launch again; if that fails too, give the operation's id to the people who run Forge."


def _cause(mail: Mail, workspace: WorkSpace) -> str:
    by = mail.facts["by"]
    if by == str(mail.recipient_id):
        return "you asked for it"
    if by:
        return f"{_named(by)} asked for it"
    ends = Operation.objects.filter(target_id=workspace.id, kind="workspace.terminate", spec=AUTOMATIC)
    if ends.filter(status=Operation.Status.SUCCEEDED).exists():
        return "a rule of its lifetime, see “Why” of the machine"
    return "AWS no longer has it" if "vanished" in mail.facts["reason"] else mail.facts["reason"]


def _named(person: str | None) -> str:
    found = User.objects.filter(pk=person).first() if person else None
    return found.full_name if found else "Forge"
