"""`audit_export` while months are on their way out: what the database still has is in, what it has not is refused."""

import pytest
from django.core.management import CommandError, call_command

from audit.sealing.sealer import seal
from audit.verifier import layout
from audit.verifier.checking import check_bundle
from forge.db.months import add_months
from tests.audit.bundle_files import KEY, lines
from tests.audit.history import BEGUN, leave_the_database, steps

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"])]


def export(folder, *arguments):
    call_command("audit_export", "--to", str(folder), *arguments)
    report = check_bundle(folder, keys=[KEY])
    assert (report.status, report.findings) == ("intact", [])
    return lines(folder, layout.ENTRIES)


def test_a_detached_month_is_exported_with_its_entries(oldest, tmp_path):
    before = export(tmp_path / "before", "--month", f"{oldest:%Y-%m}")
    assert len(before) == 6
    steps(BEGUN)
    seal()
    assert export(tmp_path / "month", "--month", f"{oldest:%Y-%m}") == before
    assert export(tmp_path / "whole")[:6] == before
    assert len(export(tmp_path / "two", "--from", f"{oldest:%Y-%m}", "--until", f"{add_months(oldest, 1):%Y-%m}")) == 12


def test_a_month_that_was_dropped_is_refused_with_the_place_of_its_bundle(oldest, tmp_path, archive):
    leave_the_database(oldest)
    seal()
    for arguments in (["--month", f"{oldest:%Y-%m}"], ["--from", f"{oldest:%Y-%m}"]):
        with pytest.raises(CommandError, match=f"its bundle is in directory:{archive}"):
            call_command("audit_export", "--to", str(tmp_path / "gone"), *arguments)
    assert not (tmp_path / "gone").exists()
    assert len(export(tmp_path / "whole")) > 6
    assert len(export(tmp_path / "next", "--month", f"{add_months(oldest, 1):%Y-%m}")) == 6
