"""Rows of the house are held against the log: what is declared, which entries vouch, and what is left out."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import actions, checks, evidence, registry
from audit.verification import events
from audit.verification.dropped import Dropped
from audit.verification.events import verify_events
from forge.accounts.models import Team
from forge.db.months import add_months
from tests.audit import business
from tests.audit.attacker import MONTHS, THIS_MONTH, build, name_of
from tests.audit.test_verification import run_command
from tests.factories import TeamFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_a_business_that_left_its_entries_gives_no_alarm(outside):
    business.live()
    found = verify_events()
    assert found.findings == []
    assert set(found.rows) == {one.table for one in evidence.declared()}
    assert (found.rows["workspaces_statechange"], found.rows["operations_operation"]) == (6, 12)


def test_pieces_add_up_and_the_rest_of_many_is_left_untold(monkeypatch):
    business.live()
    monkeypatch.setattr(events, "ROWS", 2)
    monkeypatch.setattr(events, "SHOWN", 3)
    organization = Team.objects.first().organization
    TeamFactory.create_batch(5, organization=organization)
    found = verify_events()
    assert found.rows["accounts_team"] == 7
    assert [one.table for one in found.findings] == ["accounts_team"] * 3


def test_a_table_without_a_row_is_counted_but_not_held_against_the_log():
    TeamFactory()
    with CaptureQueriesContext(connection) as asked:
        found = verify_events()
    assert set(found.rows) == {one.table for one in evidence.declared()}
    with connection.cursor() as cursor:
        filled = set()
        for table in found.rows:
            cursor.execute(f"SELECT FROM {table} LIMIT 1")
            filled |= {table} if cursor.rowcount else set()
    assert {"accounts_team", "accounts_organization"} <= filled < set(found.rows)
    looked_up = [one for one in asked if "unvouched" in one["sql"]]
    assert len(looked_up) == sum(one.table in filled for one in evidence.declared())


@pytest.mark.parametrize(
    "change",
    [
        "result = 'DENIED'",
        "action_type = 'OTHER'",
        "resource_id = 'other'",
        "organization_id = gen_random_uuid()",
        """"timestamp" = "timestamp" - interval '2 days'""",
    ],
)
def test_only_the_entry_of_the_event_itself_vouches(superuser, change):
    business.live()
    superuser(f"UPDATE audit_auditlog SET {change} WHERE action_type = 'BLUEPRINT_CREATE'")
    assert [one.table for one in verify_events().findings] == ["blueprints_blueprint"]


def test_another_organizations_entry_and_another_teams_role_vouch_for_nothing(superuser):
    business.live()
    business.live("vault", directory=2)
    (id_,) = superuser("SELECT id FROM accounts_membership WHERE role <> 'admin' ORDER BY id LIMIT 1").fetchone()
    superuser("UPDATE accounts_membership SET team_id = NULL, role = 'admin' WHERE id = %s", id_)
    assert [(one.table, one.key) for one in verify_events().findings] == [("accounts_membership", str(id_))]


def test_a_row_of_earlier_business_time_is_vouched_for_by_its_later_entry(superuser):
    business.live()
    superuser("UPDATE workspaces_workspace SET created_at = created_at - interval '60 days'")
    assert verify_events().findings == []
    superuser("UPDATE workspaces_workspace SET created_at = created_at + interval '90 days'")
    assert [one.table for one in verify_events().findings] == ["workspaces_workspace"]


def test_operators_and_prices_of_the_installation_are_left_out(outside):
    UserFactory(organization=None)
    business.live()
    assert verify_events().findings == []


def test_rows_from_before_the_oldest_month_are_left_out_and_that_is_said(superuser, outside):
    build(superuser)
    business.live()
    superuser(f"ALTER TABLE audit_auditlog DETACH PARTITION {name_of(MONTHS[0])}")
    superuser(f"DROP TABLE {name_of(MONTHS[0])}")
    id_ = business.hide(superuser, "workspaces_workspace", None)
    superuser("UPDATE workspaces_workspace SET created_at = %s WHERE id = %s", MONTHS[0], id_)
    dropped = Dropped(months={MONTHS[0]: "00" * 32})
    found = verify_events(dropped=dropped)
    assert found.findings == []
    assert f"before {MONTHS[1]:%Y-%m-%d} were not held against the log" in found.notices[0]
    superuser("UPDATE workspaces_workspace SET created_at = %s WHERE id = %s", add_months(THIS_MONTH, -1), id_)
    assert [one.key for one in verify_events(dropped=dropped).findings] == [id_]


def test_since_leaves_out_what_came_to_be_before(superuser):
    business.live()
    id_ = business.hide(superuser, "workspaces_workspace", None)
    superuser("UPDATE workspaces_workspace SET created_at = created_at - interval '3 days' WHERE id = %s", id_)
    assert verify_events(since=timezone.now()).findings == []
    assert [one.key for one in verify_events(since=timezone.now() - timedelta(days=3)).findings] == [id_]


def test_the_command_names_table_id_and_time(superuser, outside):
    business.live()
    id_ = business.hide(superuser, "workspaces_workspace", None)
    code, said = run_command("--dry-run")
    assert code == 1
    line = f"event_without_entry: workspaces_workspace {id_} has no entry of WORKSPACE_PROVISION or WORKSPACE_ADOPT"
    assert f"{line} (partition {name_of(THIS_MONTH)}, recorded " in said


@pytest.fixture
def own_evidence(monkeypatch):
    monkeypatch.setattr(evidence, "_declared", dict(evidence._declared))


@pytest.mark.parametrize("names", [{"table": "x; drop"}, {"at": "A"}, {"only": ("a b", "v")}, {"after": {"k'": "id"}}])
def test_what_is_no_plain_name_is_refused_where_it_is_declared(own_evidence, names):
    with pytest.raises(ValueError, match="no plain name"):
        evidence.expect(**{"table": "audit_auditlane", "actions": [actions.OTHER], **names})


def test_evidence_needs_a_known_action_and_one_declaration(own_evidence):
    with pytest.raises(registry.UnknownActionError):
        evidence.expect("some_table", actions=["NOT_THERE"])
    with pytest.raises(ValueError, match="no action type"):
        evidence.expect("some_table", actions=[])
    with pytest.raises(ValueError, match="in other words"):
        evidence.expect("accounts_team", actions=[actions.OTHER])


def test_a_table_or_column_that_is_not_there_stops_the_start(own_evidence):
    assert checks.check_evidence(None) == []
    evidence.expect("accounts_nothing", actions=[actions.OTHER])
    evidence.expect("accounts_team", actions=[actions.OTHER], only=("colour", "red"))
    said = [error.msg.partition(" ")[0] for error in checks.check_evidence(None)]
    assert sorted(said) == ["accounts_nothing.id", "accounts_team.colour"]


def test_a_role_that_was_raised_by_hand_is_an_event_that_the_log_never_heard_of(superuser):
    business.live()
    assert verify_events().findings == []
    (id_,) = superuser(
        "UPDATE accounts_membership SET role = 'team_lead' WHERE team_id IS NOT NULL RETURNING id"
    ).fetchone()
    found = verify_events().findings
    assert ("event_without_entry", "accounts_membership", str(id_)) in {(one.kind, one.table, one.key) for one in found}
