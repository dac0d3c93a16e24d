"""How each form, button and page of the console is made to succeed, to fail and to be denied.

What is not here fails tests/audit/test_capture_console.py, with the line to add.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from tests import factories
from tests import world as worlds
from tests.audit.walk import rows
from tests.factories import PASSWORD
from workspaces import services
from workspaces.admin.launching import digest_of


@dataclass(frozen=True)
class Form:
    """An add or change form of a model: what its entries say, who may, and what is filled in."""

    action: str
    by: str
    fields: Callable[[Any], dict[str, Any]]
    row: Callable[[Any], Any] | None = None
    resource: str = ""  # of the success, where the service names another than the model
    denied: tuple[str, ...] = ("engineer", "auditor")  # among those who may not
    status: int = 302


@dataclass(frozen=True)
class Press:
    """A button: what its entries say, who may press it on which row, and what is filled in."""

    action: str
    by: str
    row: Callable[[Any], Any]
    fields: Callable[[Any], dict[str, Any]] = field(default=lambda row: {})
    leaves: tuple[tuple[str, str], ...] = ()
    status: int = 302


def _at(prefix: str, when: Any) -> dict[str, str]:
    return {f"{prefix}_0": f"{when:%Y-%m-%d}", f"{prefix}_1": f"{when:%H:%M:%S}"}


def _typed(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda row: {"typed_confirmation": str(getattr(row, name)) if name else str(row)}


def _launch(world: Any) -> dict[str, Any]:
    machine = {"bundle_type": "STANDARD", "running_mode": "AUTO_STOP", "max_lifetime_days": "90", "region": "us-east-1"}
    machine |= {"owner_email": world.engineer.email, "blueprint": world.blueprint.pk, "team": "", "project": ""}
    spec = world.spec(owner=world.engineer.email)
    shown = services.launch(actor=worlds.actor(world.lead), spec=spec, now=timezone.now(), dry_run=True).figures
    return machine | {"price_seen": digest_of(spec, shown)}


def _budget(world: Any) -> dict[str, Any]:
    terms = {"scope": "TEAM", "team": world.team.pk, "amount": "250", "recurs": "NONE", "on_limit": "BLOCK_LAUNCHES"}
    return terms | _at("period_start", rows.hour()) | _at("period_end", rows.hour(ahead=99))


def _price(world: Any) -> dict[str, Any]:
    terms = {
        "service_type": "WORKSPACES_PERSONAL", "region": "us-east-1", "bundle_type": "STANDARD",
        "operating_system": "LINUX", "running_mode": "AUTO_STOP",
        "monthly_amount": "1", "hourly_amount": "1", "storage_gb_month_amount": "0", "transfer_gb_amount": "0",
        "currency": world.organization.currency, "source": "walk", "as_of": f"{timezone.now():%Y-%m-%d}",
    }  # fmt: skip
    return terms | _at("valid_from", rows.hour(ahead=1))


def _bill(world: Any) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("walk.csv", rows.bill_text(world))}


def _named(world: Any) -> dict[str, Any]:
    return {"name": "Walked", "slug": "walked", "cost_center": "r-1", "timezone": "UTC", "currency": "USD"}


def _member(world: Any) -> dict[str, Any]:
    return {"email": "walked@example.com", "full_name": "W", "role": "engineer", "team": world.team.pk}


def _first_admin(row: Any) -> dict[str, Any]:
    return {"email": "first@example.com", "full_name": "First Admin"}


def _draft(world: Any) -> dict[str, Any]:
    bundles = "us-east-1 STANDARD wsb-123456789 wsi-123456789"
    documents = {"software_manifest": "{}", "configuration": "{}"}
    return {"name": "walked", "operating_system": "LINUX", "team": world.team.pk, "bundles": bundles, **documents}


def _account(world: Any) -> dict[str, Any]:
    place = {"account": "123456789012", "region": "eu-west-1", "directory_id": "d-0123456789", "subnets": ""}
    place |= {"role_arn": "", "volume_key": "", "services": ["WORKSPACES_PERSONAL"]}
    return {"name": "walked", "kind": "SIMULATOR", **place}


def _report(world: Any) -> dict[str, Any]:
    return {"kind": "SHOWBACK", "by": "team", "month": f"{timezone.now():%Y-%m}", "format": "csv", "team": ""}


def _subscription(world: Any) -> dict[str, Any]:
    return {"kind": "CHARGEBACK", "by": "project", "team": ""}


def _policy(world: Any) -> dict[str, Any]:
    return {"team": world.team.pk, "blueprint_name": "", "idle_minutes": "60"}


def _latency(world: Any) -> dict[str, Any]:
    return {"place": "Berlin", "region": "us-east-1", "milliseconds": "90", "source": "a test"}


def _regions(world: Any) -> dict[str, Any]:
    return {"team": world.team.pk, "regions": "us-east-1"}


def _webhook(world: Any) -> dict[str, Any]:
    return {"name": "walked", "url": "https://hooks.example.com/", "kinds": ["budget.mark"], "team": ""}


def _hold(world: Any) -> dict[str, Any]:
    dates = {f"period_{end}_{part}": "" for end in ("start", "end") for part in (0, 1)}
    return {"user_id": str(world.engineer.pk), "resource_type": "", "resource_id": "", "reason": "a reason", **dates}


def _switch(world: Any) -> dict[str, Any]:
    return {"job": "meter_costs", "is_paused": "on", "reason": "a reason"}


def _token(row: Any) -> dict[str, Any]:
    return {"name": "walk", "interface": "CLI", "days": "9"}


def operator(world: Any) -> Any:
    return factories.UserFactory(organization=None)


FORMS = {
    ("organization", "add"): Form("ORGANIZATION_CREATE", "operator", _named),
    ("team", "add"): Form("TEAM_CREATE", "admin", _named),
    ("project", "add"): Form("PROJECT_CREATE", "admin", _named),
    ("membership", "add"): Form("MEMBER_CREATE", "lead", _member, resource="User"),
    ("blueprint", "add"): Form("BLUEPRINT_CREATE", "lead", _draft),
    ("provideraccount", "add"): Form("PROVIDER_ACCOUNT_CREATE", "admin", _account),
    ("workspace", "add"): Form("WORKSPACE_PROVISION", "lead", _launch, resource="WorkSpace"),
    ("budget", "add"): Form("BUDGET_CREATE", "finance", _budget),
    ("price", "add"): Form("PRICE_CREATE", "finance", _price),
    ("issuedreport", "add"): Form("COST_EXPORT", "finance", _report, status=200),  # the file itself
    ("reportsubscription", "add"): Form("REPORT_SUBSCRIBE", "finance", _subscription),
    ("bill", "add"): Form("BILL_UPLOAD", "finance", _bill),
    ("tagkey", "add"): Form("TAG_KEY_CHOOSE", "finance", lambda world: {"key": "cost-center"}),
    ("lifecyclepolicy", "add"): Form("LIFECYCLE_POLICY_CREATE", "admin", _policy),
    ("regionlatency", "add"): Form("REGION_LATENCY_CREATE", "admin", _latency),
    ("regionpolicy", "add"): Form("REGION_POLICY_CREATE", "admin", _regions),
    ("webhook", "add"): Form("WEBHOOK_CREATE", "admin", _webhook),
    ("legalhold", "add"): Form("LEGAL_HOLD_PLACE", "admin", _hold),
    ("auditverification", "add"): Form(
        "AUDIT_VERIFY_REQUEST",
        "auditor",
        lambda world: {"scope": "FULL"},
        resource="Operation",
        denied=("engineer", "lead", "operator"),
    ),
    ("jobswitch", "add"): Form("JOB_SWITCH", "operator", _switch, resource="job"),
    ("jobswitch", "change"): Form("JOB_SWITCH", "operator", _switch, rows.job_switch, resource="job"),
}

BUTTONS = {
    ("organization", "add-admin"): Press("MEMBER_CREATE", "operator", rows.empty_organization, _first_admin),
    ("user", "switch-off"): Press("MEMBER_UPDATE", "admin", lambda world: world.engineer, _typed("email")),
    ("user", "switch-on"): Press("MEMBER_UPDATE", "admin", rows.switched_off_person),
    ("user", "invite-again"): Press("MEMBER_INVITE", "lead", lambda world: rows.newcomer(world).user),
    ("user", "issue-token"): Press("TOKEN_CREATE", "admin", lambda world: world.engineer, _token, status=200),
    ("membership", "take-away"): Press("ROLE_CHANGE", "lead", rows.membership),
    ("user", "unlock"): Press("ACCOUNT_UNLOCK", "admin", rows.locked_person),
    ("user", "reset-factors"): Press("MFA_RESET", "admin", rows.person_with_factor, _typed("email")),
    ("usersession", "end"): Press("SESSION_REVOKE", "admin", rows.session),
    ("apitoken", "revoke"): Press("TOKEN_REVOKE", "admin", rows.token),
    ("blueprint", "publish"): Press("BLUEPRINT_PUBLISH", "lead", rows.offering_draft),
    ("blueprint", "retire"): Press("BLUEPRINT_RETIRE", "lead", lambda world: world.blueprint, _typed("")),
    ("project", "change"): Press(
        "PROJECT_UPDATE", "admin", lambda world: world.project, lambda row: {"name": row.name, "cost_center": "r-200"}
    ),
    ("workspace", "start"): Press("WORKSPACE_START", "lead", rows.stopped),
    ("workspace", "stop"): Press("WORKSPACE_STOP", "lead", rows.machine),
    ("workspace", "connect"): Press("WORKSPACE_CONNECT", "lead", rows.connectable),
    ("workspace", "modify"): Press("WORKSPACE_MODIFY", "lead", rows.machine, lambda row: {"running_mode": "ALWAYS_ON"}),
    ("workspace", "tag"): Press("WORKSPACE_TAG", "lead", rows.machine, lambda row: {"tags": "purpose=build"}),
    ("workspace", "move"): Press(
        "WORKSPACE_MOVE", "lead", rows.leaving_its_project, lambda row: {"team": row.team.slug}
    ),
    ("workspace", "reboot"): Press("WORKSPACE_REBOOT", "lead", rows.machine),
    ("workspace", "rebuild"): Press("WORKSPACE_REBUILD", "lead", rows.machine, _typed("name")),
    ("workspace", "restore"): Press("WORKSPACE_RESTORE", "lead", rows.machine, _typed("name")),
    ("workspace", "keep-alive"): Press(
        "WORKSPACE_KEEP_ALIVE", "lead", rows.machine, lambda row: {"days": "9", "reason": "a reason"}
    ),
    ("workspace", "hand-over"): Press(
        "WORKSPACE_HAND_OVER",
        "admin",
        rows.quarantined,
        lambda row: {"heir": row.quarantines.get().heir.email, "days": "9", "reason": "a reason"},
        leaves=(("WORKSPACE_KEEP_ALIVE", "SUCCESS"), ("WORKSPACE_HAND_OVER", "SUCCESS")),
    ),
    ("workspace", "lease"): Press(
        "WORKSPACE_LEASE", "lead", rows.machine, lambda row: {"hours": "9", "reason": "a reason"}
    ),
    ("workspace", "extend"): Press(
        "WORKSPACE_EXTEND", "lead", rows.machine, lambda row: {"days": "9", "reason": "a reason"}
    ),
    ("regionlatency", "latency"): Press(
        "REGION_LATENCY_UPDATE", "admin", rows.latency, lambda row: {"milliseconds": "80", "source": "b"}
    ),
    ("regionpolicy", "regions"): Press(
        "REGION_POLICY_UPDATE", "admin", rows.region_policy, lambda row: {"regions": "all"}
    ),
    ("lifecyclepolicy", "ceilings"): Press(
        "LIFECYCLE_POLICY_UPDATE", "admin", rows.policy, lambda row: {"idle_minutes": "60"}
    ),
    ("workspace", "let-go"): Press("WORKSPACE_KEEP_ALIVE", "lead", rows.kept),
    ("workspace", "terminate"): Press("WORKSPACE_TERMINATE", "lead", rows.machine, _typed("name")),
    ("provideraccount", "switch-off"): Press("PROVIDER_ACCOUNT_UPDATE", "admin", lambda world: world.account),
    ("provideraccount", "switch-on"): Press("PROVIDER_ACCOUNT_UPDATE", "admin", rows.account_off),
    ("provideraccount", "adopt"): Press(
        "FLEET_ADOPT", "admin", lambda world: world.account, lambda row: {"max_lifetime_days": "90"}
    ),
    ("provideraccount", "volume-key"): Press(
        "PROVIDER_ACCOUNT_UPDATE", "admin", lambda world: world.account, lambda row: {"volume_key": "alias/forge"}
    ),
    ("provideraccount", "services"): Press(
        "PROVIDER_ACCOUNT_UPDATE",
        "admin",
        lambda world: world.account,
        lambda row: {"services": ["WORKSPACES_APPLICATIONS"]},
    ),
    ("provideraccount", "attest"): Press(
        "ATTESTATION_CREATE",
        "admin",
        lambda world: world.account,
        lambda row: {"controls": ["usb"], "days": "9", "note": "a test"},
    ),
    ("attestation", "withdraw"): Press("ATTESTATION_WITHDRAW", "admin", rows.attestation),
    ("unmanagedmachine", "adopt"): Press(
        "WORKSPACE_ADOPT", "admin", rows.unmanaged, lambda row: {"max_lifetime_days": "90"}
    ),
    ("advice", "accept"): Press(
        "ADVICE_ACCEPT",
        "lead",
        rows.unattended_advice,
        leaves=(("WORKSPACE_STOP", "SUCCESS"), ("ADVICE_ACCEPT", "SUCCESS")),
    ),
    ("advice", "end"): Press(
        "ADVICE_ACCEPT",
        "lead",
        rows.advice,
        lambda row: {"typed_confirmation": row.workspace.name},
        leaves=(("WORKSPACE_TERMINATE", "SUCCESS"), ("ADVICE_ACCEPT", "SUCCESS")),
    ),
    ("advice", "snooze"): Press("ADVICE_SNOOZE", "lead", rows.advice, lambda row: {"days": "9", "reason": "a reason"}),
    ("advice", "dismiss"): Press("ADVICE_DISMISS", "lead", rows.advice, lambda row: {"reason": "a reason"}),
    ("budget", "amount"): Press("BUDGET_UPDATE", "finance", rows.budget, lambda row: {"amount": "7"}),
    ("budget", "owner"): Press("BUDGET_UPDATE", "finance", rows.owned_budget, lambda row: {"owner": ""}),
    ("budget", "off"): Press("BUDGET_UPDATE", "finance", rows.budget),
    ("budget", "on"): Press("BUDGET_UPDATE", "finance", rows.budget_off),
    ("budget", "thresholds"): Press("BUDGET_UPDATE", "finance", rows.budget, lambda row: {"thresholds": "50, 100"}),
    ("budget", "raise"): Press(
        "BUDGET_RAISE",
        "finance",
        rows.budget,
        lambda row: {"amount": "5", "reason": "a reason"} | _at("ends_at", rows.hour(ahead=9)),
    ),
    ("budget", "transfer"): Press(
        "BUDGET_TRANSFER",
        "finance",
        rows.giver,
        lambda row: {"amount": "5", "reason": "a reason", "team": rows.receiver(row.organization)[1]},
        leaves=(("BUDGET_TRANSFER", "SUCCESS"),) * 2,
    ),
    ("budgetraise", "end"): Press("BUDGET_RAISE_END", "finance", rows.budget_raise),
    ("price", "close"): Press("PRICE_CLOSE", "finance", rows.price),
    ("price", "confirm"): Press(
        "PRICE_CONFIRM", "finance", rows.price, lambda row: {"as_of": f"{timezone.now():%Y-%m-%d}", "source": "a bill"}
    ),
    ("tagkey", "drop"): Press("TAG_KEY_DROP", "finance", rows.tag_key),
    ("reportsubscription", "end"): Press("REPORT_UNSUBSCRIBE", "finance", rows.report_subscription),
    ("legalhold", "release"): Press("LEGAL_HOLD_RELEASE", "admin", rows.hold, lambda row: {"reason": "a reason"}),
    ("webhook", "ping"): Press("WEBHOOK_PING", "finance", rows.webhook),
    ("webhook", "rotate"): Press("WEBHOOK_ROTATE", "admin", rows.webhook, lambda row: {"keep_hours": "0"}, status=200),
    ("webhook", "change"): Press(
        "WEBHOOK_UPDATE",
        "admin",
        rows.webhook,
        lambda row: {"name": "walked", "url": "https://other.example.com/", "kinds": ["workspace.ready"]},
    ),
    ("webhook", "on"): Press("WEBHOOK_UPDATE", "admin", rows.webhook_off),
    ("webhook", "off"): Press("WEBHOOK_UPDATE", "admin", rows.webhook),
    ("webhook", "remove"): Press("WEBHOOK_REMOVE", "admin", rows.webhook, _typed("name")),
    ("webhookdelivery", "redeliver"): Press("WEBHOOK_REDELIVER", "admin", rows.webhook_delivery),
    ("mail", "retry"): Press("MAIL_RETRY", "admin", rows.mail_given_up),
    ("operation", "cancel"): Press(
        "OPERATION_CANCEL", "lead", rows.operation, leaves=(("WORKSPACE_STOP_OUTCOME", "FAILURE"),)
    ),
    ("operation", "retry"): Press(
        "OPERATION_RETRY", "lead", rows.unknown, leaves=(("WORKSPACE_STOP_OUTCOME", "SUCCESS"),)
    ),
}

BULK: dict[tuple[str, str], Any] = {}
"""(model, action) of each bulk action. There is none; the first one needs a test of one entry per chosen row."""

EXPORTED = (
    "advice", "attestation", "billedmachine", "billgap", "bookfault", "budget", "costrecord", "costrevision",
    "dailycost", "decision", "finding", "jobrun", "mail", "membership", "operation", "quarantine", "reservation",
    "statechange", "unmanagedmachine", "user", "webhookdelivery", "workspace",
)  # fmt: skip
OWN_PAGES = {
    **{(model, "export"): "tests/forge/console/test_exports.py" for model in EXPORTED},
    ("auditlog", "export"): "tests/audit/test_export_admin.py",
    ("workspace", "bulk"): "tests/workspaces/test_bulk_page.py",
}
"""(model, name) of each page that a model has beside those of every model, and the test of what it leaves."""

PAGES = {
    "login": "sign-in: test_signing_in_out_and_failing below",
    "logout": "sign-out: test_signing_in_out_and_failing below",
    "saved": "a saved filter: tests/forge/console/test_saved.py",
    "saved_forget": "a saved filter: tests/forge/console/test_saved.py",
    "password_change": "one's own password: test_ones_own_password below",
    "search": "reads",
    "system": "reads",
    "index": "reads",
    "password_change_done": "reads",
    "autocomplete": "reads",
    "jsi18n": "reads",
    "view_on_site": "reads",
    "app_list": "reads",
}
"""Pages of the site that belong to no model. Those that only read are posted to all the same, and leave a FAILURE."""

OF_A_MODEL = {"changelist", "add", "history", "delete", "change", "button"}

NEW_PASSWORD = {"old_password": PASSWORD, "new_password1": "staple battery 17", "new_password2": "staple battery 17"}

ADD = {
    "form": 'FORMS of tests/audit/walk/console.py: ("{model}", "{name}"): Form("ACTION_TYPE", "admin", _fields),',
    "button": 'BUTTONS of tests/audit/walk/console.py: ("{model}", "{name}"): Press("ACTION_TYPE", "lead", rows.team),',
    "bulk": "BULK of tests/audit/walk/console.py, with a test that it leaves one entry per row: {model} {name}",
    "page": "OWN_PAGES or PAGES of tests/audit/walk/console.py, or a test of its own, which it names: {model} {name}",
}
