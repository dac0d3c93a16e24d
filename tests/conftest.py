"""Fixtures that every test may use; the servers behind them are started by tests/plugins/servers.py."""

import gc
import subprocess
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.hashers import ScryptPasswordHasher

from forge.api import turns
from forge.db.embedded.processes import temporary_folder
from tests.e2e.demo import Demo
from tests.plugins.database import django_db_setup, make_app_connection, superuser_connection
from tests.plugins.scale import scale
from workspaces.aws import pace
from workspaces.fleet import looking

__all__ = ["django_db_setup", "make_app_connection", "scale", "superuser_connection"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """What has an xdist_group or grows with FORGE_SOAK takes long: it begins first, or others wait at the end."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("xdist_group", "soak")])
    in_worker = getattr(config.option, "loadgroup", False)
    if in_worker and any(item.get_closest_marker("xdist_group") and "@" not in item.nodeid for item in items):
        raise pytest.UsageError("pytest-xdist does not group the tests of an xdist_group: each worker would do all.")


@pytest.fixture
def listed_machines_stand(monkeypatch):
    """AWS, of which these tests have not even a simulator, shows every machine that is listed for adoption."""
    monkeypatch.setattr(looking, "gone_now", lambda machine: False)


@pytest.fixture(scope="session", autouse=True)
def garbage_left_longer():
    """Collect it less often, and never look through what imports and collection have made: it stays to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords():
    """Hash them as in production, but in a hundredth of the time; a hash says itself at what cost it was made."""
    ScryptPasswordHasher.work_factor, ScryptPasswordHasher.parallelism = 2**8, 1


@pytest.fixture(scope="session", autouse=True)
def static_files_when_asked_for():
    """WhiteNoise looks for a file when one is requested; else each new client lists all of them before it begins."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def closed_circuits():
    """What a test breaks in its AWS is not held against the next test's."""
    pace.circuit_of.cache_clear()


@pytest.fixture(autouse=True)
def nobodys_turn():
    """A file that a test asked for and did not read is in nobody's way in the next."""
    yield
    turns._held.clear()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The one demo of a run, for the xdist_group "e2e": starting it takes longer than most of what is done with it."""
    home = temporary_folder("forge-e2e-")  # not tmp_path: root's is closed to the user that runs PostgreSQL
    with Demo(home) as running:
        yield running
    subprocess.run(["rm", "-rf", str(home)], check=True)
