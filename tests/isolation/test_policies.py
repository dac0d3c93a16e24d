"""Row-level security as PostgreSQL has it: every table and partition, whoever asks, by whatever name."""

import uuid

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections, models, transaction

from forge import checks
from forge.accounts.models import Organization, Project, Team, User
from forge.db import partitions, policies, scope
from forge.db.models import JobSwitch
from tests import factories, world

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

_STATE = """
    SELECT c.oid::regclass::text, c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
        SELECT FROM pg_policy WHERE polrelid = c.oid)
    FROM pg_class c
    WHERE relkind IN ('r', 'p') AND relnamespace IN ('public'::regnamespace, 'forge_detached'::regnamespace)
"""


def _protected() -> dict[str, bool]:
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        return dict(cursor.fetchall())


def test_every_table_and_partition_but_the_installations_own_is_isolated_by_force():
    bare = {table for table, is_protected in _protected().items() if not is_protected}
    assert bare - set(policies.INSTALLATION) == {"django_migrations"}


def test_every_named_table_exists():
    named = {*policies.INSTALLATION, *policies.BY_PARENT, *policies.SHARED, *policies.ADD_ONLY}
    assert named <= {model._meta.db_table for model in apps.get_models(include_auto_created=True)}


def test_what_is_the_installations_has_no_organization():
    models_of = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
    for table in policies.INSTALLATION:
        assert "organization_id" not in {field.column for field in models_of[table]._meta.concrete_fields}


def test_a_table_of_which_nothing_says_whose_it_is_fails_the_check(monkeypatch):
    assert checks.check_isolation(None) == []
    monkeypatch.setattr(policies, "INSTALLATION", tuple(t for t in policies.INSTALLATION if t != "db_jobrun"))
    (found,) = checks.check_isolation(None)
    assert found.id == "forge.E021"
    assert "db_jobrun" in found.msg


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
@pytest.mark.parametrize("harm", ["DISABLE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"])
def test_what_is_not_isolated_any_more_is_found_and_mended_by_migrate(harm):
    month = next(name for name in _protected() if name.startswith("costs_costrecord_"))
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {month} {harm}")
        cursor.execute("COMMENT ON POLICY forge_isolation ON workspaces_workspace IS 'of another release'")
    (found,) = checks.check_database(None, databases=["default"])
    assert found.id == "forge.E013"
    assert month in found.msg
    assert "workspaces_workspace" in found.msg
    assert policies.apply() == [month, "workspaces_workspace"]
    assert checks.check_database(None, databases=["default"]) == []
    assert policies.apply() == []


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_a_policy_waits_for_its_lock_no_longer_than_migrate_was_told(monkeypatch):
    waited = []
    monkeypatch.setattr(policies, "lock_timeout", lambda seconds, using: waited.append(seconds))
    with connections["owner"].cursor() as cursor:
        cursor.execute("COMMENT ON POLICY forge_isolation ON workspaces_workspace IS 'of another release'")
    call_command("migrate", lock_timeout=2.5, interactive=False, verbosity=0)
    assert waited == [2.5]


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_a_month_made_later_is_isolated_from_its_beginning():
    table = "workspaces_usagesample"
    after = partitions.attached(table)[-1].end
    (made,) = partitions.ensure(table, after, after)
    assert _protected()[made]
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"DROP TABLE {made}")


@pytest.fixture
def two():
    return world.build(), world.build()


def test_an_organization_sees_and_changes_its_own_rows_only(two):
    mine, other = two
    with scope.organization(mine.organization.id):
        assert list(Organization.objects.values_list("id", flat=True)) == [mine.organization.id]
        assert set(Team.objects.values_list("organization_id", flat=True)) == {mine.organization.id}
        assert not User.objects.filter(organization_id=other.organization.id).exists()
        assert Team.objects.filter(pk=other.team.pk).update(name="taken over") == 0
        assert Team.objects.filter(pk=other.team.pk).delete()[0] == 0
    other.team.refresh_from_db()
    assert other.team.name != "taken over"


def test_nobody_gets_a_row_into_another_organization(two):
    mine, other = two
    refused = pytest.raises(Exception, match="row-level security")
    with scope.organization(mine.organization.id):
        with refused, transaction.atomic():
            Team.objects.create(organization_id=other.organization.id, slug="smuggled", name="Smuggled")
        with refused, transaction.atomic():
            Team.objects.filter(pk=mine.team.pk).update(organization_id=other.organization.id)


def test_a_row_without_an_organization_is_its_parents(two):
    mine, other = two
    mine.project.teams.add(mine.team)
    other.project.teams.add(other.team)
    through = Project.teams.through.objects
    with scope.organization(mine.organization.id):
        assert list(through.values_list("team_id", flat=True)) == [mine.team.id]
        with pytest.raises(Exception, match="row-level security"), transaction.atomic():
            through.create(project_id=other.project.id, team_id=mine.team.id)


def test_what_holds_for_all_is_read_by_all_and_written_by_the_system(two):
    JobSwitch.objects.create(job="meter", is_paused=True)
    refused = pytest.raises(Exception, match="row-level security")
    with scope.organization(two[0].organization.id):
        assert JobSwitch.objects.filter(job="meter").exists()
        assert JobSwitch.objects.filter(job="meter").update(organization_id=two[0].organization.id) == 0
        assert JobSwitch.objects.filter(job="meter").delete()[0] == 0
        with refused, transaction.atomic():
            JobSwitch.objects.create(job="renew", is_paused=True)


def test_the_switch_of_one_organization_is_seen_and_set_in_no_other(two):
    here, there = (one.organization.id for one in two)
    for organization in (here, there):
        JobSwitch.objects.create(job="enforce_lifecycle", organization_id=organization, is_paused=False)
    with scope.organization(here):
        assert [row.organization_id for row in JobSwitch.objects.all()] == [here]
        assert JobSwitch.objects.update(is_paused=True) == 1
        with pytest.raises(Exception, match="row-level security"), transaction.atomic():
            JobSwitch.objects.create(job="renew", organization_id=there)
    assert JobSwitch.objects.get(organization_id=there).is_paused is False


@pytest.mark.parametrize("model", [m for m in apps.get_models() if m._meta.db_table in policies.policies()])
def test_nobody_sees_nothing(two, model: type[models.Model]):
    factories.WorkSpaceFactory(organization=two[0].organization, team=two[0].team)
    JobSwitch.objects.create(job="meter", is_paused=True)
    with scope.request():
        assert not model.objects.exists()


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_the_owner_of_the_tables_is_bound_as_well(make_app_connection, two):
    owner = make_app_connection(role="forge_owner", autocommit=True)
    assert owner.execute("SELECT count(*) FROM accounts_team").fetchone() == (2,)
    owner.execute("RESET forge.organization")
    assert owner.execute("SELECT count(*) FROM accounts_team").fetchone() == (0,)
    owner.execute("SELECT set_config('forge.organization', %s, false)", [str(two[0].organization.id)])
    assert owner.execute("SELECT id FROM accounts_team").fetchall() == [(two[0].team.id,)]


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_what_is_no_organization_opens_nothing(make_app_connection, two):
    app = make_app_connection(autocommit=True)
    app.execute("SELECT set_config('forge.organization', %s, false)", [str(uuid.uuid4())])
    assert app.execute("SELECT count(*) FROM accounts_team").fetchone() == (0,)
    app.execute("SET forge.organization = 'everything'")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        app.execute("SELECT count(*) FROM accounts_team")


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_migrate_again_locks_no_table(capsys):
    call_command("migrate", verbosity=1, interactive=False)
    assert "Isolated anew: 0 tables and partitions" in capsys.readouterr().out
