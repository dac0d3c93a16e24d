"""The test database is what the tests believe it is."""

import os
import subprocess
from types import SimpleNamespace

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from psycopg import sql

from forge.env import BASE_DIR
from tests.factories import OrganizationFactory
from tests.plugins.database import empty_database, rested
from tests.plugins.scale import count
from tests.plugins.share import pytest_collection_modifyitems, taken


def role_and_database(alias: str) -> tuple[str, str]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT current_user, current_database()")
        return cursor.fetchone()


@pytest.mark.django_db(databases=["default", "owner"])
def test_each_alias_is_its_role_in_one_database(make_app_connection):
    database = connection.settings_dict["NAME"]

    assert role_and_database("default") == ("forge_app", database)
    assert role_and_database("owner") == ("forge_owner", database)
    for url, role in ((os.environ["DATABASE_URL"], "forge_app"), (os.environ["DATABASE_OWNER_URL"], "forge_owner")):
        with psycopg.connect(url) as other:
            assert other.execute("SELECT current_user, current_database()").fetchone() == (role, database)
    assert make_app_connection().execute("SELECT current_user").fetchone() == ("forge_app",)


@pytest.mark.django_db
def test_the_superuser_connection_is_one(superuser_connection):
    assert superuser_connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]


def test_a_session_that_rested_is_as_it_began(make_app_connection):
    session = make_app_connection(autocommit=True)
    asked = "SELECT current_user, current_setting('statement_timeout'), current_setting('search_path')"
    as_begun = session.execute(asked).fetchone()
    session.execute("SET statement_timeout = '5s'; SET search_path = pg_catalog; SELECT pg_advisory_lock(4711)")
    session.execute("CREATE TEMP TABLE left_here (id int); SET ROLE forge_owner; LISTEN something")

    assert rested(session)

    assert session.execute(asked).fetchone() == as_begun
    assert session.execute("SELECT to_regclass('left_here'), count(*) FROM pg_listening_channels()").fetchone() == (
        None,
        0,
    )
    assert session.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711").fetchone() == (
        0,
    )


def test_a_session_in_a_transaction_or_closed_is_not_used_again(make_app_connection):
    session = make_app_connection()
    session.execute("SELECT 1")
    assert not rested(session)
    session.close()
    assert not rested(session)


@pytest.mark.django_db(transaction=True)
def test_emptying_leaves_what_the_migrations_left(superuser_connection):
    before, content_types = rows(superuser_connection), ContentType.objects.count()
    OrganizationFactory()
    superuser_connection.execute("DELETE FROM django_session")
    with superuser_connection.transaction():
        superuser_connection.execute("SET LOCAL session_replication_role = replica")
        for table, number in before.items():
            if number and not table.startswith(("django_", "auth_")):
                superuser_connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))

    empty_database()

    assert rows(superuser_connection) == before
    assert ContentType.objects.count() == content_types


def rows(superuser: psycopg.Connection) -> dict[str, int]:
    with superuser.transaction():
        names = superuser.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
        return {
            name: superuser.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()[0]
            for (name,) in names
        }


@pytest.mark.django_db(transaction=True)
def test_guards_hold_again_after_emptying(superuser_connection, make_app_connection):
    OrganizationFactory()
    guards = "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger ORDER BY 1, 2"
    before = superuser_connection.execute(guards).fetchall()

    empty_database()

    assert superuser_connection.execute(guards).fetchall() == before


@pytest.mark.parametrize(("soak", "expected"), [("0", 10), ("0.1", 20), ("1", 200), ("0.001", 10)])
def test_scale_goes_from_the_quick_count_to_the_full_one(soak, expected):
    assert count(200, 10, soak=soak) == expected


@pytest.mark.parametrize("soak", ["2", "-1", "much"])
def test_a_soak_that_is_no_share_is_refused(soak):
    with pytest.raises(pytest.UsageError, match="FORGE_SOAK"):
        count(200, 10, soak=soak)


@pytest.mark.parametrize(
    ("every", "turn", "expected"),
    [(1, 0, "abcde"), (2, 0, "ace"), (2, 1, "bd"), (2, 4, "ace"), (9, 3, "d"), (9, 7, "c")],
)
def test_a_share_is_every_so_many_from_whose_turn_it_is_and_never_nothing(every, turn, expected):
    assert taken("abcde", every, turn) == list(expected)


def test_over_the_turns_each_case_is_taken():
    assert {case for turn in range(4) for case in taken("abcdefg", 4, turn)} == set("abcdefg")


@pytest.mark.parametrize(("asked", "expected"), [(True, ["t[a]", "t[c]", "u[a]", "plain"]), (False, None)])
def test_of_a_catalogue_a_share_is_selected_where_it_is_asked_for(asked, expected):
    every_second, every_third = ({"catalogue": SimpleNamespace(args=(every,))} for every in (2, 3))
    marks = {"t": every_second, "u": every_third, "w": {"whole": SimpleNamespace(args=())}, "p": {}}
    items = [
        SimpleNamespace(nodeid=name, get_closest_marker=marks[name[0]].get)
        for name in ("t[a]", "t[b]", "t[c]", "u[a]", "u[b]", "whole", "plain")
    ]
    all_of_them, deselected = [item.nodeid for item in items], []
    hook = SimpleNamespace(pytest_deselected=lambda items: deselected.extend(item.nodeid for item in items))

    pytest_collection_modifyitems(SimpleNamespace(getoption=lambda _: asked, hook=hook), items)

    assert [item.nodeid for item in items] == (expected or all_of_them)
    assert sorted([item.nodeid for item in items] + deselected) == sorted(all_of_them)


@pytest.mark.parametrize(
    ("goal", "is_share"), [(["test"], True), (["test", "FORGE_WHOLE=1"], False), (["coverage"], False)]
)
def test_make_test_takes_the_share_and_what_ci_runs_takes_all(goal, is_share):
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "FORGE_WHOLE")}
    said = subprocess.run(["make", "-n", *goal], cwd=BASE_DIR, env=env, capture_output=True, text=True, check=True)
    assert "-m pytest" in said.stdout
    assert ("--share" in said.stdout) == is_share
    assert '\nstep "tests" make coverage\n' in (BASE_DIR / ".ci" / "run").read_text()
