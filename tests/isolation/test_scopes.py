"""The scope on its way to PostgreSQL: with the first statement of a transaction, and gone with the transaction."""

import threading

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from forge.accounts.models import Team
from forge.api.scoping import RequestScopeMiddleware
from forge.celery import app
from forge.db import scope
from forge.db.backend.base import DatabaseWrapper
from tests import world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two():
    return world.build(), world.build()


def told() -> str:
    """The setting as PostgreSQL has it now, read past the backend."""
    return (
        connection.connection.pgconn.exec_(b"SELECT coalesce(current_setting('forge.organization', true), '')")
        .get_value(0, 0)
        .decode()
    )


def teams() -> set[object]:
    return set(Team.objects.values_list("id", flat=True))


def test_the_setting_is_gone_with_the_statement_and_with_the_transaction(two):
    with scope.organization(two[0].organization.id):
        assert teams() == {two[0].team.id}
        assert told() == ""
        with transaction.atomic():
            assert teams() == {two[0].team.id}
            assert told() == str(two[0].organization.id)
        assert told() == ""


def test_it_travels_with_the_statement(two):
    with scope.organization(two[0].organization.id), CaptureQueriesContext(connection) as queries:
        teams()
        with transaction.atomic():
            teams()
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "BEGIN", "SELECT", "COMMIT"]


@pytest.mark.parametrize(
    "statement",
    ["SELECT id FROM accounts_team", b"SELECT id FROM accounts_team", sql.SQL("SELECT id FROM accounts_team")],
)
def test_every_kind_of_statement_takes_it(two, statement):
    with scope.organization(two[1].organization.id), connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.fetchall() == [(two[1].team.id,)]
        assert cursor.rowcount == 1


def test_a_scope_within_a_transaction_counts_from_its_first_statement_and_ends_with_it(two):
    with transaction.atomic():
        assert len(teams()) == 2
        with scope.organization(two[0].organization.id):
            assert teams() == {two[0].team.id}
            with scope.organization(two[1].organization.id):
                assert teams() == {two[1].team.id}
            assert teams() == {two[0].team.id}
        assert len(teams()) == 2
        with scope.request():
            assert teams() == set()


def test_a_savepoint_that_is_rolled_back_takes_no_scope_with_it(two):
    with transaction.atomic(), scope.organization(two[0].organization.id):
        sid = transaction.savepoint()
        teams()
        with scope.organization(two[1].organization.id):
            teams()
            transaction.savepoint_rollback(sid)
            assert teams() == {two[1].team.id}
        assert teams() == {two[0].team.id}


def test_a_failed_statement_leaves_the_next_transaction_to_be_told_again(two):
    with scope.organization(two[0].organization.id):
        with pytest.raises(Exception, match="division by zero"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        with transaction.atomic():
            assert teams() == {two[0].team.id}


def test_rows_that_are_fetched_in_pieces_and_copied_are_isolated_too(two):
    with scope.organization(two[0].organization.id):
        assert [team.id for team in Team.objects.iterator()] == [two[0].team.id]
        with transaction.atomic():
            assert [team.id for team in Team.objects.iterator()] == [two[0].team.id]
        copy = "COPY (SELECT id FROM accounts_team) TO STDOUT"
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(copy) as pieces:
            assert b"".join(bytes(piece) for piece in pieces).decode().split() == [str(two[0].team.id)]
        with pytest.raises(psycopg.ProgrammingError, match="needs a transaction"), connection.cursor() as cursor:
            cursor.cursor.copy(copy)


def test_each_thread_has_its_own(two):
    seen = {}

    def look(one):
        with scope.organization(one.organization.id):
            seen[one.team.id] = teams()
        connections.close_all()

    threads = [threading.Thread(target=look, args=[one]) for one in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {one.team.id: {one.team.id} for one in two}


def test_a_request_is_nobodys_until_it_is_known_whose_it_is(two):
    seen = []

    def view(request):
        seen.append(teams())
        scope.belongs_to(two[0].organization.id)
        seen.append(teams())
        scope.belongs_to(None)
        seen.append(teams())
        return HttpResponse()

    RequestScopeMiddleware(view)(RequestFactory().get("/"))
    assert seen == [set(), {two[0].team.id}, {two[0].team.id, two[1].team.id}]
    scope.belongs_to(two[0].organization.id)
    assert len(teams()) == 2  # outside a request nothing was changed


def test_an_answer_that_is_streamed_ends_in_the_scope_of_its_request(two):
    def view(request):
        scope.belongs_to(two[0].organization.id)
        return StreamingHttpResponse(str(len(teams())).encode() for _ in range(2))

    answer = RequestScopeMiddleware(view)(RequestFactory().get("/"))
    assert len(teams()) == 2
    assert list(answer) == [b"1", b"1"]
    assert len(teams()) == 2


def test_a_task_works_in_the_systems_scope_and_nothing_else_does_by_itself(two, monkeypatch):
    monkeypatch.setattr(scope, "_of_process", [scope.NOBODY])
    assert teams() == set()

    @app.task
    def count():
        return len(teams())

    assert count() == 2
    assert teams() == set()


def test_a_role_that_passes_every_policy_is_refused_before_it_serves_anybody(settings, monkeypatch):
    settings.DEBUG = False
    monkeypatch.setattr(scope, "_of_process", [scope.NOBODY])
    almighty = DatabaseWrapper(
        connection.settings_dict | {"OPTIONS": {"options": "-c role=postgres"}, "USER": "postgres"}, alias="default"
    )
    DatabaseWrapper._fit.clear()
    with pytest.raises(ImproperlyConfigured, match="postgres, a role that passes every policy"):
        almighty.connect()
    almighty.connection.close()
