"""What the log's commands say to whoever mistypes something, and while the database is away."""

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from audit.management.commands import rollover_partitions
from audit.sealing import sealer

AWAY = OperationalError("connection failed:\n\tis the server running?")


def away(*_, **__):
    raise AWAY


@pytest.mark.parametrize("command", ["audit_verify", "audit_export"])
@pytest.mark.parametrize("text", ["2026-13", "november", "2026-11-01", ""])
def test_a_month_that_is_none_is_refused_by_its_name(command, text, capsys, tmp_path):
    to = [f"--to={tmp_path / 'bundle'}"] if command == "audit_export" else []
    with pytest.raises(CommandError, match=f"'{text}' is no month of the form YYYY-MM"):
        call_command(command, *to, f"--month={text}")
    assert list(tmp_path.iterdir()) == []


def test_a_sealer_without_a_database_says_so_in_a_line(monkeypatch):
    monkeypatch.setattr(sealer, "seal", away)
    with pytest.raises(CommandError, match=r"^connection failed: is the server running\?$"):
        call_command("audit_seal")


@pytest.mark.parametrize(("option", "step"), [("--months-ahead=6", "ensure_ahead"), ("--check", "check")])
def test_a_rollover_without_a_database_says_so_in_a_line(monkeypatch, option, step):
    monkeypatch.setattr(rollover_partitions.partitions, step, away)
    with pytest.raises(CommandError, match=r"^connection failed: is the server running\?$"):
        call_command("rollover_partitions", option)
