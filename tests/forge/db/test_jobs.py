"""A job works once per slot, whoever else asks, and what became of it can be read afterwards."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from forge.db import jobs
from forge.db.models import JobRun, JobSwitch
from tests.forge.db.conftest import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.servers]

NOW = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def fail() -> None:
    raise LookupError("no price for POWER in eu-central-1")


@pytest.mark.parametrize(
    ("every", "slot"),
    [
        (timedelta(seconds=5), datetime(2026, 11, 21, 12, 34, 55, tzinfo=UTC)),
        (MINUTE, datetime(2026, 11, 21, 12, 34, tzinfo=UTC)),
        (timedelta(hours=1), datetime(2026, 11, 21, 12, tzinfo=UTC)),
        (DAY, datetime(2026, 11, 21, tzinfo=UTC)),
    ],
)
def test_a_slot_begins_at_a_whole_multiple_of_its_length(every, slot):
    assert jobs.slot_of(NOW, every) == slot


def test_a_slot_is_claimed_once():
    run = jobs.claim_slot("meter", NOW, MINUTE)
    assert (run.slot, run.outcome, run.started_at) == (NOW.replace(second=0), JobRun.Outcome.RUNNING, NOW)
    assert jobs.claim_slot("meter", NOW + timedelta(seconds=2), MINUTE) is None
    assert jobs.claim_slot("meter", NOW + MINUTE, MINUTE) is not None
    assert jobs.claim_slot("other", NOW, MINUTE) is not None


@pytest.mark.django_db(transaction=True)
def test_of_many_beats_at_the_same_time_one_does_the_work():
    done = []
    answers = at_once(
        8, lambda number: jobs.run_job("meter", NOW, MINUTE, lambda: done.append(number) or {"by": number})
    )
    assert len(done) == 1
    assert [answer for answer in answers if answer is not None] == [{"by": done[0]}]
    assert JobRun.objects.get().figures == {"by": done[0]}


def test_a_run_stores_when_it_began_and_ended_and_its_figures():
    assert jobs.run_job("meter", NOW, MINUTE, lambda: {"machines": 40}) == {"machines": 40}
    run = JobRun.objects.get()
    assert (run.outcome, run.figures, run.error, run.attempt) == (JobRun.Outcome.SUCCEEDED, {"machines": 40}, "", 1)
    assert NOW <= run.finished_at < NOW + MINUTE


def test_work_without_figures_is_work_all_the_same():
    assert jobs.run_job("meter", NOW, MINUTE, lambda: None) == {}


def test_a_failed_run_is_stored_with_its_error_raised_and_tried_again_in_the_same_slot():
    with pytest.raises(LookupError):
        jobs.run_job("rollover", NOW, DAY, fail)
    run = JobRun.objects.get()
    assert (run.outcome, run.error) == (JobRun.Outcome.FAILED, "LookupError: no price for POWER in eu-central-1")
    assert run.finished_at is not None

    assert jobs.run_job("rollover", NOW + timedelta(hours=1), DAY, dict) == {}
    run.refresh_from_db()
    assert (run.outcome, run.error, run.attempt) == (JobRun.Outcome.SUCCEEDED, "", 2)


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_connection_breaks_is_stored_as_failed_over_a_new_one(superuser_connection):
    def break_off() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            superuser_connection.execute("SELECT pg_terminate_backend(%s, 5000)", [cursor.fetchone()[0]])
            cursor.execute("SELECT 1")

    with pytest.raises(OperationalError):
        jobs.run_job("meter", NOW, MINUTE, break_off)
    assert JobRun.objects.get().outcome == JobRun.Outcome.FAILED


def test_a_crashed_run_stays_visible_and_its_slot_is_taken_again_after_an_hour():
    crashed = jobs.claim_slot("rollover", NOW, DAY)
    assert jobs.claim_slot("rollover", NOW + jobs.LOST_AFTER, DAY) is None
    crashed.refresh_from_db()
    assert (crashed.outcome, crashed.finished_at) == (JobRun.Outcome.RUNNING, None)

    again = jobs.claim_slot("rollover", NOW + jobs.LOST_AFTER + timedelta(seconds=1), DAY)
    assert (again.pk, again.attempt, again.outcome) == (crashed.pk, 2, JobRun.Outcome.RUNNING)


def test_a_crashed_run_of_an_earlier_slot_is_shown_as_lost():
    crashed = jobs.claim_slot("meter", NOW, MINUTE)
    jobs.run_job("meter", NOW + timedelta(hours=2), MINUTE, dict)
    crashed.refresh_from_db()
    assert crashed.outcome == JobRun.Outcome.LOST


def test_a_run_that_counted_as_lost_and_was_taken_over_does_not_overwrite_its_successor():
    def outlived() -> dict:
        jobs.run_job("rollover", NOW + timedelta(hours=2), DAY, lambda: {"by": "successor"})
        return {"by": "first"}

    jobs.run_job("rollover", NOW, DAY, outlived)
    assert JobRun.objects.get().figures == {"by": "successor"}


def test_a_paused_job_does_nothing_says_so_and_works_again_in_the_same_slot_once_it_is_switched_on():
    switch = JobSwitch.objects.create(job="rollover", reason="restoring a backup")
    assert jobs.run_job("rollover", NOW, DAY, fail) is None
    assert JobRun.objects.get().outcome == JobRun.Outcome.PAUSED
    switch.delete()
    assert jobs.run_job("rollover", NOW + timedelta(hours=1), DAY, lambda: {"made": 1}) == {"made": 1}


def test_the_switch_of_one_organization_pauses_no_job_and_lifts_no_pause_for_all():
    mine = uuid4()
    JobSwitch.objects.create(job="lifecycle", organization_id=mine)
    assert not jobs.is_paused("lifecycle")
    assert jobs.run_job("lifecycle", NOW, MINUTE, lambda: {"seen": 2}) == {"seen": 2}

    JobSwitch.objects.create(job="lifecycle")
    JobSwitch.objects.filter(organization_id=mine).update(is_paused=False)
    assert jobs.is_paused("lifecycle")
    assert jobs.run_job("lifecycle", NOW + MINUTE, MINUTE, lambda: pytest.fail("it ran")) is None


@pytest.mark.parametrize("organization", [None, uuid4()], ids=["all", "one"])
def test_a_job_has_one_switch_per_organization_and_one_for_all(organization):
    JobSwitch.objects.create(job="lifecycle", organization_id=organization)
    with pytest.raises(IntegrityError, match="db_jobswitch_job_organization"), transaction.atomic():
        JobSwitch.objects.create(job="lifecycle", organization_id=organization)


def test_the_last_run_of_each_job_is_listed():
    assert jobs.last_runs() == []
    for number in range(3):
        jobs.run_job("meter", NOW + number * MINUTE, MINUTE, dict)
    jobs.claim_slot("budgets", NOW, MINUTE)
    listed = jobs.last_runs()
    assert [(run.job, run.slot) for run in listed] == [
        ("budgets", NOW.replace(second=0)),
        ("meter", NOW.replace(second=0) + 2 * MINUTE),
    ]


def test_lag_counts_from_the_last_success():
    assert jobs.lag("meter", NOW) is None
    jobs.run_job("meter", NOW, MINUTE, dict)
    with pytest.raises(LookupError):
        jobs.run_job("meter", NOW + MINUTE, MINUTE, fail)
    assert jobs.lag("meter", NOW + 3 * MINUTE) == 3 * MINUTE


def test_old_runs_go_when_a_new_one_succeeds_and_the_last_success_stays():
    jobs.run_job("meter", NOW, MINUTE, dict)
    jobs.run_job("other", NOW, MINUTE, dict)
    later = NOW + jobs.KEEP_RUNS + 2 * MINUTE
    with pytest.raises(LookupError):
        jobs.run_job("meter", later, MINUTE, fail)
    assert JobRun.objects.filter(job="meter").count() == 2
    jobs.run_job("meter", later + MINUTE, MINUTE, dict)
    assert JobRun.objects.filter(job="meter").count() == 2
    assert JobRun.objects.filter(job="other").count() == 1
