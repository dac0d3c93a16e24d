"""A superuser who tells the daily job that all was verified already, so that it never looks at what he changed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditVerification
from audit.sealing.sealer import seal
from audit.verification import job
from audit.verification.standing import due_scope
from tests.audit.attacker import Attacker
from tests.audit.support import leave

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

_PRETEND = """
    INSERT INTO audit_auditverification (started_at, finished_at, scope, subject, outcome, rows, after_checkpoint,
           checkpoint, tree_size, root_hash, findings, first, reason, correlation_id)
    SELECT started_at + %(later)s, finished_at + %(later)s, scope, subject, outcome, rows, after_checkpoint,
           checkpoint, tree_size, root_hash, findings, first, reason, gen_random_uuid()
      FROM audit_auditverification ORDER BY id LIMIT 1
"""


@pytest.mark.parametrize("later", [timedelta(days=8), timedelta(days=8 * 365)], ids=["again and again", "for ever"])
def test_a_verification_that_never_was_does_not_put_off_the_full_one(outside, superuser_connection, superuser, later):
    leave(9, lane=0)
    seal()
    assert job.verify_due(now=timezone.now())["outcome"] == "INTACT"
    Attacker(superuser).edit(0, 5, recompute=False)
    superuser_connection.execute(_PRETEND, {"later": later})
    now = timezone.now() + timedelta(days=8, minutes=1)

    assert due_scope(now) == "FULL"

    assert job.verify_due(now=now)["outcome"] == "TAMPERED"
    assert AuditVerification.objects.order_by("id").last().first["lane_seq"] == 5


def test_one_that_was_does_put_it_off(outside):
    leave(9)
    seal()
    job.verify_due(now=timezone.now())
    assert due_scope(timezone.now() + timedelta(days=1)) == "SINCE"
    assert due_scope(timezone.now() + timedelta(days=8)) == "FULL"
