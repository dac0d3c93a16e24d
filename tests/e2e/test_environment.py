"""The demo of a test gets this machine's environment and none of the test run's own settings."""

import os
import subprocess
import sys

import pytest

from tests.e2e.demo import Demo
from tests.plugins import servers


@pytest.fixture
def own(tmp_path):
    return Demo(tmp_path).environment


def test_a_demo_is_given_none_of_the_settings_of_the_test_run(own, tmp_path):
    assert own["PATH"] == os.environ["PATH"]
    assert set(own).isdisjoint({*servers._SETTINGS, servers.RUN, servers.FOLDER, servers.SUPERUSER_URL})
    ours = ("FORGE_", "DATABASE_", "REDIS_", "AWS_", "DJANGO_", "SECRET_", "EMAIL_", "ALLOWED_", "PYTEST_")
    assert {name for name in own if name.startswith(ours)} == {"FORGE_HOME", "FORGE_DEMO_PORT"}
    assert own["FORGE_HOME"] == str(tmp_path)


def test_it_is_enough_for_a_process_of_forge(own):
    code = "import forge.env; print(forge.env.STATE_DIR)"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=own, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.strip() == own["FORGE_HOME"]
