"""One demo for all of these: starting it takes longer than any of them."""

import pytest

from tests.e2e.demo import Demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("e2e")
    home.chmod(0o711)
    with Demo(home) as running:
        yield running
