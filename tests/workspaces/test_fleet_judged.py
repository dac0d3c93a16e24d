"""Adopting: the dry run says of each machine what the run does, and both go by what is so now."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from costs.models import Price
from forge.accounts.models import Membership
from forge.operations.runner import run_due
from tests import factories
from tests.workspaces.support import client_of, fresh, problem
from tests.workspaces.test_fleet import UNMANAGED, cloud, look, person
from tests.world import actor
from workspaces import services
from workspaces.fleet import adopting
from workspaces.fleet.taking import NotAdoptable, Wish
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.resizing import TooSoon

__all__ = ["cloud"]


def fleet(world, cloud, simulator, *names):
    """Machines of people with these names, seen."""
    for name in names:
        person(world, name)
        cloud.launch(name)
    look(simulator)


def preview(world, *, account=None, wish=None):
    return adopting.preview(
        actor=actor(world.admin), account=account or world.account, wish=wish or Wish(), now=timezone.now()
    )


def run(world, *, wish=None):
    """The result of taking over the fleet of the world's account."""
    now = timezone.now()
    operation = adopting.ask(actor=actor(world.admin), account=world.account, wish=wish or Wish(), now=now)
    run_due(limit=10, now=now)
    assert fresh(operation).status == "succeeded", fresh(operation).error
    return fresh(operation).result


def agreed(world, **how):
    told = preview(world, **how)
    done = run(world, **how)
    assert (told["would_adopt"], told["refused"], told["refusals"]) == (
        done["adopted"],
        done["refused"],
        done["refusals"],
    )
    return done


def adopt(world, machine, **wish):
    return adopting.adopt(actor=actor(world.admin), machine_id=machine.id, wish=Wish(**wish), now=timezone.now())


def test_the_dry_run_asks_the_guards(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann", "bea")
    Price.objects.all().delete()
    machines = UnmanagedMachine.objects.all()
    refused = {str(one.id): "price_missing" for one in machines}
    assert agreed(world) == {"adopted": 0, "refused": refused, "refusals": 2}


def test_the_dry_run_knows_the_row_that_stands_in_the_way(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann", "bea", "cyd")
    ann, bea = (UnmanagedMachine.objects.get(directory_user=name) for name in ("ann", "bea"))
    account = {"provider_account": world.account, "directory_id": ann.directory_id, "region": world.account.region}
    ended = [(timezone.now(), state) for state in ("PENDING", "AVAILABLE", "TERMINATING", "TERMINATED")]
    facts = {"organization": world.organization, "team": world.team, "owner": world.engineer, **account}
    factories.WorkSpaceFactory(directory_user="somebody", provider_id=ann.provider_id, history=ended, **facts)
    factories.WorkSpaceFactory(directory_user="BEA", provider_id="ws-000000000", **facts)
    done = agreed(world)
    assert done["adopted"] + done["refusals"] == 3
    assert done["refused"][str(bea.id)] == "machine_exists"


def test_the_dry_run_goes_by_teams_of_now(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann", "bea")
    Membership.objects.filter(user__directory_username="ann").delete()
    ann = UnmanagedMachine.objects.get(directory_user="ann")
    assert agreed(world) == {"adopted": 1, "refused": {str(ann.id): "not_adoptable"}, "refusals": 1}


def test_the_dry_run_takes_as_many_queries_for_many_as_for_few(world, cloud, simulator):
    counts = []
    for names in (("ann", "bea"), ("cyd", "dan", "eve", "fay", "gus")):
        fleet(world, cloud, simulator, *names)
        with CaptureQueriesContext(connection) as asked:
            preview(world)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_the_dry_run_changes_nothing(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann")
    with CaptureQueriesContext(connection) as asked:
        preview(world)
    assert {query["sql"].lstrip().split()[0] for query in asked} == {"SELECT"}


def test_the_console_says_what_would_be_refused(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann", "bea")
    Price.objects.all().delete()
    body = {"provider_account": str(world.account.id)}
    told = client_of(world.admin).post(f"{UNMANAGED}adopt/?dry_run=true", body, format="json").json()
    assert (told["would_adopt"], told["would_leave"], told["refusals"]) == (0, 2, 2)


# -- A directory that several accounts have --------------------------------------------------------------------------
def second(world):
    """Another account with the same directory, switched off: one of a region is on."""
    first = world.account
    names = ("organization", "kind", "account", "region", "directory_id", "subnets")
    facts = {name: getattr(first, name) for name in names}
    return ProviderAccount.objects.create(name="second", enabled=False, **facts)


def listed():
    return list(UnmanagedMachine.objects.standing().values_list("provider_account__name", flat=True))


def test_a_machine_that_two_accounts_show_stands_in_the_list_once(world, cloud, simulator):
    other = second(world)
    fleet(world, cloud, simulator, "ann")
    assert listed() == [world.account.name]
    assert [preview(world, account=one)["would_adopt"] for one in (world.account, other)] == [1, 0]
    assert reconcile(now=timezone.now(), dry_run=True)["unmanaged"] == 1


def test_it_moves_to_the_account_that_is_switched_on(world, cloud, simulator):
    other = second(world)
    fleet(world, cloud, simulator, "ann")
    ProviderAccount.objects.filter(pk=world.account.pk).update(enabled=False)
    look(simulator)
    assert listed() == [world.account.name]
    ProviderAccount.objects.filter(pk=other.pk).update(enabled=True)
    look(simulator)
    assert listed() == ["second"]
    assert adopt(world, UnmanagedMachine.objects.standing().get()).provider_account == other
    look(simulator)
    assert listed() == []


def test_no_machine_is_adopted_into_an_account_that_is_switched_off(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann")
    ProviderAccount.objects.update(enabled=False)
    found = UnmanagedMachine.objects.get()
    refusal = problem(client_of(world.admin).post(f"{UNMANAGED}{found.id}/adopt/"), 422, "not_adoptable")
    assert "switched off" in refusal["detail"]
    assert agreed(world)["refusals"] == 1


# -- Whose it is now ---------------------------------------------------------------------------------------------------
def test_the_team_that_the_owner_is_in_now_pays(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann")
    other = factories.TeamFactory(organization=world.organization)
    Membership.objects.filter(user__directory_username="ann").update(team=other)
    assert adopt(world, UnmanagedMachine.objects.get()).team == other


def test_a_team_that_changes_under_ones_hands_is_not_charged(world, cloud, simulator, monkeypatch):
    fleet(world, cloud, simulator, "ann")
    other = factories.TeamFactory(organization=world.organization)
    lock = adopting.lock_scopes

    def moving(**scopes):
        lock(**scopes)
        Membership.objects.filter(user__directory_username="ann").update(team=other)

    monkeypatch.setattr(adopting, "lock_scopes", moving)
    with pytest.raises(NotAdoptable, match="changed just now"):
        adopt(world, UnmanagedMachine.objects.get())
    assert not WorkSpace.objects.exists()


# -- What nobody foresaw -----------------------------------------------------------------------------------------------
def test_a_machine_that_the_database_refuses_keeps_no_other_from_its_turn(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann", "bea", "cyd")
    bad = UnmanagedMachine.objects.order_by("id").first()
    UnmanagedMachine.objects.filter(pk=bad.pk).update(auto_stop_minutes=5)  # a row takes 15 and more
    assert run(world) == {"adopted": 2, "refused": {str(bad.id): "unexpected_error"}, "refusals": 1}
    assert UnmanagedMachine.objects.standing().get() == bad


def test_refusals_beyond_those_that_are_named_are_counted(world, cloud, simulator, monkeypatch):
    monkeypatch.setattr("workspaces.fleet.taking.SHOWN_REFUSALS", 2)
    monkeypatch.setattr("workspaces.handlers.adopting.BATCH", 2)
    monkeypatch.setattr("workspaces.handlers.adopting.STRETCH_SECONDS", 0)
    fleet(world, cloud, simulator, "ann", "bea", "cyd", "dan", "eve")
    Price.objects.all().delete()
    done = agreed(world)
    assert (len(done["refused"]), done["refusals"]) == (2, 5)


# -- AWS's own rests --
def test_an_adopted_machine_may_become_larger_at_once_and_then_rests(world, cloud, simulator, clock):
    fleet(world, cloud, simulator, "ann")
    made = adopt(world, UnmanagedMachine.objects.get())
    assert made.state == State.STOPPED
    WorkSpace.objects.update(blueprint=world.blueprint)  # its own offers the one bundle that was adopted
    admin = actor(world.admin)

    def enlarge(bundle_type):
        wanted = {"bundle_type": bundle_type}
        return services.modify(actor=admin, workspace_id=made.pk, wanted=wanted, now=clock.now)

    clock.now = timezone.now()
    simulator.control.advance(7 * 3600)
    assert clock.finish(enlarge("PERFORMANCE").operation).status == "succeeded"
    with pytest.raises(TooSoon):
        enlarge("POWER")
