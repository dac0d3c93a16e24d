"""Machines of people who are switched off: barred, stopped, kept, handed over and given back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import User
from forge.accounts.services import set_active
from forge.outbox import sending
from forge.outbox.models import Mail, WebhookDelivery
from tests import factories
from tests.forge.db.conftest import at_once
from tests.forge.outbox.webhooks.support import webhook
from tests.workspaces.support import WORKSPACES, client_of, launch, machine, problem
from tests.world import actor
from workspaces import services
from workspaces.guards import CredentialsExpired
from workspaces.leavers import holding
from workspaces.leavers import sweep as leavers
from workspaces.leavers.sweep import LeaversFailed, look_after_leavers
from workspaces.models import Quarantine, WorkSpace
from workspaces.services.calling_off import EndUnderWay
from workspaces.services.control import InQuarantine
from workspaces.services.keeping import KeepAliveOutOfRange

DAY = timedelta(days=1)
JOB = Actor.job("quarantine_leavers")


@pytest.fixture
def running(world, simulator, clock):
    assert clock.finish(launch(world, clock)).status == "succeeded"
    return machine()


def switch(world, *, is_active):
    set_active(actor=actor(world.admin), user=User.objects.get(pk=world.engineer.pk), is_active=is_active)


def sweep(clock):
    return {name: count for name, count in look_after_leavers(now=clock.now).items() if count}


@pytest.fixture
def left(world, running, clock):
    """The engineer has left, and the machine rests."""
    switch(world, is_active=False)
    assert sweep(clock) == {"quarantined": 1, "stopped": 1}
    for _ in range(4):
        clock.work(seconds=400)
    assert machine().state == "STOPPED"
    return machine()


def hand_over(world, clock, *, heir=None, until=None, by=None):
    return holding.hand_over(
        actor=actor(by or world.admin),
        workspace_id=machine().pk,
        heir_email=(heir or world.lead).email,
        until=until or clock.now + 20 * DAY,
        reason="the sources of the parser",
        now=clock.now,
    )


def test_the_machine_of_somebody_who_is_switched_off_is_barred_stopped_and_kept(world, left, clock, simulator):
    assert left.quarantined_at is not None
    assert (left.keep_alive, left.keep_alive_reason) == (True, holding.REASON)
    held = Quarantine.objects.get()
    assert (held.heir, held.kept_until) == (world.lead, left.keep_alive_until)
    assert held.kept_until == held.began_at + 30 * DAY
    [row] = simulator.control.machines()
    assert row["state"] == "STOPPED"
    entry = AuditLog.objects.get(action_type="WORKSPACE_QUARANTINE")
    assert (entry.actor_kind, entry.resource_id) == ("JOB", str(left.id))
    assert world.engineer.email not in str(entry.changes) + str(entry.context) + entry.action_description


def test_nobody_uses_a_machine_in_quarantine_not_even_an_admin(world, left, clock):
    admin = client_of(world.admin)
    shown = admin.get(f"{WORKSPACES}{left.pk}/").json()
    assert shown["quarantined_at"] is not None
    assert set(shown["actions"]) == {"keep-alive", "extend", "terminate", "tag"}
    for verb in ("start", "rebuild", "restore", "connect"):
        answer = admin.post(f"{WORKSPACES}{left.pk}/{verb}/", {}, format="json")
        refusal = problem(answer, 409, "machine_quarantined")
        assert "start" not in refusal["legal"]
    for verb in ("start", "rebuild"):
        with pytest.raises(InQuarantine):
            getattr(services, verb)(actor=actor(world.lead), workspace_id=left.pk, now=clock.now)
    assert machine().state == "STOPPED"


def test_a_machine_that_somebody_started_by_the_client_of_aws_is_stopped_again(world, left, clock):
    WorkSpace.objects.update(state="STARTING", state_since=clock.now)
    WorkSpace.objects.update(state="AVAILABLE", state_since=clock.now)
    assert sweep(clock) == {"stopped": 1}


def test_another_run_does_nothing_twice(world, left, clock):
    entries = AuditLog.objects.count()
    assert sweep(clock) == {}
    assert (AuditLog.objects.count(), Quarantine.objects.count()) == (entries, 1)


def test_many_runs_at_once_make_one_quarantine_and_one_mail(world, running, clock):
    switch(world, is_active=False)
    at_once(4, lambda _: look_after_leavers(now=clock.now))
    assert Quarantine.objects.count() == 1
    assert Mail.objects.filter(kind="workspace.quarantined").count() == 1
    assert AuditLog.objects.filter(action_type="WORKSPACE_QUARANTINE").count() == 1


def test_without_its_audit_entry_nothing_is_barred_and_nothing_kept(world, running, clock, monkeypatch):
    switch(world, is_active=False)

    def fail(**kwargs):
        raise ConnectionError

    monkeypatch.setattr(holding, "record", fail)
    with pytest.raises(LeaversFailed, match="ConnectionError"):
        look_after_leavers(now=clock.now)
    assert (machine().quarantined_at, machine().keep_alive) == (None, False)
    assert not Quarantine.objects.exists()
    assert not Mail.objects.filter(kind="workspace.quarantined").exists()


def test_one_machine_that_fails_keeps_no_other_from_its_turn(world, running, clock, monkeypatch):
    other = factories.UserFactory(organization=world.organization, is_active=False)
    factories.WorkSpaceFactory(
        organization=world.organization, owner=other, team=world.team, history=[(clock.now - DAY, "PENDING")]
    )
    switch(world, is_active=False)
    begin = holding.begin

    def break_for_one(*, workspace_id, **more):
        if workspace_id == running.pk:
            raise ValueError("broken")
        return begin(workspace_id=workspace_id, **more)

    monkeypatch.setattr(holding, "begin", break_for_one)
    with pytest.raises(LeaversFailed, match=str(running.pk)) as caught:
        look_after_leavers(now=clock.now)
    assert (caught.value.figures["quarantined"], caught.value.figures["failed"]) == (1, 1)


def test_those_that_cannot_be_done_take_no_place_from_those_that_can(world, running, clock, monkeypatch):
    monkeypatch.setattr(leavers, "AT_MOST", 2)
    monkeypatch.setattr(leavers, "PAGE", 2)
    people = [factories.UserFactory(organization=world.organization, is_active=False) for _ in range(8)]
    machines = [
        factories.WorkSpaceFactory(
            organization=world.organization,
            owner=one,
            team=world.team,
            history=[(clock.now - DAY, "PENDING")],
            directory_user=f"leaver-{number}",
        )
        for number, one in enumerate(people)
    ]
    bad = sorted(machine.pk for machine in machines)[:5]
    begin = holding.begin

    def break_for_some(*, workspace_id, **more):
        if workspace_id in bad[:3]:
            raise ValueError("broken")
        if workspace_id in bad:
            raise EndUnderWay("ending")
        return begin(workspace_id=workspace_id, **more)

    monkeypatch.setattr(holding, "begin", break_for_some)
    for expected in (2, 1, 0):
        with pytest.raises(LeaversFailed, match="3 faults") as caught:
            look_after_leavers(now=clock.now)
        assert (caught.value.figures["quarantined"], caught.value.figures["failed"]) == (expected, 3)
    assert not Quarantine.objects.filter(workspace__in=bad).exists()


def test_a_longer_keep_alive_stays_as_it_is(world, running, clock):
    until = clock.now + 100 * DAY
    services.keep_alive(actor=actor(world.lead), workspace_id=running.pk, until=until, reason="release", now=clock.now)
    switch(world, is_active=False)
    sweep(clock)
    assert (machine().keep_alive_until, machine().keep_alive_reason) == (until, "release")
    switch(world, is_active=True)
    assert sweep(clock)["released"] == 1
    assert machine().keep_alive_until == until


def test_who_comes_back_gets_the_machine_back(world, left, clock):
    switch(world, is_active=True)
    assert sweep(clock) == {"released": 1}
    row = machine()
    assert (row.quarantined_at, row.keep_alive) == (None, False)
    assert Quarantine.objects.get().outcome == "RETURNED"
    assert AuditLog.objects.filter(action_type="WORKSPACE_QUARANTINE_END").count() == 1
    assert services.start(actor=actor(world.engineer), workspace_id=row.pk, now=clock.now).operation.status == "queued"


def test_the_books_of_a_machine_that_has_ended_are_closed(world, left, clock):
    operation = services.terminate(actor=actor(world.lead), workspace_id=left.pk, now=clock.now).operation
    assert clock.finish(operation).status == "succeeded"
    assert sweep(clock) == {"released": 1}
    assert Quarantine.objects.get().outcome == "MACHINE_ENDED"


def test_the_lead_is_told_and_once_more_a_week_before_the_end(world, left, clock, mailoutbox):
    sending.send(now=clock.now)
    [message] = [mail for mail in mailoutbox if "quarantine" in mail.subject]
    assert message.to == [world.lead.email]
    assert "ask an admin to hand it over" in message.body
    mailoutbox.clear()
    clock.now += 22 * DAY
    assert sweep(clock) == {}
    clock.now += DAY + timedelta(hours=1)
    assert sweep(clock) == {"reminded": 1}
    assert sweep(clock) == {}
    sending.send(now=clock.now)
    [message] = mailoutbox
    assert (message.to, "for a few days more" in message.body) == ([world.lead.email], True)


def test_without_a_lead_the_admins_are_told(world, running, clock, mailoutbox):
    User.objects.filter(pk=world.lead.pk).update(is_active=False)
    switch(world, is_active=False)
    sweep(clock)
    assert Quarantine.objects.get().heir is None
    sending.send(now=clock.now)
    assert [mail.to for mail in mailoutbox if "quarantine" in mail.subject] == [[world.admin.email]]


def test_webhooks_are_told_of_a_machine_that_nobody_is_there_to_be_told_of(world, running, clock):
    hook = webhook(organization_id=world.organization.id, kinds=["workspace.quarantined"])
    User.objects.filter(pk__in=[world.engineer.pk, world.lead.pk, world.admin.pk]).update(is_active=False)
    sweep(clock)
    assert not Mail.objects.filter(kind="workspace.quarantined").exists()
    assert WebhookDelivery.objects.get(webhook=hook).kind == "workspace.quarantined"


# -- Handing over ----------------------------------------------------------------------------------------------------


def test_the_heir_may_use_the_machine_until_the_time_and_not_after(world, left, clock, mailoutbox):
    until = clock.now + 20 * DAY
    hand_over(world, clock, until=until)
    row = machine()
    assert (row.quarantined_at, row.keep_alive_until) == (None, until)
    operation = services.start(actor=actor(world.lead), workspace_id=row.pk, now=clock.now).operation
    assert clock.finish(operation).status == "succeeded"
    sending.send(now=clock.now)
    [message] = [mail for mail in mailoutbox if "handed over" in mail.subject]
    assert message.to == [world.lead.email]
    assert f"set a new password for {row.directory_user}" in message.body
    assert row.connection_url.partition("registrationCode=")[2] in message.body

    clock.now = until
    assert sweep(clock) == {"barred_again": 1, "stopped": 1, "reminded": 1}
    assert machine().quarantined_at == until
    with pytest.raises(InQuarantine):
        services.start(actor=actor(world.lead), workspace_id=row.pk, now=clock.now)


def test_without_a_hand_over_the_guards_refuse_the_start_for_an_owner_who_is_off(world, left, clock):
    WorkSpace.objects.update(quarantined_at=None)
    with pytest.raises(CredentialsExpired):
        services.start(actor=actor(world.lead), workspace_id=left.pk, now=clock.now)


def test_admins_hand_over_and_the_log_says_to_whom(world, left, clock):
    client = client_of(world.admin)
    body = {"heir": world.lead.email, "until": (clock.now + 20 * DAY).isoformat(), "reason": "the parser"}
    answer = client.post(f"{WORKSPACES}{left.pk}/hand-over/", body, format="json")
    assert (answer.status_code, answer.json()["quarantined_at"]) == (200, None)
    [held] = client.get(f"{WORKSPACES}{left.pk}/quarantines/").json()
    assert (held["heir"], held["is_handed_over"], held["ended_at"]) == (world.lead.email, True, None)
    entry = AuditLog.objects.get(action_type="WORKSPACE_HAND_OVER")
    assert (entry.user_id, entry.changes["after"]["heir_id"]) == (world.admin.id, str(world.lead.id))
    assert "the parser" in str(entry.personal)
    assert "the parser" not in str(entry.context) + str(entry.changes) + entry.action_description


def test_nobody_else_hands_over(world, left, clock):
    for person in (world.lead, world.auditor, world.finance):
        with pytest.raises(holding.MayNotHandOver):
            hand_over(world, clock, by=person)
    assert machine().quarantined_at is not None


def test_an_heir_is_somebody_who_may_control_the_machine(world, left, clock):
    colleague = factories.MembershipFactory(user__organization=world.organization, team=world.team).user
    gone = factories.UserFactory(organization=world.organization, is_active=False)
    stranger = factories.UserFactory()
    for heir, refusal in (
        (colleague, holding.HeirCannotUseIt),
        (gone, holding.UnknownHeir),
        (stranger, holding.UnknownHeir),
        (world.engineer, holding.UnknownHeir),
    ):
        with pytest.raises(refusal):
            hand_over(world, clock, heir=heir)
    assert Quarantine.objects.get().handed_over_at is None
    assert machine().keep_alive_until == Quarantine.objects.get().kept_until


@pytest.mark.parametrize("days", [-1, 366])
def test_a_time_that_is_over_or_too_far_is_refused(world, left, clock, days):
    with pytest.raises(KeepAliveOutOfRange):
        hand_over(world, clock, until=clock.now + days * DAY)


def test_a_machine_in_use_is_not_handed_over(world, running, clock):
    with pytest.raises(holding.NotInQuarantine):
        hand_over(world, clock)


def test_postgresql_refuses_a_second_open_quarantine_and_a_hand_over_to_nobody(world, left):
    held = Quarantine.objects.get()
    with pytest.raises(IntegrityError):
        Quarantine.objects.create(
            organization=world.organization, workspace=left, began_at=held.began_at, kept_until=held.kept_until
        )
    with pytest.raises(IntegrityError):
        Quarantine.objects.update(handed_over_at=held.began_at, hand_over_reason="x", heir=None)


def test_the_console_shows_the_reason_and_hands_over(world, left, clock, client, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("whitenoise")]
    client.force_login(world.admin)
    page = f"/admin/workspaces/workspace/{left.pk}/change/"
    assert "In quarantine, nobody uses it" in client.get(page).content.decode()
    assert str(left.pk) in client.get("/admin/workspaces/workspace/", {"quarantine": "yes"}).content.decode()
    assert left.name in client.get("/admin/workspaces/quarantine/").content.decode()
    fields = {"heir": world.lead.email, "days": "5", "reason": "the parser"}
    client.post(f"/admin/workspaces/workspace/{left.pk}/do/hand-over/", fields)
    assert "Handed over" in client.get(page).content.decode()
    assert machine().quarantined_at is None


def test_the_console_offers_no_button_that_is_refused_in_a_quarantine(world, left, client):
    client.force_login(world.admin)
    page = client.get(f"/admin/workspaces/workspace/{left.pk}/change/").content.decode()
    offered = set(re.findall(r"/do/([a-z-]+)/", page))
    assert offered == {"keep-alive", "let-go", "extend", "terminate", "tag", "hand-over"}
    answer = client.get(f"/admin/workspaces/workspace/{left.pk}/do/lease/", follow=True)
    assert "Work lease" not in answer.content.decode()


def test_the_command_says_what_is_due_and_does_it(world, running, clock, capsys):
    switch(world, is_active=False)
    call_command("quarantine_leavers", dry_run=True, json=True)
    assert '"quarantined": 1' in capsys.readouterr().out
    assert not Quarantine.objects.exists()
    call_command("quarantine_leavers")
    assert "quarantined 1" in capsys.readouterr().out
    assert AuditLog.objects.get(action_type="WORKSPACE_QUARANTINE").actor_kind == "COMMAND"
