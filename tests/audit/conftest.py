import pytest

from tests.audit.support import SIGNING_KEY


@pytest.fixture
def superuser(superuser_connection):
    """Runs a statement as a superuser whom no trigger stops."""
    superuser_connection.execute("SET session_replication_role = replica")

    def run(statement, *parameters):
        return superuser_connection.execute(statement, parameters or None)

    return run


@pytest.fixture
def outside(settings, tmp_path):
    """A key and a directory for the sealer; returns the directory."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    settings.FORGE_AUDIT_SIGNING_KEY = SIGNING_KEY
    settings.FORGE_AUDIT_SINKS = [f"directory:{folder}", "log:"]
    settings.FORGE_AUDIT_ORIGIN = "forge.test/audit"
    return folder
