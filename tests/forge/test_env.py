"""What a management command takes of the settings of a demo that runs in its checkout: all of its places, or none."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge.demo.home import Home
from forge.env import BASE_DIR, of_demo

DEMO = {
    "DATABASE_URL": "postgresql://app@127.0.0.1:1/demo",
    "DATABASE_OWNER_URL": "postgresql://owner@127.0.0.1:1/demo",
    "REDIS_URL": "redis://127.0.0.1:2/0",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:3",
    "AWS_ACCESS_KEY_ID": "demo",
    "FORGE_AUDIT_SINKS": "directory:/demo/checkpoints",
    "FORGE_ARCHIVE": "directory:/demo/archive",
    "SECRET_KEY": "the-demo-s-own",
    "DEBUG": "true",
}
MINE = "postgresql://me@127.0.0.1:1/mine"
TOLD = """
import json
from forge import settings
print(json.dumps([
    settings.DATABASES["default"]["NAME"], settings.DATABASES["owner"]["NAME"], settings.AWS_ENDPOINT_URL,
    settings.FORGE_AUDIT_SINKS,
]))
"""


def test_a_command_that_is_given_nothing_takes_all_of_the_demo():
    assert of_demo(DEMO, {"PATH": "/bin"}) == DEMO


def test_a_command_that_is_given_the_demos_own_addresses_takes_the_rest_of_it():
    given = {"DATABASE_URL": DEMO["DATABASE_URL"], "DEBUG": "false"}
    assert of_demo(DEMO, given) == {name: value for name, value in DEMO.items() if name not in given}


@pytest.mark.parametrize(
    "given",
    [
        {"DATABASE_URL": MINE},
        {"DATABASE_URL_FILE": "/run/secrets/mine"},
        {"DATABASE_OWNER_URL": MINE},
        {"REDIS_URL": "redis://127.0.0.1:9/0"},
        {"AWS_ENDPOINT_URL": ""},
        {"FORGE_REPLICA_URL": MINE},
        {"FORGE_REPLICA_URL_FILE": "/run/secrets/mine"},
        {"DATABASE_URL": DEMO["DATABASE_URL"], "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    ],
)
def test_a_command_that_is_given_another_address_takes_nothing_of_the_demo(given):
    assert of_demo(DEMO, given) == {}


@pytest.mark.parametrize("name", ["FORGE_AUDIT_SIGNING_KEY", "FORGE_AUDIT_SIGNING_KEY_FILE"])
def test_a_secret_that_is_given_as_it_is_or_as_a_file_is_not_the_demos(name):
    with_key = DEMO | {"FORGE_AUDIT_SIGNING_KEY_FILE": "/demo/key"}
    assert of_demo(with_key, {name: "mine"}) == DEMO


@pytest.fixture
def settings_of(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Reads the settings in a process of its own, in a checkout whose demo runs as far as anybody can see."""
    Home(tmp_path).publish_environment(DEMO)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    def read(**given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", TOLD], cwd=BASE_DIR, env=kept | {"FORGE_HOME": str(tmp_path)} | given,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read


def test_another_database_is_migrated_by_its_own_owner_and_never_the_demos(settings_of):
    assert json.loads(settings_of().stdout) == ["demo", "demo", DEMO["AWS_ENDPOINT_URL"], [DEMO["FORGE_AUDIT_SINKS"]]]
    assert json.loads(settings_of(DATABASE_URL=MINE, DEBUG="true").stdout) == ["mine", "mine", None, []]


def test_another_redis_alone_is_refused_with_the_reason(settings_of):
    refused = settings_of(REDIS_URL="redis://127.0.0.1:9/0")
    assert refused.returncode != 0
    assert "DATABASE_URL is not set. REDIS_URL is not the demo's, so nothing is taken from the demo." in refused.stderr
