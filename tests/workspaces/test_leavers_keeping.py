"""What a quarantine does to a keep-alive that a person had asked for: it is put aside, given back, never shortened."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditLog
from tests.workspaces.support import machine
from tests.workspaces.test_leavers import DAY, hand_over, running, switch
from tests.world import actor
from workspaces import services
from workspaces.leavers import holding
from workspaces.leavers import sweep as leavers
from workspaces.leavers.sweep import look_after_leavers
from workspaces.models import Quarantine, WorkSpace
from workspaces.rules import policies
from workspaces.services.control import start
from workspaces.services.keeping import KeepAliveOutOfRange

__all__ = ["running"]


def kept(world, clock, *, days=20, by=None, reason="thesis"):
    until = clock.now + days * DAY
    services.keep_alive(
        actor=actor(by or world.engineer), workspace_id=machine().pk, until=until, reason=reason, now=clock.now
    )
    return until


def keeping():
    found = machine()
    return found.keep_alive, found.keep_alive_until, found.keep_alive_reason


def leave(world, clock):
    switch(world, is_active=False)
    look_after_leavers(now=clock.now)


def come_back(world, clock):
    switch(world, is_active=True)
    assert look_after_leavers(now=clock.now)["released"] == 1


@pytest.mark.usefixtures("running")
class TestAPersonsOwnKeepAlive:
    def test_is_given_back_with_its_reason_when_the_person_returns(self, world, clock):
        until = kept(world, clock)
        leave(world, clock)
        assert keeping() == (True, clock.now + 30 * DAY, holding.REASON)
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")
        assert machine().let_go_at is None
        entries = AuditLog.objects.filter(action_type="WORKSPACE_KEEP_ALIVE").order_by("id")
        ends = [until, clock.now + 30 * DAY, until]
        assert [one.changes["after"]["until"] for one in entries] == [at.isoformat() for at in ends]

    def test_that_ran_out_meanwhile_is_not_given_back(self, world, clock):
        kept(world, clock, days=2)
        leave(world, clock)
        clock.now += 3 * DAY
        come_back(world, clock)
        assert keeping() == (False, None, "")
        assert machine().let_go_at == clock.now

    def test_is_not_shortened_by_a_ceiling_that_came_later(self, world, clock):
        until = kept(world, clock)
        policies.create_policy(
            actor=actor(world.admin), organization=world.organization, ceilings={"keep_alive_days": 7}, now=clock.now
        )
        leave(world, clock)
        assert keeping() == (True, until, "thesis")
        assert Quarantine.objects.get().kept_until == until
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")

    def test_is_given_back_whole_though_a_ceiling_came_meanwhile(self, world, clock):
        until = kept(world, clock)
        leave(world, clock)
        policies.create_policy(
            actor=actor(world.admin), organization=world.organization, ceilings={"keep_alive_days": 7}, now=clock.now
        )
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")

    def test_longer_than_the_quarantine_stays_through_a_hand_over(self, world, clock):
        until = kept(world, clock, days=60)
        leave(world, clock)
        version = machine().version
        hand_over(world, clock, until=clock.now + 20 * DAY)
        assert keeping() == (True, until, "thesis")
        assert machine().version > version
        with pytest.raises(KeepAliveOutOfRange):
            hand_over(world, clock, until=clock.now - DAY)
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")

    def test_without_an_end_stays_through_a_hand_over(self, world, clock):
        WorkSpace.objects.update(keep_alive=True, keep_alive_until=None, keep_alive_reason="forever")
        leave(world, clock)
        hand_over(world, clock)
        come_back(world, clock)
        assert keeping() == (True, None, "forever")

    def test_is_not_shortened_by_a_shorter_hand_over(self, world, clock):
        until = kept(world, clock)
        leave(world, clock)
        hand_over(world, clock, until=clock.now + 3 * DAY)
        assert keeping() == (True, until, holding.REASON)
        assert Quarantine.objects.get().kept_until == clock.now + 3 * DAY
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")

    def test_that_is_shorter_than_a_hand_over_is_put_aside(self, world, clock):
        until = kept(world, clock, days=40)
        leave(world, clock)
        hand_over(world, clock, until=clock.now + 80 * DAY)
        assert keeping() == (True, clock.now + 80 * DAY, holding.REASON)
        come_back(world, clock)
        assert keeping() == (True, until, "thesis")

    def test_asked_for_by_another_during_the_quarantine_stays(self, world, clock):
        kept(world, clock)
        leave(world, clock)
        until = kept(world, clock, days=50, by=world.lead, reason="sources")
        come_back(world, clock)
        assert keeping() == (True, until, "sources")


def foreseen(now):
    told = look_after_leavers(now=now, dry_run=True)
    assert told == look_after_leavers(now=now)
    return {name: count for name, count in told.items() if count}


@pytest.mark.usefixtures("running")
def test_the_dry_run_counts_the_stops_of_what_it_would_bar(world, clock):
    switch(world, is_active=False)
    assert foreseen(clock.now) == {"quarantined": 1, "stopped": 1}


@pytest.mark.usefixtures("running")
def test_the_dry_run_counts_the_reminders_of_a_short_quarantine(world, clock, settings):
    settings.FORGE_QUARANTINE_DAYS = 5
    switch(world, is_active=False)
    assert foreseen(clock.now) == {"quarantined": 1, "stopped": 1, "reminded": 1}


@pytest.mark.usefixtures("running")
def test_the_dry_run_counts_those_it_would_bar_again_and_none_it_would_give_back(world, clock):
    leave(world, clock)
    clock.work(rounds=3, seconds=400)
    hand_over(world, clock, until=clock.now + 10 * DAY)
    clock.finish(start(actor=actor(world.lead), workspace_id=machine().pk, now=clock.now).operation)
    clock.now += 10 * DAY + timedelta(minutes=1)
    assert foreseen(clock.now) == {"barred_again": 1, "stopped": 1, "reminded": 1}
    clock.work(rounds=3, seconds=400)
    WorkSpace.objects.update(state="STARTING", state_since=clock.now)
    WorkSpace.objects.update(state="AVAILABLE", state_since=clock.now)
    Quarantine.objects.update(reminded_at=None)
    switch(world, is_active=True)
    assert foreseen(clock.now) == {"released": 1}


def test_the_dry_run_counts_no_more_than_a_run_does(world, running, clock, monkeypatch):
    monkeypatch.setattr(leavers, "AT_MOST", 0)
    switch(world, is_active=False)
    assert not any(look_after_leavers(now=clock.now, dry_run=True).values())
