"""A database that takes connections and never speaks: a paused pooler, a network that drops what is sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import Error, OperationalError, connections

from forge.db.backend.base import DatabaseWrapper


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a socket that listens, whose connections nobody ever answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield listening.getsockname()[1]


@pytest.mark.django_db(databases=["default", "owner"])
@pytest.mark.parametrize("alias", ["default", "owner"])
@pytest.mark.timeout(120, func_only=True)
def test_who_does_not_answer_is_waited_for_no_longer_than_seconds(silent, alias):
    there = connections[alias].settings_dict | {"HOST": "127.0.0.1", "PORT": silent}
    with pytest.raises(OperationalError, match="timeout"):
        DatabaseWrapper(there, alias=alias).ensure_connection()


def test_every_database_has_the_same_patience():
    patience = {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"}
    for database in settings.DATABASES.values():
        assert {*patience, "tcp_user_timeout"} <= database["OPTIONS"].keys()


def test_what_the_address_says_goes_before():
    shown = "from django.conf import settings; print(*sorted(settings.DATABASES['replica']['OPTIONS'].items()))"
    urls = dict.fromkeys(("DATABASE_URL", "FORGE_REPLICA_URL"), "postgresql://a:b@127.0.0.1/c?connect_timeout=9")
    environment = os.environ | urls | {"DEBUG": "true", "DJANGO_SETTINGS_MODULE": "forge.settings"}
    said = subprocess.run([sys.executable, "-c", shown], env=environment, capture_output=True, text=True, check=True)
    assert "('connect_timeout', '9')" in said.stdout or "('connect_timeout', 9)" in said.stdout
    assert "('tcp_user_timeout', 15000)" in said.stdout


@pytest.mark.django_db
def test_a_socket_of_this_machine_takes_the_options_too(tmp_path):
    there = connections["default"].settings_dict | {"HOST": str(tmp_path), "PORT": 5432}
    with pytest.raises(OperationalError, match="No such file"):
        DatabaseWrapper(there, alias="default").ensure_connection()


@pytest.mark.django_db
@pytest.mark.timeout(120, func_only=True)
@pytest.mark.parametrize("end", ["frozen", "closed"])
def test_a_kept_connection_that_answers_no_more_is_not_used_again(silent, end):
    kept = DatabaseWrapper(connections["default"].settings_dict, alias="default")
    kept.connect()
    assert kept.is_usable()
    assert kept.is_usable()
    with kept.cursor() as cursor:
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)
    with socket.create_connection(("127.0.0.1", silent)) as frozen:
        os.dup2(frozen.fileno(), kept.connection.pgconn.socket)  # what is sent arrives, and nothing comes back
        if end == "closed":
            frozen.shutdown(socket.SHUT_RDWR)
        assert not kept.is_usable()
    kept.close()
    assert not kept.is_usable()


@pytest.mark.django_db
def test_a_transaction_that_failed_or_goes_on_does_not_end_by_the_question():
    kept = DatabaseWrapper(connections["default"].settings_dict, alias="default")
    kept.connect()
    kept.set_autocommit(False)
    with kept.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE kept (n int)")
        assert kept.is_usable()
        cursor.execute("SELECT count(*) FROM kept")
        with pytest.raises(Error):
            cursor.execute("SELECT 1 / 0")
        assert not kept.is_usable()  # nothing can be asked in it; what Django's own says too
    kept.rollback()
    assert kept.is_usable()
    kept.close()
