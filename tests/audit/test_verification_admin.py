"""Verifications in the console: asked for by those who may, told of above the log."""

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from audit.models import AuditLog, AuditVerification
from forge.accounts.models import Membership
from forge.operations.models import Operation
from tests.audit.test_admin import LIST, console_of
from tests.factories import OrganizationFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("without_whitenoise")]
Role = Membership.Role
ADD = "/admin/audit/auditverification/add/"


@pytest.fixture
def organization():
    return OrganizationFactory()


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


@pytest.mark.parametrize("scope", ["FULL", "SINCE"])
def test_an_auditor_has_the_log_verified_and_is_led_to_the_operation(organization, scope):
    console = console_of(organization, Role.AUDITOR)
    form = console.get(ADD).content.decode()
    assert "What came since it was last found intact" in form
    assert "Save and add another" not in form
    answer = console.post(ADD, {"scope": scope})
    operation = Operation.objects.get(kind="audit.verify")
    assert operation.spec == {"scope": scope}
    assert answer["Location"] == f"/admin/operations/operation/{operation.pk}/change/"
    assert answer["Audit-Receipt"]
    assert console.get(answer["Location"]).status_code == 200
    assert not AuditVerification.objects.exists()


def test_a_second_one_is_refused_in_words_and_leaves_nothing_but_its_entry(organization):
    console = console_of(organization, Role.ADMIN)
    console.post(ADD, {"scope": "FULL"})
    again = console.post(ADD, {"scope": "FULL"})
    assert "A verification that was asked for has not ended yet" in again.content.decode()
    assert Operation.objects.filter(kind="audit.verify").count() == 1
    told = AuditLog.objects.filter(action_type="AUDIT_VERIFY_REQUEST").order_by("timestamp")
    assert [entry.result for entry in told] == ["SUCCESS", "FAILURE"]


@pytest.mark.parametrize(("role", "field"), [(Role.AUDITOR, "MONTH"), (Role.AUDITOR, ""), (Role.TEAM_LEAD, "FULL")])
def test_another_scope_or_another_role_asks_for_nothing(organization, role, field):
    answer = console_of(organization, role).post(ADD, {"scope": field})
    assert answer.status_code == (200 if role == Role.AUDITOR else 403)
    assert not Operation.objects.exists()


def test_operators_see_the_list_without_the_form():
    console = console_of(None, None)
    assert ADD not in console.get("/admin/audit/auditverification/").content.decode()
    assert console.get(ADD).status_code == 403


@pytest.mark.parametrize(
    ("outcome", "label"), [(None, "default"), ("INTACT", "success"), ("UNDECIDED", "warning"), ("TAMPERED", "danger")]
)
def test_above_the_log_only_what_was_found_intact_is_green(organization, outcome, label):
    if outcome is not None:
        AuditVerification.objects.create(
            started_at=timezone.now(),
            finished_at=timezone.now(),
            scope="FULL",
            outcome=outcome,
            findings=int(outcome == "TAMPERED"),
            reason="No room." if outcome == "UNDECIDED" else "",
            correlation_id=organization.id,
        )
    assert console_of(organization, Role.AUDITOR).get(LIST).context["standing_label"] == label
