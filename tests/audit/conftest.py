import shutil
from pathlib import Path

import pytest
from django.test import override_settings

from audit import places
from audit.models import AuditLog
from forge.db import partitions
from forge.db.months import month_of
from tests.audit.bundle_files import ORIGIN, make_originals
from tests.audit.history import KEPT, NOW, TABLE, build
from tests.audit.support import SIGNING_KEY
from tests.factories import MembershipFactory
from tests.plugins.database import connect_as_superuser, empty_database

FORGED_MONTHS = """
    SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'audit_auditlog'::regclass AND NOT relrowsecurity
"""


@pytest.fixture
def superuser(superuser_connection):
    """Runs a statement as a superuser whom no trigger stops; a month's table of its own making goes afterwards."""
    superuser_connection.execute("SET session_replication_role = replica")

    def run(statement, *parameters):
        return superuser_connection.execute(statement, parameters or None)

    yield run
    if superuser_connection.closed:
        return
    for (name,) in superuser_connection.execute(FORGED_MONTHS).fetchall():
        superuser_connection.execute(f"DROP TABLE {name}")


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
    """The archive's directory, and a retention of KEPT months for the log; past months of other tests go before, and
    those made for it afterwards.
    """
    folder = tmp_path / "archive"
    folder.mkdir()
    settings.FORGE_ARCHIVE = f"directory:{folder}"
    settings.FORGE_AUDIT_RETENTION_MONTHS = KEPT
    settings.FORGE_COST_RETENTION_MONTHS = 1200
    monkeypatch.setattr(places, "LEAST_MONTHS", KEPT)
    _drop_past_months(superuser_connection)
    yield folder
    _drop_past_months(superuser_connection)


def _drop_past_months(superuser_connection):
    superuser_connection.execute("SET session_replication_role = replica")
    for partition in partitions.attached(TABLE):
        if partition.first < month_of(NOW):
            superuser_connection.execute(f"DROP TABLE {partition.name}")


@pytest.fixture
def oldest(superuser, outside, archive):
    """A sealed log of one month more than is kept, and this one; the month that is past its retention."""
    return build(superuser, kept=KEPT)


@pytest.fixture(scope="session")
def original_bundles(django_db_setup, django_db_blocker, tmp_path_factory):
    """The folder with the bundles of `make_originals`; copy what you change. The database is empty again."""
    folder = tmp_path_factory.mktemp("bundles")
    (folder / "checkpoints").mkdir()
    sealing = override_settings(
        FORGE_AUDIT_SIGNING_KEY=SIGNING_KEY,
        FORGE_AUDIT_SINKS=[f"directory:{folder}/checkpoints"],
        FORGE_AUDIT_ORIGIN=ORIGIN,
    )
    with django_db_blocker.unblock(), sealing, connect_as_superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        make_originals(folder, lambda statement, *parameters: connection.execute(statement, parameters or None))
        empty_database()
    return folder


@pytest.fixture
def whole_bundle(original_bundles, tmp_path):
    """The whole log, yours to forge."""
    return Path(shutil.copytree(original_bundles / "whole", tmp_path / "whole"))


@pytest.fixture
def month_bundle(original_bundles, tmp_path):
    """The middle month of three, yours to forge."""
    return Path(shutil.copytree(original_bundles / "month", tmp_path / "month"))
