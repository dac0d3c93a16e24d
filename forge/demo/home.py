"""The folder `.forge/`: what a demo keeps between runs, and what it tells others while it runs."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from forge.db.embedded.processes import outside_folder, reachable_by_others, unprivileged, write_private
from forge.env import BASE_DIR, STATE_DIR


class AlreadyRunning(Exception):
    """A demo of this checkout is running; the message says which."""


class Home:
    """Paths and small files under `.forge/`; everything secret in it is readable by us alone."""

    def __init__(self, folder: Path = STATE_DIR) -> None:
        self.folder = folder
        self._lock: TextIO | None = None

    @property
    def postgres(self) -> Path:
        """The database's folder: outside the checkout where the user that runs it cannot come in."""
        if unprivileged().uid is None or reachable_by_others(self.folder):
            return self.folder / "postgres"
        return outside_folder(self.folder) / "postgres"

    @property
    def valkey(self) -> Path:
        return self.folder / "valkey"

    @property
    def simulator_state(self) -> Path:
        return self.folder / "simulator.json"

    @property
    def seeding(self) -> Path:
        """There while the first demo data are made: found at a start, that was cut off in the middle."""
        return self.folder / "seeding"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def open(self) -> None:
        """Make the folder and hold its lock until this process ends, however it ends; raises AlreadyRunning."""
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(mode=0o700, exist_ok=True)
        self._lock = (self.folder / "demo.lock").open("w")
        if not _take(self._lock):
            self.close()
            address = self.demo().get("base_url", "still starting")
            raise AlreadyRunning(f"A demo of this checkout is already running ({address}); end it with Ctrl-C there.")
        self.withdraw()
        for log in (self.folder / "logs").glob("*.log"):
            log.replace(log.with_suffix(".log.before"))

    def close(self) -> None:
        """Give up the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def secret_key(self) -> str:
        """The demo's SECRET_KEY, the same in every run, or every restart would sign people out."""
        path = self.folder / "secret-key"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(64))
        return path.read_text()

    def audit_signing_key(self) -> Path:
        """The key that signs the demo's audit log; made once, readable by us alone."""
        path = self.folder / "audit-signing-key.pem"
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        return path

    def metrics_token(self) -> Path:
        """The bearer token of the demo's /metrics; made once, readable by us alone."""
        path = self.folder / "metrics-token"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path

    def counts(self) -> Path:
        """An empty folder in which the processes of this run keep what they count."""
        path = self.folder / "metrics"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def audit_checkpoints(self, database_url: str | None) -> Path:
        """Where the audit log's checkpoints go."""
        return self._outside("audit-checkpoints", database_url)

    def archive(self, database_url: str | None) -> Path:
        """Where months go that are past their retention."""
        return self._outside("archive", database_url)

    def _outside(self, name: str, database_url: str | None) -> Path:
        """A folder outside the database, one for each database."""
        other = f"-{hashlib.sha256(database_url.encode()).hexdigest()[:12]}" if database_url else ""
        path = self.folder / f"{name}{other}"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def publish_environment(self, variables: dict[str, str]) -> None:
        """Let management commands find the demo (forge/env.py reads it)."""
        write_private(self.folder / "env", "".join(f"{name}={value}\n" for name, value in sorted(variables.items())))

    def publish_demo(self, addresses: dict[str, Any]) -> None:
        """Say that the demo is ready: where it is, and who can sign in."""
        write_private(self.folder / "demo.json", json.dumps({**addresses, "users": self.users()}, indent=2) + "\n")

    def withdraw(self) -> None:
        """Unsay both, at the end and before a start."""
        for name in ("demo.json", "env"):
            (self.folder / name).unlink(missing_ok=True)

    def demo(self) -> dict[str, Any]:
        return _read_json(self.folder / "demo.json", {})

    def users(self) -> list[dict[str, Any]]:
        """The sign-ins that `seed_demo` wrote."""
        return _read_json(self.folder / "demo-users.json", [])

    def remember_children(self, pids: dict[str, int]) -> None:
        write_private(
            self.folder / "children.json", json.dumps({name: [pid, birth(pid)] for name, pid in pids.items()})
        )

    def end_leftovers(self) -> list[str]:
        """End the children of an earlier demo that still live, and name them; their ids are checked against reuse."""
        known = _read_json(self.folder / "children.json", {})
        living = {name: pid for name, (pid, born) in known.items() if born is not None and birth(pid) == born}
        for pid in living.values():
            _send(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(birth(living[name]) == known[name][1] for name in living):
            time.sleep(0.1)
        for name, pid in living.items():
            if birth(pid) == known[name][1]:
                _send(-pid, signal.SIGKILL)  # its whole session
        return sorted(living)

    def forget_data(self) -> None:
        """Remove what an earlier start has stored, so that this one begins anew."""
        shutil.rmtree(self.postgres, ignore_errors=True)
        for name in ("audit-checkpoints", "archive"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for path in self.folder.glob(f"{self.simulator_state.name}*"):
            path.unlink()
        for path in (self.folder / "demo-users.json", self.seeding):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget everything, data included."""
        if self.postgres.parent != self.folder:
            shutil.rmtree(self.postgres.parent, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _take(lock: TextIO) -> bool:
    # A management command looks at the lock for an instant (forge/env.py), so one refusal is not yet an answer.
    for _ in range(10):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def birth(pid: int) -> str | None:
    """When a living process started, in ticks since the boot; None where there is none (or no /proc)."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    return None


def static_files_stamp() -> str:
    """A text that changes when the collected static files may have: another lock, or a changed file of our own."""
    own = sorted(
        path
        for room in ("forge", "audit", "blueprints", "workspaces", "costs", "budgets")
        for path in (BASE_DIR / room).glob("**/static/**/*")
        if path.is_file()
    )
    lines = [
        f"{path.relative_to(BASE_DIR)} {path.stat().st_mtime_ns}" for path in (BASE_DIR / "requirements.lock", *own)
    ]
    return "\n".join(lines)


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default
