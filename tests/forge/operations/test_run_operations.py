import io
import json

import pytest
from django.core.management import CommandError, call_command

from forge.operations.management.commands import run_operations
from forge.operations.models import Operation

pytestmark = pytest.mark.django_db
Status = Operation.Status


def run(*arguments):
    out = io.StringIO()
    call_command("run_operations", *arguments, stdout=out)
    return out.getvalue()


def test_once_carries_out_what_is_due(enqueue):
    enqueue()
    enqueue()

    assert run("--once") == "2 carried out: 2 succeeded\n"
    assert run("--once") == "0 carried out\n"


def test_limit_bounds_a_round(enqueue):
    for _ in range(3):
        enqueue()

    assert json.loads(run("--once", "--json", "--limit", "2")) == {
        "claimed": 2,
        "ways": {"succeeded": 2},
        "without_handler": [],
    }
    assert Operation.objects.open().count() == 1


def test_a_dry_run_lists_what_is_due_and_claims_nothing(enqueue):
    operation = enqueue()

    [row] = json.loads(run("--dry-run", "--json"))["due"]
    assert (row["id"], row["status"], row["attempts"], row["has_handler"]) == (str(operation.id), "queued", 0, True)
    assert str(operation.id) in run("--dry-run")
    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == (Status.QUEUED, 0)


def test_a_fault_ends_with_an_error(enqueue, handler):
    enqueue()
    handler.script = lambda claim: None

    with pytest.raises(CommandError):
        run("--once")


def test_an_operation_that_nothing_here_can_carry_out_ends_with_an_error(enqueue, settings):
    operation = enqueue()
    settings.FORGE_OPERATION_HANDLERS = {}

    with pytest.raises(CommandError):
        run("--once", "--json")
    assert json.loads(run("--dry-run", "--json"))["due"][0]["id"] == str(operation.id)


def test_without_once_it_goes_on_until_interrupted(enqueue, monkeypatch):
    naps = []

    def nap(seconds):
        naps.append(seconds)
        enqueue()
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_operations.time, "sleep", nap)
    with pytest.raises(KeyboardInterrupt):
        run()

    assert naps == [run_operations.PAUSE_SECONDS] * 3
    assert Operation.objects.filter(status=Status.SUCCEEDED).count() == 2


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_an_absurd_limit_is_refused(limit):
    with pytest.raises(CommandError):
        run("--once", f"--limit={limit}")
