"""What mail about machines says; named in FORGE_MAIL_KINDS, called when it is sent.

What may have changed since is looked up then: a registration code that AWS told late, a machine that has ended.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from forge.accounts.models import Project, Team, User
from forge.operations.models import Operation
from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail
from workspaces.lifecycle import AUTOMATIC, TERMINAL_STATES, State
from workspaces.models import WorkSpace
from workspaces.rules.deadlines import STOP, TERMINATE, Rule
from workspaces.rules.reckoning import lifetime_ends, plans_of
from workspaces.services.calling_off import rule_behind
from workspaces.services.connecting import CLIENTS

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
            f"Its lifetime ends at {reader.time(lifetime_ends([workspace])[workspace.id])}.",
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


def about_to_stop(mail: Mail, reader: Reader) -> Letter:
    """That a rule is about to stop the machine, when, and what puts it off."""
    workspace, at = _still_ahead(mail, STOP)
    is_idle = mail.facts["rule"] == Rule.IDLE
    why = "nobody has used it for some time" if is_idle else "it has run for as long as one run may last"
    advice = "Use it, or take a work lease on it, and it runs on." if is_idle else "You can start it again afterwards."
    return Letter(
        subject=f"Forge: your machine {workspace.name} is about to be stopped",
        sentence=f"Your machine {workspace.name} is about to be stopped, because {why}.",
        rows=[*_described(workspace), ("Stops at", reader.time(at))],
        paragraphs=["Save your work: what is not saved is lost. What is on its volumes stays.", advice],
    )


def about_to_end(mail: Mail, reader: Reader) -> Letter:
    """That a rule is about to end the machine, when, and what puts it off; or that it has begun to.

    A mail that was held up until then is sent all the same: whoever loses data hears of it.
    """
    workspace = machine_of(mail)
    ended_by = _rule_that_ends(workspace)
    if ended_by is not None:
        return _being_ended(workspace, is_stale=ended_by == Rule.STALE)
    workspace, at = _still_ahead(mail, TERMINATE)
    is_stale = mail.facts["rule"] == Rule.STALE
    why = "it has been stopped for a long time" if is_stale else "its agreed lifetime is over then"
    rescue = "start it" if is_stale else "extend its lifetime"
    return Letter(
        subject=f"Forge: your machine {workspace.name} is about to be ended",
        sentence=f"Your machine {workspace.name} is about to be ended, because {why}.",
        rows=[*_described(workspace), ("Ends at", reader.time(at))],
        paragraphs=[
            "Its end takes everything on its volumes with it.",
            f"If you still need it, {rescue} or have it kept alive before that time.",
        ],
    )


def _being_ended(workspace: WorkSpace, *, is_stale: bool) -> Letter:
    why = "it has been stopped for a long time" if is_stale else "its agreed lifetime is over"
    return Letter(
        subject=f"Forge: your machine {workspace.name} is being ended",
        sentence=f"Your machine {workspace.name} is being ended, because {why}.",
        rows=_described(workspace),
        paragraphs=["Its end takes everything on its volumes with it.", "You can launch another one at any time."],
    )


def _rule_that_ends(workspace: WorkSpace) -> str | None:
    """The rule by which the machine is being ended; None where it is not, or a person asked for it."""
    asked = Operation.objects.filter(target_id=workspace.id, kind="workspace.terminate").order_by("-created_at", "-id")
    operation = asked.first() if workspace.state == State.TERMINATING else None
    return rule_behind(operation) if operation is not None else None


def quarantined(mail: Mail, reader: Reader) -> Letter:
    """That the machine of somebody who is switched off rests, and until when."""
    workspace = _in_quarantine(mail)
    return Letter(
        subject=f"Forge: machine {workspace.name} is in quarantine",
        sentence=f"The account of {workspace.owner.full_name} is switched off, so machine {workspace.name} is in "
        "quarantine: nobody starts it or connects to it.",
        rows=_kept(mail, workspace, reader),
        paragraphs=[
            _to_save(workspace, "If something on it is still needed, ask an admin to hand it over before that time."),
            "Afterwards the rules of its lifetime apply again, and its end takes what is on it with it.",
            *_while_it_runs(workspace),
        ],
    )


def handed_over(mail: Mail, reader: Reader) -> Letter:
    """How the heir gets at what is on the machine."""
    workspace = _in_quarantine(mail)
    return Letter(
        subject=f"Forge: machine {workspace.name} is handed over to you",
        sentence=f"Machine {workspace.name} of {workspace.owner.full_name} is handed over to you.",
        rows=[*_kept(mail, workspace, reader), *_how_to_connect(workspace)],
        paragraphs=[
            "AWS binds a machine to its directory user, so it stays that of its owner.",
            f"Ask the administrators of the directory to set a new password for {workspace.directory_user}.",
            "They must not delete this user before the machine has ended.",
            f"Then start the machine, sign in as {workspace.directory_user}, and copy what is needed elsewhere.",
            "End the machine when that is done. After the time above nobody can start it any more.",
        ],
    )


def kept_no_longer(mail: Mail, reader: Reader) -> Letter:
    """That the time in which a machine in quarantine is kept runs out."""
    workspace = _in_quarantine(mail)
    return Letter(
        subject=f"Forge: machine {workspace.name} is kept for a few days more",
        sentence=f"Machine {workspace.name} of {workspace.owner.full_name}, whose account is switched off, is kept "
        "for a few days more.",
        rows=_kept(mail, workspace, reader),
        paragraphs=[
            _to_save(
                workspace, "What is needed of it must be saved by then; an admin can hand it over or keep it longer."
            )
        ],
    )


def moved(mail: Mail, reader: Reader) -> Letter:
    """To which team and project a machine is charged from now on."""
    workspace = WorkSpace.objects.select_related("owner").get(pk=mail.target_id)
    before, after = mail.facts["before"], mail.facts["after"]
    at = datetime.fromisoformat(mail.facts["at"])
    return Letter(
        subject=f"Forge: machine {workspace.name} has moved",
        sentence=f"Machine {workspace.name} of {workspace.owner.full_name} is charged to another team or project now.",
        rows=[
            *_described(workspace),
            ("Team", _way(Team, before["team_id"], after["team_id"])),
            ("Project", _way(Project, before["project_id"], after["project_id"])),
            ("Moved at", reader.time(at)),
        ],
        paragraphs=["What it cost up to the end of that hour stays where it was. The machine runs on as it is."],
    )


def _to_save(workspace: WorkSpace, how: str) -> str:
    """How what is on the machine of a leaver is saved, where there is anything."""
    nothing = "It keeps nothing between sessions, so there is nothing on it to save, and it is not handed over."
    return how if workspace.capabilities.can_be_handed_over else nothing


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


def _still_ahead(mail: Mail, action: str) -> tuple[WorkSpace, datetime]:
    """The machine, and when the rule of the mail does `action` to it by what is known now.

    Raises NothingToTell where it does so no longer, or later than the mail was written about; then comes another one.
    """
    workspace = WorkSpace.objects.select_related("blueprint").get(pk=mail.target_id)
    step = plans_of([workspace], now=mail.created_at)[workspace.id].step_of(action, mail.facts["rule"])
    if step is None:
        raise NothingToTell(f"no rule is about to {action} the machine any more")
    if step.at > datetime.fromisoformat(mail.facts["at"]):
        raise NothingToTell(f"the rule will {action} the machine later")
    return workspace, step.at


def _in_quarantine(mail: Mail) -> WorkSpace:
    workspace = WorkSpace.objects.select_related("owner").get(pk=mail.target_id)
    held = workspace.quarantines.open().first()
    if held is None:
        raise NothingToTell("the machine is not in quarantine any more")
    if held.kept_until != datetime.fromisoformat(mail.facts["kept_until"]):
        raise NothingToTell("the machine is kept until another time now")
    return workspace


def _kept(mail: Mail, workspace: WorkSpace, reader: Reader) -> list[tuple[str, str]]:
    return [*_described(workspace), ("Kept until", reader.time(datetime.fromisoformat(mail.facts["kept_until"])))]


def _while_it_runs(workspace: WorkSpace) -> list[str]:
    if workspace.running_mode == WorkSpace.RunningMode.ALWAYS_ON:
        return ["AWS stops no AlwaysOn machine: it runs on and is paid for until it ends."]
    return []


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


def _way(model: type[Team | Project], before: str | None, after: str | None) -> str:
    """From where to where, by name; one name where nothing changed."""
    names = {str(row.pk): row.name for row in model.objects.filter(pk__in=[key for key in (before, after) if key])}
    was, becomes = (names.get(key, "none") if key else "none" for key in (before, after))
    return was if before == after else f"{becomes} (before: {was})"
