"""How each changing address of the API is made to succeed, to fail and to be denied.

A route or method that is not here fails tests/audit/test_capture_api.py, with the line to add.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from forge.operations.models import Operation
from tests.audit.walk import rows
from workspaces.models import WorkSpace


@dataclass(frozen=True)
class Api:
    """One route and method: what its entries say, who may and who may not, the row of its address and its body.

    `leaves` are the (action type, result) of a success, where that is not (`action`, SUCCESS) alone; `conflict` puts
    the row into a state that answers 409. `is_read`: a POST that changes nothing, with no entry unless denied.
    """

    action: str
    resource: str
    by: str
    denied_to: str | None
    row: Callable[[Any], Any] | None = None
    body: Callable[[Any], dict[str, Any]] | None = None
    status: int = 200
    leaves: tuple[tuple[str, str], ...] = ()
    conflict: Callable[[Any], Any] | None = None
    is_read: bool = False
    denied_interfaces: tuple[str, ...] = ()
    content: Callable[[Any], tuple[bytes, str]] | None = None  # a body that is no JSON, and its media type

    @property
    def success(self) -> list[tuple[str, str]]:
        return [] if self.is_read else list(self.leaves or ((self.action, "SUCCESS"),))


def _end(row: WorkSpace) -> None:
    WorkSpace.objects.filter(pk=row.pk).update(state="TERMINATED", terminated_at=timezone.now())


def _finish(row: Operation) -> None:
    Operation.objects.filter(pk=row.pk).update(status="succeeded", finished_at=timezone.now(), next_attempt_at=None)


def _release(row: Any) -> None:
    ended = {"released_by": row.placed_by, "released_at": timezone.now(), "release_reason": "a reason"}
    type(row).objects.filter(pk=row.pk).update(**ended)


def _signs_in(row: Any) -> None:
    type(row.user).objects.filter(pk=row.user_id).update(last_login=timezone.now())


def _revoke(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(revoked_at=timezone.now())


def _publish(row: Any) -> None:
    rows.factories.publish(row)


def _retire(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(status="RETIRED", retired_at=timezone.now())


def _named(**facts: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda world: facts


def _draft(world: Any) -> dict[str, Any]:
    return {"name": "walked", "operating_system": "LINUX", "team": world.team.slug}


def _price(world: Any) -> dict[str, Any]:
    return {
        "region": "us-east-1", "bundle_type": "STANDARD", "operating_system": "LINUX", "running_mode": "AUTO_STOP",
        "monthly_amount": "1", "source": "walk", "as_of": f"{timezone.now():%Y-%m-%d}",
        "valid_from": rows.hour(ahead=1).isoformat(),
    }  # fmt: skip


def _budget(world: Any) -> dict[str, Any]:
    return {
        "scope": "TEAM", "scope_id": str(world.team.id), "amount": "5",
        "period_start": rows.hour().isoformat(), "period_end": rows.hour(ahead=100).isoformat(),
    }  # fmt: skip


def _raise(world: Any) -> dict[str, Any]:
    return {
        "budget": str(rows.budget(world).pk), "amount": "5", "ends_at": rows.hour(ahead=9).isoformat(),
        "reason": "a reason",
    }  # fmt: skip


def _drop(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(state="DROPPING")


def _end_raise(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(ended_at=timezone.now())


def _transfer(world: Any) -> dict[str, Any]:
    return {"to": str(rows.receiver(world.organization)[0].pk), "amount": "5", "reason": "a reason"}


def _member(world: Any) -> dict[str, Any]:
    return {"email": "walked@example.com", "full_name": "W", "role": "engineer", "team": world.team.slug}


def _keep(world: Any) -> dict[str, Any]:
    return {"until": (timezone.now() + timedelta(days=3)).isoformat(), "reason": "a reason"}


def _hand_over(world: Any) -> dict[str, Any]:
    return {**_keep(world), "heir": world.lead.email}


def _attest(world: Any) -> dict[str, Any]:
    until = (timezone.now() + timedelta(days=9)).isoformat()
    return {"provider_account": str(world.account.id), "controls": ["usb"], "valid_until": until, "note": "a test"}


def _dismiss(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(status="DISMISSED", reason="a reason", decided_at=timezone.now())


def _withdraw(row: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(withdrawn_at=timezone.now())


def _end_quarantine(row: WorkSpace) -> None:
    row.quarantines.update(ended_at=timezone.now(), outcome="RETURNED")


def _hold(world: Any) -> dict[str, Any]:
    return {"user_id": str(world.engineer.id), "reason": "a reason"}


def _fleet(world: Any) -> dict[str, Any]:
    return {"provider_account": str(world.account.id)}


def _launch(world: Any) -> dict[str, Any]:
    return world.body()


def _stop_one(world: Any) -> dict[str, Any]:
    return {"action": "stop", "ids": [str(rows.machine(world).pk)]}


def _service_token(world: Any) -> dict[str, Any]:
    return {"name": "w", "expires_at": (timezone.now() + timedelta(days=9)).isoformat()}


STOPPED_OUTCOME = (("WORKSPACE_STOP_OUTCOME", "FAILURE"),)
"""Calling off what rests ends the operation at once, and how an operation ended is one entry: FAILURE, cancelled."""

CASES = {
    ("team-list", "post"): Api("TEAM_CREATE", "Team", "admin", "lead", body=_named(slug="w", name="W"), status=201),
    ("project-list", "post"): Api(
        "PROJECT_CREATE", "Project", "admin", "lead", body=_named(slug="w", name="W"), status=201
    ),
    ("project-detail", "patch"): Api(
        "PROJECT_UPDATE", "Project", "admin", "lead", lambda world: world.project, _named(cost_center="r-200")
    ),
    ("member-list", "post"): Api("MEMBER_CREATE", "Membership", "lead", "auditor", body=_member, status=201),
    ("member-detail", "delete"): Api("ROLE_CHANGE", "Membership", "lead", "auditor", rows.membership, status=204),
    ("member-invite", "post"): Api(
        "MEMBER_INVITE", "Membership", "lead", "auditor", rows.newcomer, conflict=_signs_in
    ),
    ("token-list", "post"): Api(
        "TOKEN_CREATE", "ApiToken", "engineer", None, body=_named(name="w"), status=201, denied_interfaces=("LUCY",)
    ),
    ("token-revoke", "post"): Api("TOKEN_REVOKE", "ApiToken", "engineer", "auditor", rows.token, conflict=_revoke),
    ("service-account-list", "post"): Api(
        "SERVICE_ACCOUNT_CREATE", "User", "admin", "lead", body=_named(name="w", role="auditor"), status=201
    ),
    ("service-account-tokens", "post"): Api(
        "TOKEN_CREATE", "ApiToken", "admin", "auditor", rows.service, body=_service_token, status=201,
        denied_interfaces=("LUCY",),
    ),
    ("my-session-detail", "delete"): Api(
        "SESSION_REVOKE", "UserSession", "engineer", None, rows.session, status=204
    ),
    ("operation-cancel", "post"): Api(
        "OPERATION_CANCEL", "Operation", "engineer", "auditor", rows.operation, leaves=STOPPED_OUTCOME, conflict=_finish
    ),
    ("operation-retry", "post"): Api(
        "OPERATION_RETRY", "Operation", "engineer", "auditor", rows.unknown, status=202, conflict=_finish,
        leaves=(("WORKSPACE_STOP_OUTCOME", "SUCCESS"),),
    ),
    ("blueprint-list", "post"): Api("BLUEPRINT_CREATE", "Blueprint", "engineer", "auditor", body=_draft, status=201),
    ("blueprint-detail", "patch"): Api(
        "BLUEPRINT_UPDATE", "Blueprint", "engineer", "auditor", rows.draft, _named(description="d"), conflict=_publish
    ),
    ("blueprint-versions", "post"): Api(
        "BLUEPRINT_CREATE", "Blueprint", "engineer", "auditor", rows.draft, _named(description="d"), status=201
    ),
    ("blueprint-publish", "post"): Api(
        "BLUEPRINT_PUBLISH", "Blueprint", "lead", "engineer", rows.offering_draft, conflict=_publish
    ),
    ("blueprint-retire", "post"): Api(
        "BLUEPRINT_RETIRE", "Blueprint", "lead", "engineer", lambda world: world.blueprint, conflict=_retire
    ),
    ("workspace-list", "post"): Api(
        "WORKSPACE_PROVISION", "WorkSpace", "engineer", "auditor", body=_launch, status=202
    ),
    ("workspace-detail", "delete"): Api(
        "WORKSPACE_TERMINATE", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-detail", "patch"): Api(
        "WORKSPACE_TAG", "WorkSpace", "engineer", "auditor", rows.machine, _named(tags={"purpose": "build"}),
        status=202, conflict=_end,
    ),
    ("workspace-move", "post"): Api(
        "WORKSPACE_MOVE", "WorkSpace", "lead", "auditor", rows.leaving_its_project, _named(project=None), status=202,
        conflict=_end,
    ),
    ("workspace-terminate", "post"): Api(
        "WORKSPACE_TERMINATE", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-keep-alive", "post"): Api(
        "WORKSPACE_KEEP_ALIVE", "WorkSpace", "engineer", "auditor", rows.machine, _keep, conflict=_end
    ),
    ("workspace-hand-over", "post"): Api(
        "WORKSPACE_HAND_OVER", "WorkSpace", "admin", "lead", rows.quarantined, _hand_over,
        leaves=(("WORKSPACE_KEEP_ALIVE", "SUCCESS"), ("WORKSPACE_HAND_OVER", "SUCCESS")), conflict=_end_quarantine
    ),
    ("workspace-extend", "post"): Api(
        "WORKSPACE_EXTEND", "WorkSpace", "engineer", "auditor", rows.machine, _named(days=9, reason="a reason"),
        conflict=_end,
    ),
    ("workspace-leases", "post"): Api(
        "WORKSPACE_LEASE", "WorkSpace", "engineer", "auditor", rows.machine, _keep, status=201, conflict=_end
    ),
    ("lifecycle-policy-list", "post"): Api(
        "LIFECYCLE_POLICY_CREATE", "LifecyclePolicy", "admin", "lead", body=_named(idle_minutes=60), status=201
    ),
    ("lifecycle-policy-detail", "patch"): Api(
        "LIFECYCLE_POLICY_UPDATE", "LifecyclePolicy", "admin", "lead", rows.policy, _named(idle_minutes=90)
    ),
    ("attestation-list", "post"): Api(
        "ATTESTATION_CREATE", "Attestation", "admin", "lead", body=_attest, status=201
    ),
    ("attestation-withdraw", "post"): Api(
        "ATTESTATION_WITHDRAW", "Attestation", "admin", "auditor", rows.attestation, conflict=_withdraw
    ),
    ("region-latency-list", "post"): Api(
        "REGION_LATENCY_CREATE", "RegionLatency", "admin", "lead", status=201,
        body=_named(place="Berlin", region="us-east-1", milliseconds=90, source="a test"),
    ),
    ("region-latency-detail", "patch"): Api(
        "REGION_LATENCY_UPDATE", "RegionLatency", "admin", "lead", rows.latency,
        _named(milliseconds=80, source="a test"),
    ),
    ("region-policy-list", "post"): Api(
        "REGION_POLICY_CREATE", "RegionPolicy", "admin", "lead", status=201,
        body=lambda world: {"team": world.team.slug, "regions": ["us-east-1"]},
    ),
    ("region-policy-detail", "patch"): Api(
        "REGION_POLICY_UPDATE", "RegionPolicy", "admin", "lead", rows.region_policy, _named(regions=[])
    ),
    ("provider-account-detail", "patch"): Api(
        "PROVIDER_ACCOUNT_UPDATE", "ProviderAccount", "admin", "auditor", lambda world: world.account,
        _named(services=["WORKSPACES_PERSONAL"]),
    ),
    ("workspace-connect", "post"): Api(
        "WORKSPACE_CONNECT", "WorkSpace", "engineer", "auditor", rows.connectable, _named(application_id=""),
        conflict=_end,
    ),
    ("workspace-start", "post"): Api(
        "WORKSPACE_START", "WorkSpace", "engineer", "auditor", rows.stopped, status=202, conflict=_end
    ),
    ("workspace-stop", "post"): Api(
        "WORKSPACE_STOP", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-modify", "post"): Api(
        "WORKSPACE_MODIFY", "WorkSpace", "engineer", "auditor", rows.machine, _named(running_mode="ALWAYS_ON"),
        status=202, conflict=_end,
    ),
    ("workspace-reboot", "post"): Api(
        "WORKSPACE_REBOOT", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-rebuild", "post"): Api(
        "WORKSPACE_REBUILD", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-restore", "post"): Api(
        "WORKSPACE_RESTORE", "WorkSpace", "engineer", "auditor", rows.machine, status=202, conflict=_end
    ),
    ("workspace-bulk", "post"): Api(
        "WORKSPACE_BULK", "Operation", "engineer", "auditor", body=_stop_one, status=202
    ),
    ("unmanaged-machine-adopt", "post"): Api(
        "WORKSPACE_ADOPT", "UnmanagedMachine", "admin", "auditor", rows.unmanaged, status=201
    ),
    ("unmanaged-machine-adopt-fleet", "post"): Api(
        "FLEET_ADOPT", "UnmanagedMachine", "admin", "auditor", body=_fleet, status=202
    ),
    ("advice-accept", "post"): Api(
        "ADVICE_ACCEPT", "Advice", "engineer", "auditor", rows.advice, status=202, conflict=_dismiss,
        leaves=(("WORKSPACE_TERMINATE", "SUCCESS"), ("ADVICE_ACCEPT", "SUCCESS")),
    ),
    ("advice-snooze", "post"): Api(
        "ADVICE_SNOOZE", "Advice", "engineer", "auditor", rows.advice, _keep, conflict=_dismiss
    ),
    ("advice-dismiss", "post"): Api(
        "ADVICE_DISMISS", "Advice", "engineer", "auditor", rows.advice, _named(reason="a reason"), conflict=_dismiss
    ),
    ("cost-quote", "post"): Api(
        "", "DailyCost", "engineer", None, body=lambda world: world.body(hours=10), is_read=True
    ),
    ("price-list", "post"): Api("PRICE_CREATE", "Price", "finance", "auditor", body=_price, status=201),
    ("price-close", "post"): Api("PRICE_CLOSE", "Price", "finance", "auditor", rows.price, _named(valid_to=None)),
    ("price-confirm", "post"): Api(
        "PRICE_CONFIRM", "Price", "finance", "auditor", rows.price, _named(as_of=f"{timezone.now():%Y-%m-%d}")
    ),
    ("report-subscription-list", "post"): Api(
        "REPORT_SUBSCRIBE", "ReportSubscription", "finance", "auditor", body=_named(by="team"), status=201
    ),
    ("report-subscription-detail", "delete"): Api(
        "REPORT_UNSUBSCRIBE", "ReportSubscription", "finance", "auditor", rows.report_subscription, status=204
    ),
    ("bill-list", "post"): Api(
        "BILL_UPLOAD", "Bill", "finance", "auditor", status=202,
        content=lambda world: (rows.bill_text(world), "text/csv"),
    ),
    ("tag-key-list", "post"): Api(
        "TAG_KEY_CHOOSE", "TagKey", "finance", "auditor", body=_named(key="cost-center"), status=201
    ),
    ("tag-key-detail", "delete"): Api(
        "TAG_KEY_DROP", "TagKey", "finance", "auditor", rows.tag_key, status=204, conflict=_drop
    ),
    ("budget-list", "post"): Api("BUDGET_CREATE", "Budget", "finance", "auditor", body=_budget, status=201),
    ("budget-detail", "patch"): Api(
        "BUDGET_UPDATE", "Budget", "finance", "auditor", rows.budget, _named(amount="7")
    ),
    ("budget-transfer", "post"): Api(
        "BUDGET_TRANSFER", "Budget", "finance", "auditor", rows.giver, _transfer,
        leaves=(("BUDGET_TRANSFER", "SUCCESS"),) * 2,
    ),
    ("budget-raise-list", "post"): Api("BUDGET_RAISE", "BudgetRaise", "finance", "auditor", body=_raise, status=201),
    ("budget-raise-end", "post"): Api(
        "BUDGET_RAISE_END", "BudgetRaise", "finance", "auditor", rows.budget_raise, conflict=_end_raise
    ),
    ("audit-export-list", "post"): Api(
        "AUDIT_EXPORT_REQUEST", "AuditExport", "auditor", "lead", body=_named(format="csv"), status=202
    ),
    ("audit-hold-list", "post"): Api(
        "LEGAL_HOLD_PLACE", "LegalHold", "admin", "auditor", body=_hold, status=201
    ),
    ("audit-hold-release", "post"): Api(
        "LEGAL_HOLD_RELEASE", "LegalHold", "admin", "auditor", rows.hold, _named(reason="a reason"),
        conflict=_release,
    ),
    ("audit-verification-list", "post"): Api(
        "AUDIT_VERIFY_REQUEST", "AuditVerification", "auditor", "lead", body=_named(scope="FULL"), status=202
    ),
    ("me-notifications", "patch"): Api(
        "NOTIFICATIONS_CHOOSE", "NotificationPreference", "engineer", None,
        body=_named(notifications=[{"kind": "budget.mark", "mail": False}]),
    ),
    ("webhook-list", "post"): Api(
        "WEBHOOK_CREATE", "Webhook", "admin", "engineer", status=201,
        body=_named(name="w", url="https://hooks.example.com/"), denied_interfaces=("LUCY",),
    ),
    ("webhook-detail", "patch"): Api(
        "WEBHOOK_UPDATE", "Webhook", "finance", "auditor", rows.webhook, _named(name="walked"),
        denied_interfaces=("LUCY",),
    ),
    ("webhook-detail", "delete"): Api(
        "WEBHOOK_REMOVE", "Webhook", "admin", "auditor", rows.webhook, status=204, denied_interfaces=("LUCY",)
    ),
    ("webhook-rotate", "post"): Api(
        "WEBHOOK_ROTATE", "Webhook", "admin", "auditor", rows.webhook, _named(keep_hours=1),
        denied_interfaces=("LUCY",),
    ),
    ("webhook-ping", "post"): Api(
        "WEBHOOK_PING", "Webhook", "admin", "auditor", rows.webhook, status=202, denied_interfaces=("LUCY",)
    ),
    ("webhook-delivery-redeliver", "post"): Api(
        "WEBHOOK_REDELIVER", "WebhookDelivery", "finance", "auditor", rows.webhook_delivery, status=202,
        denied_interfaces=("LUCY",),
    ),
    ("budget-check", "post"): Api("", "Budget", "engineer", None, body=_launch, is_read=True),
}  # fmt: skip

ADD = """tests/audit/walk/api.py has no case for {method} of the route {name!r}. Add to CASES, with the row of its
address if it names one, and a body if it takes one:
    ("{name}", "{method}"): Api("ACTION_TYPE", "Resource", "engineer", "auditor", rows.machine, _named(field=1)),"""
