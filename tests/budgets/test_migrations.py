"""Notices that an installation has become mail, and notices again on the way back."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from forge.db.ids import uuid7
from forge.outbox import sending
from forge.outbox.models import Mail
from tests.factories import BudgetFactory, ReservationFactory, TeamFactory, WorkSpaceFactory
from tests.forge.db.test_migrate import migrate, migrated_database

__all__ = ["migrated_database"]
pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

FIRED = datetime(2026, 3, 9, 8, 7, 6, 543210, tzinfo=UTC)
BEFORE = ("budgets", "0002_ledger")


def models_before():
    return MigrationExecutor(connections["owner"]).loader.project_state([BEFORE]).apps


def fill(apps) -> list[dict]:
    """A sent notice, one that is due and one that was given up; returns the rows."""
    organization = apps.get_model("accounts", "Organization").objects.create(slug="o", name="O", currency="EUR")
    budget = apps.get_model("budgets", "Budget").objects.create(
        organization_id=organization.id, scope="ORGANIZATION", scope_id=organization.id, amount=10, spent=8,
        period_start=datetime(2026, 3, 1, tzinfo=UTC), period_end=datetime(2026, 4, 1, tzinfo=UTC),
    )  # fmt: skip
    threshold = apps.get_model("budgets", "BudgetThreshold").objects.create(
        organization_id=organization.id, budget_id=budget.id, fraction="0.80", fired_at=FIRED
    )
    states = ({"sent_at": FIRED, "due_at": None}, {"due_at": FIRED + timedelta(hours=1), "failures": 3},
              {"due_at": None, "failures": 12})  # fmt: skip
    for number, state in enumerate(states):
        user = apps.get_model("accounts", "User").objects.create(
            organization_id=organization.id, email=f"{number}@example.com", full_name="A", password="!"
        )
        apps.get_model("budgets", "BudgetNotice").objects.create(
            id=uuid7(), organization_id=organization.id, threshold_id=threshold.id, recipient_id=user.id,
            fired_at=FIRED, spent="8.123456", **state,
        )  # fmt: skip
    return notices(apps)


def notices(apps) -> list[dict]:
    return list(apps.get_model("budgets", "BudgetNotice").objects.order_by("id").values())


def test_notices_become_mail_and_notices_again_and_the_mail_is_sent_as_any_other(migrated_database, mailoutbox):
    migrate(*BEFORE)
    before = fill(models_before())
    migrate()
    mails = list(Mail.objects.order_by("id"))
    assert [(mail.id, mail.state, mail.due_at, mail.sent_at, mail.attempts) for mail in mails] == [
        (before[0]["id"], "SENT", None, FIRED, 0),
        (before[1]["id"], "DUE", FIRED + timedelta(hours=1), None, 3),
        (before[2]["id"], "GIVEN_UP", None, None, 12),
    ]
    assert mails[0].message_id == f"<budget-notice-{mails[0].id}@forge.invalid>"
    assert (
        mails[1].dedupe_key
        == f"budget.mark:{mails[1].recipient_id}:{mails[1].facts['threshold']}:{FIRED.timestamp():.6f}"
    )
    migrate(*BEFORE)
    assert notices(models_before()) == before
    migrate("budgets")
    assert Mail.objects.count() == 3

    assert sending.send(now=FIRED + timedelta(hours=1))["sent"] == 1
    [message] = mailoutbox
    assert message.subject == "Forge: the organization budget of o has passed 80%"
    assert "8.12 EUR" in message.body


def test_what_is_kept_for_machines_that_have_left_is_given_back_on_the_way_back(migrated_database):
    """What a machine that moved within the hour needs in the budget that it came to stays, and what others hold."""
    machine, cheaper = WorkSpaceFactory(), WorkSpaceFactory()
    left = budget_of_team(TeamFactory(organization=machine.organization), reserved=5)
    entered, own = budget_of_team(machine.team, reserved=6), budget_of_team(cheaper.team, reserved=7)
    kept = ReservationFactory(budget=left, workspace=machine, amount=9, remaining=5, kept_until=FIRED)
    needed = ReservationFactory(budget=entered, workspace=machine, amount=6)
    more = ReservationFactory(budget=own, workspace=cheaper, amount=7, kept_until=FIRED)
    migrate("budgets", "0007_held_by_the_modes_of_the_month")
    migrate("budgets")
    for row in (left, entered, own, kept, needed, more):
        row.refresh_from_db()
    assert (left.reserved, entered.reserved, own.reserved) == (0, 6, 7)
    assert (kept.remaining, needed.remaining, more.remaining) == (0, 6, 7)
    assert kept.released_at is not None
    assert needed.released_at is None
    assert more.released_at is None


def budget_of_team(team, **facts):
    return BudgetFactory(organization=team.organization, scope="TEAM", scope_id=team.id, **facts)
