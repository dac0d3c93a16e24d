"""`import_bill` and `export_focus`: what they say, refuse and leave in the log."""

import json

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditLog
from tests.costs.bills.sheets import as_csv, fee

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_a_bill_is_told_in_words_and_in_json_and_leaves_one_entry(fleet, account, tmp_path, capsys):
    (machine,) = fleet(1)
    path = as_csv(tmp_path / "march.csv", [fee(machine, "10"), fee("ws-none", "2")])
    whose = f"--organization={account.organization.slug}"
    call_command("import_bill", whose, f"--file={path}", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out)["changed_records"] == 48
    assert not AuditLog.objects.filter(resource_type="Bill").exists()
    call_command("import_bill", whose, f"--file={path}")
    said = capsys.readouterr().out
    assert "CUR 2026-03: 2 lines, 2 of machines with 12" in said
    assert "48 records changed" in said
    assert "STANDARD: 1 machines, metered" in said
    assert "not booked, UNKNOWN: 1 lines, 2.000000" in said
    (entry,) = AuditLog.objects.filter(resource_type="Bill")
    assert (entry.action_type, entry.result, entry.actor_kind) == ("BILL_IMPORT", "SUCCESS", "COMMAND")
    assert (entry.context["month"], entry.context["lines"]) == ("2026-03", 2)
    call_command("import_bill", whose, f"--file={path}")
    assert "this file was booked before" in capsys.readouterr().out
    assert AuditLog.objects.filter(resource_type="Bill").count() == 1

    call_command("export_focus", whose, "--month=2026-03", f"--to={tmp_path / 'out.csv'}", "--json")
    assert json.loads(capsys.readouterr().out)["size"] == (tmp_path / "out.csv").stat().st_size
    (entry,) = AuditLog.objects.filter(action_type="COST_EXPORT")
    assert (entry.context["count"], entry.actor_kind) == (48, "COMMAND")


def test_what_cannot_be_is_refused(account, tmp_path):
    path = as_csv(tmp_path / "b.csv", [fee("ws-1", "1", account="999999999999")])
    whose = f"--organization={account.organization.slug}"
    for arguments, fault in [
        (["--organization=nobody", f"--file={path}"], "no organization 'nobody'"),
        ([whose, f"--file={tmp_path}/none"], "No such file"),
        ([whose, f"--file={path}"], "bill_of_nobody"),
    ]:
        with pytest.raises(CommandError, match=fault):
            call_command("import_bill", *arguments)
    (entry,) = AuditLog.objects.filter(action_type="BILL_IMPORT")
    assert (entry.result, entry.context["code"]) == ("FAILURE", "bill_of_nobody")
