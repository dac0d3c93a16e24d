"""The daily run: what it advises from samples and records, and what becomes of its rows from day to day."""

from datetime import timedelta
from decimal import Decimal

import pytest

from costs.advice import facts as facts_module
from costs.advice import sweep
from costs.models import Advice, CostRecord, Price
from costs.pricing import Interval
from forge.db.ids import uuid7
from forge.db.jobs import JobFault, run_job
from forge.db.models import JobRun
from tests import factories
from tests.costs.advice.support import DAY, NOW, advised, booked, machine, sampled, standing, stopped, told
from tests.costs.books import own_price
from tests.factories import UserFactory
from workspaces.models import ConfigurationChange, WorkLease, WorkSpace

pytestmark = pytest.mark.django_db

SLOT = timedelta(minutes=5)
TO_END = ("IDLE", "TERMINATE", {}, "OPEN")
TO_STANDARD = ("RIGHT_SIZE", "MODIFY", {"bundle_type": "STANDARD"}, "OPEN")


def price(bundle, mode):
    return Price.objects.get(
        organization=None, region="us-east-1", bundle_type=bundle, running_mode=mode, operating_system="LINUX",
        service_type="WORKSPACES_PERSONAL",
    )  # fmt: skip


def lease(row, until):
    WorkLease.objects.create(
        organization=row.organization,
        workspace=row,
        until=until,
        reason="a build",
        created_by=row.owner,
        created_at=NOW - DAY,
    )


def test_a_little_used_machine_is_advised_to_shrink_with_figures_and_evidence(world):
    Price.objects.update(storage_gb_month_amount=Decimal("0.10"))
    row = machine(world, bundle_type="PERFORMANCE")
    sampled(row, cpu=10.0, memory=35.0)
    booked(row, hours=[9, 10])
    other = machine(world, owner=world.lead, bundle_type="PERFORMANCE")  # runs, and nobody knows how it is used
    figures = advised()
    assert (figures["machines"], figures["proposals"], figures["opened"]) == (2, 1, 1)
    assert standing(row) == [TO_STANDARD]
    assert standing(other) == []
    advice = Advice.objects.get()
    before, after = price("PERFORMANCE", "AUTO_STOP"), price("STANDARD", "AUTO_STOP")
    hours = Decimal(730) / 24 * 2
    beyond = (180 - after.included_storage_gb) * after.storage_gb_month_amount
    saving = before.monthly_amount - after.monthly_amount - beyond
    saving += hours * (before.hourly_amount - after.hourly_amount)
    assert abs(advice.saving_amount - saving) < Decimal("0.00001")
    assert (advice.currency, advice.basis, advice.confidence) == ("USD", "ESTIMATED", "HIGH")
    assert advice.price_ids == [before.id, after.id]
    assert (advice.evidence["samples"], advice.evidence["days"], advice.evidence["cpu_p95"]) == (14 * 48, 14, 10.0)
    assert advice.evidence["days_covered_share"] == 1.0
    assert (advice.before["bundle_type"], advice.possible_at) == ("PERFORMANCE", None)
    assert told(advice) == [("ADVICE_OPEN", "JOB")]
    again = advised(NOW + timedelta(hours=1))
    assert (again["opened"], again["obsolete"]) == (0, 0)
    assert Advice.objects.get().confirmed_at == NOW + timedelta(hours=1)
    assert told(advice) == [("ADVICE_OPEN", "JOB")]


def test_the_smaller_size_waits_for_aws_and_for_the_blueprint_the_role_and_a_price(world):
    row = machine(world, bundle_type="PERFORMANCE")
    sampled(row, memory=35.0)
    booked(row, hours=[9, 10])
    values = {"root_volume_gb": 80, "user_volume_gb": 100, "auto_stop_timeout_minutes": 60, "running_mode": "AUTO_STOP"}
    ConfigurationChange.objects.create(
        organization=row.organization, workspace=row, occurred_at=NOW - 10 * DAY,
        **{f"before_{name}": value for name, value in values.items()}, before_bundle_type="POWER",
        **{f"after_{name}": value for name, value in values.items()}, after_bundle_type="PERFORMANCE",
    )  # fmt: skip
    advised()
    assert Advice.objects.get().possible_at == NOW + 20 * DAY
    nothing_else = factories.BlueprintFactory(
        organization=world.organization, team=world.team, bundle=None, status="DRAFT"
    )
    factories.BlueprintBundleFactory(blueprint=nothing_else, bundle_type="PERFORMANCE")
    WorkSpace.objects.filter(pk=row.pk).update(blueprint=factories.publish(nothing_else))
    advised()
    assert standing(row) == [(*TO_STANDARD[:3], "OBSOLETE")]
    WorkSpace.objects.filter(pk=row.pk).update(blueprint=world.blueprint, owner=world.finance)
    advised()
    WorkSpace.objects.filter(pk=row.pk).update(owner=world.engineer)
    Price.objects.filter(pk=price("STANDARD", "AUTO_STOP").pk).update(valid_to=NOW.replace(hour=0, minute=0))
    assert advised()["opened"] == 0


def test_a_busy_machine_is_advised_to_grow_and_says_what_more_it_costs(world):
    row = machine(world)
    sampled(row, cpu=15.0, memory=93.0)
    booked(row, hours=[9, 10])
    advised()
    advice = Advice.objects.get()
    assert (advice.kind, advice.changes) == ("RIGHT_SIZE", {"bundle_type": "PERFORMANCE"})
    assert advice.evidence["because"] == "memory"
    assert advice.saving_amount < 0


def test_the_running_mode_follows_from_the_machines_own_hours(world):
    heavy = machine(world)
    booked(heavy, hours=range(8, 18))
    changed = machine(world, owner=world.auditor)  # of the days on which it was AlwaysOn the hours are not known
    booked(changed, hours=range(8, 18), since=NOW.replace(hour=0, minute=0) - 6 * DAY)
    booked(
        changed,
        hours=range(8, 18),
        until=NOW.replace(hour=0, minute=0) - 6 * DAY,
        since=NOW.replace(hour=0, minute=0) - 20 * DAY,
        mode="ALWAYS_ON",
    )
    partly = machine(world, owner=world.contractor)
    booked(partly, hours=range(8, 18))
    CostRecord.objects.filter(workspace=partly, period_start__hour=3).delete()
    light = machine(world, owner=world.lead, running_mode="ALWAYS_ON")
    sampled(light, hours=[9], cpu=50.0, days=29, always=True)
    steady = machine(world, owner=world.admin, running_mode="ALWAYS_ON")
    sampled(steady, hours=range(8, 20), cpu=50.0, days=29, always=True)
    unseen = machine(world, owner=world.finance, running_mode="ALWAYS_ON")
    sampled(unseen, hours=[9], cpu=50.0, days=29)  # one hour a day is known, and the rest may be anything
    advised()
    assert standing(heavy) == [("RUNNING_MODE", "MODIFY", {"running_mode": "ALWAYS_ON"}, "OPEN")]
    assert standing(light) == [("RUNNING_MODE", "MODIFY", {"running_mode": "AUTO_STOP"}, "OPEN")]
    assert standing(steady) == standing(unseen) == standing(changed) == standing(partly) == []
    advice = Advice.objects.get(workspace=light)
    assert advice.evidence["break_even_hours"] == "84.166667"
    assert advice.evidence["hours"]["days"] == 28
    # 09:00 to 10:00 is connected, AutoStop stops it at 11:00: two started hours a day.
    assert advice.evidence["hours_by_weekday"] == ["2.000000"] * 7
    assert abs(advice.saving_amount - (35 - Decimal("9.75") - 2 * Decimal(730) / 24 * Decimal("0.3"))) < Decimal(
        "0.00001"
    )
    assert (advice.confidence, advice.best_at) == ("HIGH", NOW.replace(hour=7, minute=0))
    assert advice.evidence["switch_until"] == "2026-05-01T00:00:00+00:00"
    other = Advice.objects.get(workspace=heavy)
    assert abs(other.saving_amount - (Decimal("9.75") + 10 * Decimal(730) / 24 * Decimal("0.3") - 35)) < Decimal(
        "0.00001"
    )
    assert other.evidence["hours"]["p10"] == other.evidence["hours"]["p90"]


def test_break_even_is_that_of_the_organizations_own_prices(world):
    row = machine(world)
    booked(row, hours=range(9, 13))  # 121.7 hours a month, above 84 and below 350
    own_price(world.organization, NOW.replace(day=1, hour=0, minute=0), now=NOW, running_mode="ALWAYS_ON",
              hourly_amount=Decimal(0), monthly_amount=Decimal("114.75"), included_storage_gb=130)  # fmt: skip
    advised()
    assert standing(row) == []
    sure = facts_module.facts_of([WorkSpace.objects.select_related("organization").get(pk=row.pk)], now=NOW)[0]
    assert sure.rates("STANDARD", "ALWAYS_ON").monthly == Decimal("114.75")


def test_connections_become_the_runs_that_auto_stop_would_have_made(world):
    row = machine(world, running_mode="ALWAYS_ON")
    day = (NOW - DAY).replace(hour=0, minute=0)
    for hours in ([9], [11], [14]):  # 10:00 and 11:00 are an hour apart: the machine would still have run
        sampled(row, hours=hours, days=1, until=day + DAY)
    found = facts_module.runs([row], since=day, until=day + DAY)[row.id]
    at = day + timedelta(hours=9)
    assert found == [
        Interval(at, at + timedelta(hours=4)),
        Interval(at + timedelta(hours=5), at + timedelta(hours=7)),
    ]


def test_a_machine_that_nobody_uses_is_advised_to_end_and_nothing_else(world):
    row = stopped(world)
    running = machine(world, owner=world.lead, running_mode="ALWAYS_ON")
    sampled(running, hours=[], days=29, always=True)
    unseen = machine(world, owner=world.admin, running_mode="ALWAYS_ON")
    recent = stopped(world, days=13, owner=world.finance)
    advised()
    end = ("IDLE", "TERMINATE", {}, "OPEN")
    assert standing(row) == standing(running) == [end]
    assert standing(unseen) == standing(recent) == []
    advice = Advice.objects.get(workspace=row)
    assert (advice.saving_amount, advice.confidence) == (Decimal("9.75"), "HIGH")
    assert advice.evidence["ever_connected"] is False
    assert Advice.objects.get(workspace=running).saving_amount == Decimal(35)


def test_keep_alive_and_leases_are_said_instead_of_advised(world):
    kept, leased = stopped(world), stopped(world, owner=world.lead)
    WorkSpace.objects.filter(pk=kept.pk).update(keep_alive=True, keep_alive_until=NOW + 9 * DAY)
    lease(leased, NOW + DAY)
    figures = advised()
    assert (figures["opened"], figures["held"]) == (0, 2)
    advice = Advice.objects.get(workspace=kept)
    assert (advice.status, advice.snoozed_until) == ("SNOOZED", NOW + 9 * DAY)
    assert advice.reason == "It is kept alive until 2026-04-22 06:30 UTC."
    assert Advice.objects.get(workspace=leased).reason == "A work lease holds it until 2026-04-14 06:30 UTC."
    WorkSpace.objects.filter(pk=kept.pk).update(keep_alive_until=NOW + 5 * DAY)
    advised(NOW + 2 * DAY)
    assert {one.workspace_id: one.status for one in Advice.objects.all()} == {kept.id: "SNOOZED", leased.id: "OPEN"}
    assert Advice.objects.get(workspace=kept).snoozed_until == NOW + 5 * DAY
    WorkSpace.objects.filter(pk=kept.pk).update(keep_alive=False)
    advised(NOW + 3 * DAY)
    assert told(Advice.objects.get(workspace=kept)) == [("ADVICE_OPEN", "JOB"), ("ADVICE_OPEN", "JOB")]
    lease(leased, NOW + 9 * DAY)
    advised(NOW + 4 * DAY)
    assert told(Advice.objects.get(workspace=leased))[-1] == ("ADVICE_SNOOZE", "JOB")


def test_a_machine_that_runs_on_unattended_is_advised_to_stop(world):
    row = machine(world, since=NOW - 3 * DAY)
    sampled(row, hours=[], days=3, always=True)
    advised()
    assert standing(row) == [("IDLE", "STOP", {}, "OPEN")]
    advice = Advice.objects.get()
    assert advice.evidence["unused_hours"] == 73  # of three days from half past to half past
    assert advice.saving_amount == (Decimal("0.3") * 73 * 730 / 336).quantize(Decimal("0.000001"))
    lease(row, NOW + DAY)
    advised()
    assert Advice.objects.get().status == "SNOOZED"


def test_what_was_dismissed_comes_back_only_as_another_proposal(world):
    row = machine(world, bundle_type="PERFORMANCE")
    sampled(row, memory=35.0)
    advised()
    Advice.objects.update(status="DISMISSED", reason="it is needed", decided_at=NOW)
    assert advised(NOW + timedelta(hours=1))["opened"] == 0
    assert standing(row) == [(*TO_STANDARD[:3], "DISMISSED")]
    sampled(row, hours=range(13, 20), cpu=99.0, memory=95.0, until=NOW)
    assert advised(NOW + timedelta(hours=2))["opened"] == 0  # the blueprint offers nothing larger
    assert standing(row) == [(*TO_STANDARD[:3], "DISMISSED")]
    larger = factories.BlueprintFactory(organization=world.organization, team=world.team, bundle=None, status="DRAFT")
    for bundle in ("PERFORMANCE", "POWER"):
        factories.BlueprintBundleFactory(blueprint=larger, bundle_type=bundle)
    WorkSpace.objects.filter(pk=row.pk).update(blueprint=factories.publish(larger))
    advised(NOW + timedelta(hours=3))
    assert [one[2:] for one in standing(row)] == [
        ({"bundle_type": "STANDARD"}, "OBSOLETE"), ({"bundle_type": "POWER"}, "OPEN"),
    ]  # fmt: skip


def test_what_no_longer_holds_is_obsolete_and_a_snooze_ends(world):
    used, ended, snoozed = stopped(world), stopped(world, owner=world.lead), stopped(world, owner=world.admin)
    advised()
    Advice.objects.filter(workspace=snoozed).update(
        status="SNOOZED", reason="later", decided_at=NOW, decided_by=world.admin, snoozed_until=NOW + 2 * DAY
    )
    WorkSpace.objects.filter(pk=used.pk).update(last_connected_at=NOW - DAY)
    WorkSpace.objects.filter(pk=ended.pk).update(state="TERMINATED", terminated_at=NOW)
    assert advised(NOW + DAY)["obsolete"] == 2
    by_machine = {one.workspace_id: one for one in Advice.objects.all()}
    assert (by_machine[used.id].status, by_machine[used.id].reason) == ("OBSOLETE", "It holds no longer.")
    assert (by_machine[ended.id].status, by_machine[ended.id].reason) == ("OBSOLETE", "The machine has ended.")
    assert by_machine[snoozed.id].status == "SNOOZED"
    assert told(by_machine[ended.id]) == [("ADVICE_OPEN", "JOB"), ("ADVICE_OBSOLETE", "JOB")]
    advised(NOW + 2 * DAY)
    assert Advice.objects.get(workspace=snoozed).status == "OPEN"


def test_small_savings_quarantined_machines_and_dry_runs_leave_nothing(world, settings):
    row = stopped(world)
    nothing = dict.fromkeys(advised(dry_run=True), 0)
    assert advised(dry_run=True) == nothing | {"machines": 1, "proposals": 1, "after": None}
    assert not Advice.objects.exists()
    settings.FORGE_ADVICE_LEAST_SAVING = 10
    assert advised()["proposals"] == 0
    settings.FORGE_ADVICE_LEAST_SAVING = 9
    WorkSpace.objects.filter(pk=row.pk).update(quarantined_at=NOW)
    assert advised()["proposals"] == 0
    WorkSpace.objects.filter(pk=row.pk).update(quarantined_at=None)
    factories.WorkSpaceFactory(organization=world.organization, history=[(NOW, "PENDING")], launched_at=None)
    assert advised(chunk=1)["opened"] == 1
    Advice.objects.update(status="OBSOLETE", reason="x", decided_at=NOW)
    Advice.objects.create(
        id=uuid7(), organization=world.organization, workspace=row, kind="IDLE", action="TERMINATE", status="DISMISSED",
        reason="no", decided_at=NOW, saving_amount=1, currency="USD", price_ids=[], confidence="LOW", confirmed_at=NOW,
    )  # fmt: skip
    assert advised()["opened"] == 0


def test_the_job_walks_along_all_machines_a_stretch_at_a_time_and_once_a_day(world, monkeypatch):
    monkeypatch.setattr(sweep, "STRETCH", 2)
    rows = sorted((stopped(world, owner=UserFactory(organization=world.organization)) for _ in range(5)), key=by_id)
    runs = [job(NOW + n * SLOT) for n in range(4)]
    assert [run["machines"] for run in runs] == [2, 2, 1, 0]
    assert [run["after"] for run in runs] == [str(rows[1].id), str(rows[3].id), None, None]
    assert all(standing(row) == [TO_END] for row in rows)
    assert job(NOW + DAY)["machines"] == 2


def test_a_run_that_is_killed_leaves_its_stretch_to_the_next(world, monkeypatch):
    monkeypatch.setattr(sweep, "STRETCH", 2)
    rows = [stopped(world, owner=UserFactory(organization=world.organization)) for _ in range(3)]
    job(NOW)

    def killed(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sweep.keeping, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            job(NOW + SLOT)
    assert job(NOW + 2 * SLOT)["machines"] == 1
    assert all(standing(row) == [TO_END] for row in rows)


def test_a_machine_that_cannot_be_judged_keeps_no_other_from_it(world, monkeypatch):
    rows = sorted((stopped(world, owner=UserFactory(organization=world.organization)) for _ in range(3)), key=by_id)
    monkeypatch.setattr(sweep, "STRETCH", 2)
    real = sweep.judging.judge

    def judge(facts, **options):
        if facts.machine.id == rows[0].id:
            raise ZeroDivisionError
        return real(facts, **options)

    monkeypatch.setattr(sweep.judging, "judge", judge)
    with pytest.raises(JobFault, match=str(rows[0].id)):
        job(NOW)
    assert JobRun.objects.get(job="advise_costs").outcome == "FAILED"
    assert job(NOW + SLOT)["after"] is None
    assert [standing(row) for row in rows] == [[], [TO_END], [TO_END]]


def job(now):
    """A tick of the job."""
    return run_job(sweep.JOB, now, SLOT, lambda: sweep.go_on(now=now))


def by_id(row):
    return row.id
