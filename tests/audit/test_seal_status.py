"""The command, the job and what they tell: figures, status, system checks."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit import checks, tasks
from audit.models import AuditLeaf
from audit.sealing import keys, sealer, seals
from audit.sealing.leaves import Leaves
from audit.sealing.sealer import SealRefused, seal
from forge.console.health import check_seals
from forge.db.models import JobRun
from tests.audit.support import OTHER_SIGNING_KEY, leave, rechain

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def command(*arguments):
    out = StringIO()
    call_command("audit_seal", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_seals_and_says_what_and_under_which_keys(outside):
    leave(4)
    counted = json.loads(command("--dry-run", "--json"))
    assert counted["sealed"] == 4
    assert not AuditLeaf.objects.exists()
    said = json.loads(command("--json"))
    assert (said["sealed"], said["tree_size"], said["is_signed"]) == (4, 4, True)
    assert said["verifier_keys"] == [str(keys.verifier_keys()[0])]
    assert "tree_size 4" in command()


def test_the_command_refuses_what_the_sealer_refuses_and_goes_on_by_a_new_incarnation(outside, superuser):
    leave(5, lane=0)
    command()
    superuser("DELETE FROM audit_auditleaf WHERE index >= 2")
    superuser("DELETE FROM audit_auditnode WHERE level > 1 OR index > 0")
    for arguments in ((), ("--dry-run",)):
        with pytest.raises(CommandError, match="an old backup was restored"):
            command(*arguments)
    with pytest.raises(CommandError, match="belong together"):
        command("--new-incarnation")
    with pytest.raises(CommandError, match="belong together"):
        command("--reason", "x")
    assert json.loads(command("--new-incarnation", "--reason", "as meant", "--json"))["incarnation"] == 2


def test_the_job_seals_and_its_figures_stand_in_the_job_run(outside):
    leave(4)
    assert tasks.seal()["tree_size"] == 4
    run = JobRun.objects.get(job=seals.JOB)
    assert (run.outcome, run.figures["sealed"]) == ("SUCCEEDED", 4)


def test_the_status_is_well_when_all_is_sealed_signed_and_published(outside):
    assert seals.status().problems == []
    leave(4)
    waiting = seals.status()
    assert (waiting.waiting, waiting.problems) == (4, [])
    seal()
    found = seals.status()
    assert (found.tree_size, found.waiting, found.problems) == (4, 0, [])
    assert "4 entries sealed" in str(found)


def test_the_status_tells_of_entries_that_wait_too_long(outside, superuser):
    leave(3, lane=0)
    rechain(superuser, 0, [timezone.now() - timedelta(seconds=30)] * 3)
    assert "3 entries wait longer than 10 s" in str(seals.status())


def test_an_entry_that_committed_late_does_not_count_from_before_its_commit(outside, superuser):
    leave(1, lane=1)
    seal()
    leave(3, lane=0)
    rechain(superuser, 0, [timezone.now() - timedelta(seconds=30)] * 3)
    assert seals.status().problems == []


def test_the_status_tells_of_a_sink_that_is_behind_and_of_a_failed_run(outside, superuser):
    leave(3)
    outside.rename(outside.with_name("elsewhere"))
    seal()
    superuser("UPDATE audit_auditcheckpoint SET sealed_at = sealed_at - interval '2 minutes'")
    assert "not signed: no readable sink could be compared" in str(seals.status())
    outside.with_name("elsewhere").rename(outside)
    seal()
    superuser("DELETE FROM audit_auditpublication WHERE sink = 'log:'")
    assert "log: lacks checkpoints since" in str(seals.status())
    superuser("DELETE FROM audit_auditleaf WHERE index >= 1")
    with pytest.raises(SealRefused):
        tasks.seal()
    assert "sealing failed: SealRefused" in str(seals.status())


def test_leaves_count_what_waits(outside):
    leave(3)
    with sealer.alone() as own:
        assert Leaves(own).waiting() == 3


def test_readyz_shows_the_status_and_sealing_never_takes_the_application_down(outside, superuser):
    leave(3, lane=0)
    rechain(superuser, 0, [timezone.now() - timedelta(seconds=30)] * 3)
    assert check_seals().status == "degraded"
    assert "3 entries wait longer" in check_seals().detail
    seal()
    assert check_seals().status == "ok"


def ids(found):
    return [message.id for message in found]


def test_a_sound_set_up_passes_the_system_check(outside):
    assert checks.check_seals(None) == []


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("FORGE_AUDIT_SIGNING_KEY", "", ["audit.W001"]),
        ("FORGE_AUDIT_SIGNING_KEY", "no key", ["audit.E001"]),
        ("FORGE_AUDIT_VERIFIER_KEYS", ["forge+00000000+x"], ["audit.E001"]),
        ("FORGE_AUDIT_ORIGIN", "white space", ["audit.E001"]),
        ("FORGE_AUDIT_SINKS", [], ["audit.W002"]),
        ("FORGE_AUDIT_SINKS", ["log:"], ["audit.W002"]),
        ("FORGE_AUDIT_SINKS", ["ftp://x"], ["audit.E002"]),
    ],
)
def test_the_system_check_names_what_is_wrong_with_the_set_up(outside, settings, name, value, found):
    setattr(settings, name, value)
    assert ids(checks.check_seals(None)) == found
    assert seals.status().problems


def test_a_wrong_key_signs_nothing_and_the_application_goes_on(outside, settings):
    leave(3)
    seal()
    settings.FORGE_AUDIT_SIGNING_KEY = OTHER_SIGNING_KEY
    leave(3)
    done = seal()
    assert (done.sealed, done.is_signed) == (3, False)
    assert "no known key signed" in done.figures()["failures"]
