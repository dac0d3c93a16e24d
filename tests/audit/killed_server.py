"""A durable PostgreSQL of a test's own that is killed, postmaster and backends at once, and started again."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg

from audit.receipts import Receipt
from forge.db.embedded import EmbeddedPostgres
from forge.db.embedded.postgres import APP, OWNER, create_database, has_database
from forge.env import BASE_DIR
from tests.audit.support import SIGNING_KEY
from tests.audit.whole import append_over
from tests.plugins import cache
from tests.plugins.servers import EMBEDDED_TEMPLATE

DATABASE = "forge"


class Server:
    """fsync and synchronous_commit on, migrated; `outside` is the folder of its sealer, `database` what is used."""

    def __init__(self, folder: Path) -> None:
        self.database = DATABASE
        self.outside = folder / "checkpoints"
        self.outside.mkdir()
        home = folder / "postgres"
        cache.restore(cache.key(), home)
        self.postgres = EmbeddedPostgres(home, settings={"fsync": "on", "synchronous_commit": "on"})
        self.postgres.start()
        with self.postgres.connect() as connection:
            is_migrated = has_database(connection, EMBEDDED_TEMPLATE)
            create_database(connection, DATABASE, template=EMBEDDED_TEMPLATE if is_migrated else None)
        if not is_migrated:
            self.manage("migrate", "--verbosity=0")

    def connect(self, role: str = APP) -> psycopg.Connection:
        return psycopg.connect(self.postgres.url(role, self.database), connect_timeout=10)

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """A management command against this server, in a process of its own."""
        told = {
            "DATABASE_URL": self.postgres.url(APP, self.database),
            "DATABASE_OWNER_URL": self.postgres.url(OWNER, self.database),
            "FORGE_AUDIT_SIGNING_KEY": SIGNING_KEY,
            "FORGE_AUDIT_SINKS": f"directory:{self.outside}",
            "FORGE_AUDIT_ORIGIN": "forge.test/audit",
        }
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR, env=os.environ | told, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def verify(self) -> dict:
        return json.loads(self.manage("audit_verify", "--against", str(self.outside), "--json").stdout)

    def kill(self) -> int:
        """SIGKILL to the postmaster and each of its children; how many those were."""
        postmaster = self.postgres.process
        children = Path(f"/proc/{postmaster.pid}/task/{postmaster.pid}/children").read_text().split()
        for pid in (postmaster.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        postmaster.wait()
        return len(children)


class Load:
    """Writers that go on until their server is gone, each commit's receipts put into `file` once it is acknowledged."""

    def __init__(self, server: Server, file: Path, *, writers: int) -> None:
        self._server, self._file, self._lock = server, file, threading.Lock()
        self._at_work = threading.Semaphore(0)
        self.lost = 0
        self._threads = [threading.Thread(target=self._write) for _ in range(writers)]
        for thread in self._threads:
            thread.start()

    def await_commits(self, count: int) -> None:
        for _ in range(count):
            assert self._at_work.acquire(timeout=60)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=60)

    def _write(self) -> None:
        with self._file.open("a") as file:
            try:
                with self._server.connect() as connection:
                    while True:
                        receipts = [append_over(connection, number) for number in range(3)]
                        connection.commit()
                        file.write("".join(f"{receipt}\n" for receipt in receipts))
                        file.flush()
                        self._at_work.release()
            except psycopg.OperationalError:
                with self._lock:
                    self.lost += 1


def acknowledged(file: Path) -> list[Receipt]:
    return [Receipt.parse(line) for line in file.read_text().splitlines()]
