"""How the log stands by what its verifications came to, and which one is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from audit import actions
from audit.entries import SUCCESS
from audit.models import AuditLog, AuditVerification
from audit.verification.since import verified_until

MOST_UNVERIFIED = timedelta(hours=48)
"""The log is verified intact so often, at least; later is an alarm."""

NEAR = timedelta(hours=1)
"""By so much may the clock that dated a verification differ from that of its entry."""

MOST_ASKED = 50
"""Verifications of which the entry is looked for; when none has one, another is due."""

Scope, Outcome = AuditVerification.Scope, AuditVerification.Outcome


@dataclass
class Standing:
    """The last verification of the log and the last intact one; `problems` is empty when all is well.

    Verifications of single receipts do not count: a receipt that was never handed out says nothing of the log.
    """

    last: AuditVerification | None = None
    intact: AuditVerification | None = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.last is None:
            return "; ".join(["not verified yet", *self.problems])
        state = f"{self.last.outcome} at {_minute(self.last.finished_at)}, {self.last.scope.lower()}"
        if self.last.checkpoint is not None:
            state += f", up to checkpoint {self.last.checkpoint} ({self.last.tree_size} entries)"
        return "; ".join([state, *self.problems])


def standing(now: datetime) -> Standing:
    """How the log stands; tampering counts until a full verification finds the log intact."""
    runs = AuditVerification.objects.exclude(scope=Scope.RECEIPT).order_by("id")
    whole = runs.filter(scope__in=[Scope.FULL, Scope.SINCE])
    found = Standing(last=runs.last(), intact=whole.filter(outcome=Outcome.INTACT).last())
    if (tampered := _tampered()) is not None:
        found.problems.append(
            f"verification {tampered.id} found tampering at {_minute(tampered.finished_at)}: {tampered.findings}"
            " findings; manage.py audit_verify names them"
        )
    if _is_overdue(found.intact, now):
        found.problems.append(f"no verification has succeeded for {MOST_UNVERIFIED.total_seconds() / 3600:.0f} hours")
    return found


def due_scope(now: datetime) -> str:
    """What the job verifies: all, when that is due or something was found, else what came since."""
    intact = AuditVerification.objects.filter(scope=Scope.FULL, outcome=Outcome.INTACT, started_at__lte=now)
    full = next((run for run in intact.order_by("-id")[:MOST_ASKED] if _is_told(run)), None)
    is_due = full is None or now - full.started_at >= timedelta(days=settings.FORGE_AUDIT_FULL_VERIFY_DAYS)
    return Scope.FULL if is_due or _tampered() is not None or verified_until() is None else Scope.SINCE


def _is_told(run: AuditVerification) -> bool:
    """Whether the log has the entry of the verification: a row alone, put there by hand, must not put off the next."""
    return AuditLog.objects.filter(
        timestamp__range=(run.finished_at - NEAR, run.finished_at + NEAR),
        action_type=actions.AUDIT_VERIFY,
        resource_id=str(run.id),
        result=SUCCESS,
        context__contains={"scope": run.scope, "outcome": run.outcome, "checkpoint": run.checkpoint},
    ).exists()


def _tampered() -> AuditVerification | None:
    """The last verification that found tampering, unless a full one has found the log intact after it."""
    runs = AuditVerification.objects.exclude(scope=Scope.RECEIPT).order_by("id")
    full = runs.filter(scope=Scope.FULL, outcome=Outcome.INTACT).last()
    return runs.filter(outcome=Outcome.TAMPERED, id__gt=full.id if full else 0).last()


def _is_overdue(intact: AuditVerification | None, now: datetime) -> bool:
    """Counted from the last intact one, else from the log's first entry."""
    since = (
        intact.finished_at
        if intact
        else AuditLog.objects.order_by("timestamp", "id").values_list("timestamp", flat=True).first()
    )
    return since is not None and now - since > MOST_UNVERIFIED


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
