"""Adopting looks at AWS itself: what has ended since the list was made is nobody's to take over, and costs nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Reservation
from costs.pricing import hour_of
from forge.operations.runner import run_due
from tests import factories
from tests.workspaces.support import client_of, fresh, problem
from tests.workspaces.test_admin import page, press
from tests.workspaces.test_fleet import UNMANAGED, cloud, look, person, verdicts
from tests.workspaces.test_fleet_judged import fleet, run
from tests.world import actor
from workspaces import aws
from workspaces.fleet import adopting
from workspaces.fleet.taking import Wish
from workspaces.models import UnmanagedMachine, WorkSpace

__all__ = ["cloud"]


def ask(world):
    return adopting.ask(actor=actor(world.admin), account=world.account, wish=Wish(), now=timezone.now())


def found(name):
    return UnmanagedMachine.objects.get(directory_user=name)


def describes(simulator):
    return sum(row["calls"] for row in simulator.control.traffic() if row["operation"] == "DescribeWorkspaces")


def test_what_was_ended_past_forge_since_the_last_look_is_not_taken_over(world, cloud, simulator):
    now = timezone.now()
    factories.BudgetFactory(
        organization=world.organization, scope="TEAM", scope_id=world.team.id, amount=1000,
        period_start=hour_of(now), period_end=hour_of(now) + timedelta(days=30),
    )  # fmt: skip
    fleet(world, cloud, simulator, "ann", "bea", "cyd", "dan")
    cloud.terminate(found("ann").provider_id)
    simulator.control.advance(3600)
    for name, state in (("bea", "TERMINATING"), ("cyd", "TERMINATED")):
        simulator.control.set_state(found(name).provider_id, state)
    gone = dict.fromkeys((str(found(name).id) for name in ("ann", "bea", "cyd")), "gone_from_aws")
    assert run(world) == {"adopted": 1, "refused": gone, "refusals": 3}
    made = WorkSpace.objects.get()
    assert (made.directory_user, Reservation.objects.get().workspace) == ("dan", made)
    assert AuditLog.objects.filter(action_type="WORKSPACE_ADOPT").count() == 1


def test_a_look_takes_one_call_for_25_machines_and_no_transaction(world, cloud, simulator, monkeypatch):
    fleet(world, cloud, simulator, *(f"p{number:02}" for number in range(30)))
    real, within = aws.Gateway.describe, []

    def describe(self, ids):
        within.append(connection.in_atomic_block)
        return real(self, ids)

    monkeypatch.setattr(aws.Gateway, "describe", describe)
    simulator.control.forget_traffic()
    assert run(world)["adopted"] == 30
    assert (describes(simulator), within) == (2, [False, False])


def test_looks_keep_the_rate_of_the_account_and_go_on_where_they_were_put_off(world, cloud, simulator, settings):
    fleet(world, cloud, simulator, *(f"p{number:02}" for number in range(30)))
    settings.FORGE_AWS_CALLS_PER_SECOND, settings.FORGE_AWS_CALL_BURST = 0.001, 1
    simulator.control.forget_traffic()
    operation, now = ask(world), timezone.now()
    run_due(limit=1, now=now)
    assert (fresh(operation).status, fresh(operation).error["code"]) == ("queued", "OwnRateLimit")
    assert (WorkSpace.objects.count(), describes(simulator)) == (25, 1)

    settings.FORGE_AWS_CALLS_PER_SECOND = 1000
    run_due(limit=1, now=now + timedelta(minutes=10))
    assert fresh(operation).result == {"adopted": 30, "refused": {}, "refusals": 0}
    assert (WorkSpace.objects.count(), describes(simulator)) == (30, 2)


def test_a_role_that_may_not_look_takes_nothing_over_until_it_may(world, cloud, simulator):
    fleet(world, cloud, simulator, "ann")
    simulator.control.fault("access_denied", operation="DescribeWorkspaces", rate=1)
    operation, now = ask(world), timezone.now()
    run_due(limit=1, now=now)
    failed = fresh(operation)
    assert (failed.status, failed.error["code"], failed.error["adopted"]) == ("failed", "AccessDeniedException", 0)
    told = AuditLog.objects.get(action_type="FLEET_ADOPT_OUTCOME")
    assert (told.result, told.context["code"]) == ("FAILURE", "AccessDeniedException")
    assert verdicts() == {"ann": "ADOPTABLE"}

    simulator.control.withdraw_faults()
    assert run(world)["adopted"] == 1


# -- one machine -----------------------------------------------------------------------------------------------------
def adopt(world, one, by="admin", **headers):
    return client_of(getattr(world, by)).post(f"{UNMANAGED}{one.id}/adopt/", {}, format="json", headers=headers)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}])
def test_a_single_machine_that_aws_has_ended_is_not_taken_over(world, cloud, simulator, headers):
    fleet(world, cloud, simulator, "ann")
    simulator.control.vanish(found("ann").provider_id)
    problem(adopt(world, found("ann"), **headers), 422, "gone_from_aws")
    assert not WorkSpace.objects.exists()


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}])
def test_it_is_looked_at_outside_of_any_transaction_by_admins_alone(
    world, cloud, simulator, monkeypatch, clock, headers
):
    fleet(world, cloud, simulator, "ann")
    real, within = aws.Gateway.describe, []

    def describe(self, ids):
        within.append(connection.in_atomic_block)
        return real(self, ids)

    monkeypatch.setattr(aws.Gateway, "describe", describe)
    problem(adopt(world, found("ann"), by="auditor", **headers), 403, "may_not_adopt")
    assert within == []
    client = client_of(world.admin)
    address = f"{UNMANAGED}{found('ann').id}/adopt/"
    made = client.post(address, {}, format="json", headers=headers)
    assert (made.status_code, within) == (201, [False])
    if headers:
        simulator.control.vanish(found("ann").provider_id)
        assert client.post(address, {}, format="json", headers=headers).json() == made.json()
        assert within == [False]


def test_while_aws_does_not_answer_nothing_is_taken_over(world, cloud, simulator, settings):
    fleet(world, cloud, simulator, "ann")
    simulator.control.fault("access_denied", operation="DescribeWorkspaces", count=1)
    problem(adopt(world, found("ann")), 503, "aws_unavailable")
    assert not WorkSpace.objects.exists()
    assert adopt(world, found("ann")).status_code == 201


def test_the_console_looks_too(world, cloud, simulator, settings):
    fleet(world, cloud, simulator, "ann", "bea")
    simulator.control.vanish(found("ann").provider_id)
    browser = Client()
    browser.force_login(world.admin)
    refused = browser.post(page(found("ann"), "do/adopt/"), {"max_lifetime_days": 30}, follow=True)
    assert "There is nothing to take over" in refused.content.decode()
    assert not WorkSpace.objects.exists()
    press(browser, found("bea"), "adopt", max_lifetime_days=30)
    assert WorkSpace.objects.get().directory_user == "bea"


def test_a_called_off_adoption_says_how_many_it_took_over(world, cloud, simulator, monkeypatch):
    fleet(world, cloud, simulator, *(f"p{number:02}" for number in range(30)))
    monkeypatch.setattr("workspaces.handlers.adopting.STRETCH_SECONDS", 0.0)
    operation, now = ask(world), timezone.now()
    run_due(limit=1, now=now)
    answer = client_of(world.admin).post(f"/api/v1/operations/{operation.pk}/cancel/", {}, format="json")
    assert answer.json()["status"] == "cancelled"
    assert (fresh(operation).status, fresh(operation).result) == ("cancelled", {"adopted": 25})
    told = AuditLog.objects.get(action_type="FLEET_ADOPT_OUTCOME")
    assert (told.context["outcome"], told.context["adopted"]) == ("cancelled", 25)


def test_an_adopted_machine_has_no_tags_that_a_person_might_not_give_it(world, cloud, simulator):
    theirs = {f"t{number:02}": "x" for number in range(44)} | {"Forge:x": "1", "FORGE:Team": "2", "cost-center": "r-1"}
    person(world, "ann")
    cloud.launch("ann", Tags=[{"Key": key, "Value": value} for key, value in theirs.items()])
    look(simulator)
    assert adopt(world, found("ann")).status_code == 201
    made = WorkSpace.objects.get()
    assert (len(made.tags), made.tags["cost-center"]) == (40, "r-1")
    assert not any(key.lower().startswith("forge:") for key in made.tags)
    client = client_of(world.admin)
    kept = client.patch(f"/api/v1/workspaces/{made.pk}/", {"tags": made.tags}, format="json")
    assert kept.status_code in (200, 202), kept.content
