"""Whoever asks when a machine's lifetime ends is told the end in force, not the one that the machine had agreed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from forge.outbox import sending
from tests.workspaces.rules.support import fresh, machine
from tests.workspaces.support import WORKSPACES, client_of, launch, problem
from tests.workspaces.support import machine as launched
from tests.world import actor, engineers
from workspaces.rules.policies import create_policy

DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def policy(world, at, **scope_and_days):
    days = scope_and_days.pop("days", 10)
    create_policy(
        actor=actor(world.admin),
        organization=world.organization,
        ceilings={"lifetime_days": days},
        now=at,
        **scope_and_days,
    )


def told(at):
    return f"{at:%Y-%m-%d %H:%M} UTC"


def test_the_ready_mail_tells_it(world, simulator, clock, mailoutbox):
    policy(world, clock.now - DAY)
    clock.finish(launch(world, clock))
    sending.send(now=clock.now + timedelta(minutes=1))
    [message] = mailoutbox
    assert f"Its lifetime ends at {told(launched().created_at + 10 * DAY)}" in message.body


def test_the_detail_and_each_row_of_a_list_tell_it(world, now):
    first, *others = engineers(world, 4)
    policy(world, now - 9 * DAY, days=20)
    policy(world, now - 9 * DAY, blueprint_name=world.blueprint.name)
    launched_at = now - DAY
    one = machine(world, owner=first, since=launched_at, created_at=launched_at)
    for owner in others:
        machine(world, owner=owner, since=launched_at, created_at=launched_at)
    client = client_of(world.admin)
    rows = client.get(WORKSPACES).json()["results"]
    assert {datetime.fromisoformat(row["lifetime_end"]) for row in rows} == {launched_at + 10 * DAY}
    shown = client.get(f"{WORKSPACES}{one.pk}/").json()
    why = client.get(f"{WORKSPACES}{one.pk}/why/").json()
    assert shown["lifetime_end"] == why["lifetime_end"] == rows[0]["lifetime_end"]


def test_an_extension_beyond_the_ceiling_is_refused_by_it_however_long_the_machines_own(world, now):
    target = machine(world, since=now, created_at=now, max_lifetime_days=90)
    policy(world, now - DAY)
    body = {"until": (now + 60 * DAY).isoformat(), "reason": "r"}
    answer = client_of(world.engineer).post(f"{WORKSPACES}{target.pk}/extend/", body, format="json")
    refused = problem(answer, 422, "extension_out_of_range")
    assert refused["detail"] == "It may last 10 days at most (organization)."
    assert datetime.fromisoformat(refused["lifetime_end"]) == target.created_at + 10 * DAY


def test_an_extension_within_what_is_there_is_told_the_end_in_force(world, now):
    target = machine(world, since=now, created_at=now, max_lifetime_days=90)
    policy(world, now - DAY)
    body = {"until": (now + 5 * DAY).isoformat(), "reason": "r"}
    answer = client_of(world.engineer).post(f"{WORKSPACES}{target.pk}/extend/", body, format="json")
    assert told(target.created_at + 10 * DAY) in problem(answer, 422, "extension_out_of_range")["detail"]


def test_the_button_of_the_console_tells_it(world, now, client):
    target = machine(world, since=now, created_at=now, max_lifetime_days=90)
    policy(world, now - DAY)
    client.force_login(world.admin)
    page = client.get(f"/admin/workspaces/workspace/{target.pk}/do/extend/").content.decode()
    assert f"ends at {told(fresh(target).created_at + 10 * DAY)} now" in page
