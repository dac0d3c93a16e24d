"""Fixtures that every test may use; the servers behind them are started by tests/plugins/servers.py."""

import gc

import pytest
from django.conf import settings

from tests.plugins.database import django_db_setup, make_app_connection, superuser_connection
from tests.plugins.scale import scale
from workspaces.aws import pace

__all__ = ["django_db_setup", "make_app_connection", "scale", "superuser_connection"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """What has an xdist_group or grows with FORGE_SOAK takes long, and begins first: the workers end at one time."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("xdist_group", "soak")))


def pytest_collection_finish():
    """What was collected stays to the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def static_files_when_asked_for():
    """WhiteNoise looks for a file when one is requested; else each new client lists all of them before it begins."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def closed_circuits():
    """What a test breaks in its AWS is not held against the next test's."""
    pace.circuit_of.cache_clear()
