"""A superuser who makes a legal hold go, so that erasure or retention takes what it keeps: the log remembers it."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from audit import holds
from audit.actors import Actor
from audit.models import AuditLog
from audit.verification import runs
from audit.verification.holds import check_holds
from audit.verification.runs import Run, Scope
from tests.audit.support import ANN, leave
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def placed():
    """A hold of each kind, by an admin and by an operator; two of them are released again."""
    leave(3)
    admin = Actor.of_user(MembershipFactory(role="admin", team=None).user)
    operator = Actor.of_user(UserFactory(organization=None))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [
        holds.place(actor=actor, reason="case 12", now=timezone.now(), **criteria)
        for actor in (admin, operator)
        for criteria in (
            {"user_id": ANN}, {"resource_type": "Thing", "resource_id": "1"},
            {"period_start": start, "period_end": start.replace(month=2)}, {"period_end": start},
        )
    ]  # fmt: skip
    for actor, hold in ((admin, made[3]), (operator, made[7])):
        holds.release(actor=actor, hold=hold, reason="closed", now=timezone.now())
    return made


def test_holds_that_nobody_touched_give_no_alarm(placed):
    assert list(check_holds()) == []
    assert "hold_differs" not in {one.kind for one in runs.verify_all(Run(Scope.FULL)).report.findings}


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DELETE FROM audit_legalhold WHERE id = %s", "is gone"),
        ("UPDATE audit_legalhold SET user_id = gen_random_uuid() WHERE id = %s", "covers something else"),
        ("UPDATE audit_legalhold SET organization_id = gen_random_uuid() WHERE id = %s", "covers something else"),
        ("UPDATE audit_legalhold SET period_end = '2020-01-01 00:00+00' WHERE id = %s", "covers something else"),
        (
            "UPDATE audit_legalhold SET released_at = now(), released_by = id, release_reason = 'x' WHERE id = %s",
            "no entry says by whom",
        ),
    ],
)
@pytest.mark.parametrize("number", [0, 4])
def test_a_hold_that_was_removed_changed_or_released_by_hand_is_named(placed, superuser, number, statement, why):
    superuser(statement, placed[number].id)
    run = runs.verify_all(Run(Scope.FULL))
    [finding] = [one for one in run.report.findings if one.table is None]  # the factories' people have no entries
    entry = AuditLog.objects.get(action_type="LEGAL_HOLD_PLACE", resource_id=str(placed[number].id))
    assert (finding.kind, finding.id, finding.lane_seq) == ("hold_differs", entry.id, entry.lane_seq)
    assert why in finding.detail
