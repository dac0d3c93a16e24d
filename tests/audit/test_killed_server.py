"""PostgreSQL killed with SIGKILL under load: what was acknowledged is there, the log verifies, the sealer goes on."""

import random
import shutil
import threading

import pytest

from forge.db.embedded.postgres import SUPERUSER
from forge.db.embedded.processes import temporary_folder
from tests.audit.killed_server import Load, Server, acknowledged

pytestmark = [pytest.mark.soak, pytest.mark.servers, pytest.mark.xdist_group("embedded")]

WRITERS = 8


@pytest.fixture
def server():
    # Not tmp_path: pytest's folders are closed to the user that runs PostgreSQL when we are root.
    folder = temporary_folder("forge-killed-")
    made = Server(folder)
    yield made
    made.postgres.stop()
    shutil.rmtree(folder)


def test_no_acknowledged_entry_is_lost_when_the_server_is_killed(scale, server, tmp_path, record_testsuite_property):
    rounds, choices, file = scale(20, 1), random.Random(7), tmp_path / "receipts"
    for number in range(1, rounds + 1):
        load = Load(server, file, writers=WRITERS)
        sealer = threading.Thread(target=server.manage, args=("audit_seal",), kwargs={"check": False})
        sealer.start()
        load.await_commits(choices.randint(60, 400))
        assert server.kill() > WRITERS
        load.join()
        sealer.join()
        assert load.lost == WRITERS

        server.postgres.start()
        kept = acknowledged(file)
        with server.connect(SUPERUSER) as connection:
            rows = dict(connection.execute("SELECT id, log_hash FROM audit_auditlog").fetchall())
        lost = [receipt for receipt in kept if rows.get(receipt.entry_id) != receipt.log_hash]
        assert lost == [], f"round {number}"
        server.manage("audit_seal")
        report = server.verify()
        assert report["findings"] == []
        assert report["rows"] == len(rows) >= len(kept) >= 180 * number
    record_testsuite_property("killed_server", {"rounds": rounds, "acknowledged": len(kept), "entries": len(rows)})
