import pytest


@pytest.fixture
def superuser(superuser_connection):
    """Runs a statement as a superuser whom no trigger stops."""
    superuser_connection.execute("SET session_replication_role = replica")

    def run(statement, *parameters):
        return superuser_connection.execute(statement, parameters or None)

    return run
