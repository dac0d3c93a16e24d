import pytest

from audit.archive import policies
from audit.models import AuditLog
from forge.db import partitions
from forge.db.months import month_of
from tests.audit.history import KEPT, NOW, TABLE, build
from tests.audit.support import SIGNING_KEY
from tests.factories import MembershipFactory


@pytest.fixture
def superuser(superuser_connection):
    """Runs a statement as a superuser whom no trigger stops."""
    superuser_connection.execute("SET session_replication_role = replica")

    def run(statement, *parameters):
        return superuser_connection.execute(statement, parameters or None)

    return run


@pytest.fixture
def without_whitenoise(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def user():
    return MembershipFactory(role="team_lead").user


@pytest.fixture
def seen():
    """The entries that came since the test began or last asked."""
    known = set()

    def new():
        rows = [row for row in AuditLog.objects.order_by("timestamp", "id") if row.id not in known]
        known.update(row.id for row in rows)
        return rows

    return new


@pytest.fixture
def outside(settings, tmp_path):
    """A key and a directory for the sealer; returns the directory."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    settings.FORGE_AUDIT_SIGNING_KEY = SIGNING_KEY
    settings.FORGE_AUDIT_SINKS = [f"directory:{folder}", "log:"]
    settings.FORGE_AUDIT_ORIGIN = "forge.test/audit"
    return folder


@pytest.fixture
def archive(settings, tmp_path, superuser_connection, monkeypatch):
    """The archive's directory, and a retention of KEPT months for the log; the months made for it go afterwards."""
    folder = tmp_path / "archive"
    folder.mkdir()
    settings.FORGE_ARCHIVE = f"directory:{folder}"
    settings.FORGE_AUDIT_RETENTION_MONTHS = KEPT
    monkeypatch.setattr(policies, "LEAST_MONTHS", KEPT)
    yield folder
    superuser_connection.execute("SET session_replication_role = replica")
    for partition in partitions.attached(TABLE):
        if partition.first < month_of(NOW):
            superuser_connection.execute(f"DROP TABLE {partition.name}")


@pytest.fixture
def oldest(superuser, outside, archive):
    """A sealed log of one month more than is kept, and this one; the month that is past its retention."""
    return build(superuser, kept=KEPT)
