"""The drill of an upgrade: the next release migrates under running processes, and its worker takes over."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.demo import ROOT, Answer, Api, Demo, ended, eventually

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.whole]

TIMEOUT = 120
LEFT_OUT = shutil.ignore_patterns(".*", "static", "node_modules", "__pycache__", "tests")
MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "{last}")]
    operations = [
        migrations.AddField("workspace", "shelf", models.CharField(max_length=20, default="new", db_default="old")),
        migrations.AddIndex("workspace", models.Index(fields=["shelf"], name="workspaces_shelf")),
    ]
"""
MODEL = """
WorkSpace.add_to_class("shelf", models.CharField(max_length=20, default="new", db_default="old"))
WorkSpace._meta.indexes.append(models.Index(fields=["shelf"], name="workspaces_shelf"))
"""


@pytest.fixture
def next_release(tmp_path) -> Path:
    """This tree with a column and an index more, as the release after it may have."""
    tree = tmp_path / "next"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    migrations = tree / "workspaces" / "migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / f"{int(last[:4]) + 1:04}_shelf.py").write_text(MIGRATION.format(last=last))
    models = tree / "workspaces" / "models" / "__init__.py"
    models.write_text(models.read_text() + "\nfrom django.db import models\n" + MODEL)
    return tree


class Use:
    """Somebody who asks again and again meanwhile."""

    def __init__(self, api: Api) -> None:
        self.statuses: list[int] = []
        self._api, self._ended = api, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Use:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(0.1):
            self.statuses.append(self._api.call("GET", "/api/v1/workspaces/?page_size=5").status)


def test_the_next_release_migrates_and_takes_over_while_the_old_one_works(demo, next_release, tmp_path):
    engineer = demo.api(role="engineer", team="platform", has_machine=False)
    launch = engineer.post("/api/v1/workspaces/", _machine(engineer))
    assert launch.status == 202, launch
    address = f"/api/v1/workspaces/{launch.body['id']}/"
    with Use(engineer) as use, psycopg.connect(demo.facts["owner_url"]) as long_reader:
        long_reader.execute("SELECT count(*) FROM workspaces_workspace")  # holds its lock until the transaction ends
        complaints = tmp_path / "complaints"
        upgrade = _upgrade(demo, next_release, complaints)
        eventually(lambda: "Somebody holds a lock" in complaints.read_text(), within_seconds=TIMEOUT)
        long_reader.rollback()
        assert upgrade.wait(timeout=TIMEOUT) == 0, complaints.read_text()
        _ends_well(engineer, launch)
        _do(engineer, address, "stop")
    assert set(use.statuses) == {200}
    assert _shelf(demo, launch.body["id"]) == "old"  # written by a release that does not know the column

    log = tmp_path / "worker.log"
    with _only_worker(demo, next_release, log):
        _do(engineer, address, "start")
        assert "succeeded in" in log.read_text()
    _do(engineer, address, "terminate")


def _machine(engineer: Api) -> dict[str, Any]:
    [blueprint] = engineer.get("/api/v1/blueprints/?latest=true&name=engineering-linux")["results"]
    return {"blueprint": blueprint["id"], "bundle_type": "STANDARD", "operating_system": "LINUX"}


def _do(engineer: Api, address: str, verb: str) -> None:
    _ends_well(engineer, engineer.post(f"{address}{verb}/"))


def _ends_well(engineer: Api, accepted: Answer) -> None:
    assert accepted.status == 202, accepted
    operation = eventually(lambda: ended(engineer.get(accepted.headers["Location"])), within_seconds=TIMEOUT)
    assert operation["status"] == "succeeded", operation


def _upgrade(demo: Demo, release: Path, complaints: Path) -> subprocess.Popen[bytes]:
    addresses = {"DATABASE_URL": demo.facts["database_url"], "DATABASE_OWNER_URL": demo.facts["owner_url"]}
    with complaints.open("wb") as file:
        return subprocess.Popen(
            [release / "ops" / "upgrade.sh"],
            env=demo.environment | addresses | {"PYTHON": sys.executable, "LOCK_SECONDS": "1"},
            stdout=file,
            stderr=file,
        )


@contextlib.contextmanager
def _only_worker(demo: Demo, release: Path, log: Path) -> Iterator[None]:
    """The next release's worker for operations, while the old one takes no more of them."""
    celery = [sys.executable, "-m", "celery", "-A", "forge"]
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [*celery, "worker", "-Q", "operations", "-n", "operations@next", "--pool", "solo"],
            cwd=release, env=demo.environment, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        eventually(lambda: "ready." in log.read_text(), within_seconds=TIMEOUT)
        _tell(demo, "cancel_consumer")
        yield
        _tell(demo, "add_consumer")
    finally:
        worker.terminate()
        worker.wait(timeout=60)


def _tell(demo: Demo, what: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "forge", "control", "-d", "operations@demo", what, "operations"],
        cwd=ROOT, env=demo.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def _shelf(demo: Demo, workspace_id: str) -> str:
    with psycopg.connect(demo.facts["superuser_url"]) as superuser:
        return superuser.execute("SELECT shelf FROM workspaces_workspace WHERE id = %s", [workspace_id]).fetchone()[0]
