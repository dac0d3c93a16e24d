"""Leases, longer lifetimes and policies as people ask for them: who may, how much, and against running rules."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditLog
from forge.operations.models import Operation
from tests.query_counts import hold
from tests.workspaces.rules.support import fresh, idle_samples, machine, run
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.world import actor, engineers
from workspaces import services
from workspaces.models import LifecyclePolicy, WorkLease
from workspaces.rules import policies, sweep
from workspaces.services.calling_off import EndUnderWay, StopUnderWay

POLICIES = "/api/v1/lifecycle-policies/"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAY = {"engineer": True, "contractor": False, "lead": True, "admin": True, "auditor": False, "finance": False}


@pytest.fixture
def now():
    return timezone.now()


def past_its_lifetime(now):
    launched = now - 3 * DAY
    return {"since": launched, "max_lifetime_days": 1, "running_mode": "ALWAYS_ON", "end_warned_at": launched}


def about_to_stop(world, now):
    idle = machine(world, since=now - 2 * HOUR)
    idle_samples(idle, now)
    run(now)
    assert run(now + timedelta(minutes=10)) == {"due": 1, "stopped": 1}
    return idle


# -- who may -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("verb", ["extend", "leases"])
def test_who_may_lease_and_extend(world, now, role, verb):
    own = role in ("engineer", "contractor")
    target = machine(world, owner=getattr(world, role) if own else world.engineer, since=now)
    body = {"days": 5, "reason": "r"} if verb == "extend" else {"until": (now + HOUR).isoformat(), "reason": "r"}
    answer = client_of(getattr(world, role)).post(f"{WORKSPACES}{target.pk}/{verb}/", body, format="json")
    assert (answer.status_code in (200, 201)) == MAY[role], answer.content
    if not MAY[role]:
        problem(answer, 403, "may_not_control_machine")


@pytest.mark.parametrize("verb", ["extend", "leases"])
def test_a_colleagues_machine_is_not_there(world, now, verb):
    target = machine(world, since=now)
    other = client_of(engineers(world, 1)[0])
    body = {"days": 5, "reason": "r"} if verb == "extend" else {"until": (now + HOUR).isoformat(), "reason": "r"}
    assert other.post(f"{WORKSPACES}{target.pk}/{verb}/", body, format="json").status_code == 404
    assert other.get(f"{WORKSPACES}{target.pk}/why/").status_code == 404


@pytest.mark.parametrize("role", MAY)
def test_only_admins_set_policies_and_everybody_sees_them(world, role):
    client = client_of(getattr(world, role))
    answer = client.post(POLICIES, {"idle_minutes": 60}, format="json")
    assert answer.status_code == (201 if role == "admin" else 403)
    LifecyclePolicy.objects.get_or_create(organization=world.organization, idle_minutes=60)
    [shown] = client.get(POLICIES).json()["results"]
    assert (shown["idle_minutes"], shown["team"], shown["applies"]) == (60, None, False)
    change = client.patch(f"{POLICIES}{shown['id']}/", {"lease_hours": 8}, format="json")
    assert change.status_code == (200 if role == "admin" else 403)


# -- within ceilings -----------------------------------------------------------------------------------------------
def test_a_lease_is_answered_with_what_holds_all_the_same(world, now, settings):
    settings.FORGE_SESSION_HOURS_AT_MOST = 6
    target = machine(world, since=now)
    client = client_of(world.engineer)
    until = now + 9 * HOUR
    answer = client.post(
        f"{WORKSPACES}{target.pk}/leases/", {"until": until.isoformat(), "reason": "training"}, format="json"
    )
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert body["holds_until"] == body["hard_deadline"] != body["until"]
    assert [one["reason"] for one in client.get(f"{WORKSPACES}{target.pk}/leases/").json()] == ["training"]
    told = client.get(f"{WORKSPACES}{target.pk}/why/").json()
    assert told["next"]["rule"] == "session"
    assert any("longer than the longest run" in reason for reason in told["reasons"])
    entry = AuditLog.objects.get(action_type="WORKSPACE_LEASE")
    assert entry.changes["after"]["until"] == until.isoformat()


def test_what_is_beyond_the_smallest_ceiling_is_refused_and_changes_nothing(world, now):
    target = machine(world, since=now, max_lifetime_days=10)
    policies.create_policy(
        actor=actor(world.admin),
        organization=world.organization,
        team=world.team,
        ceilings={"lease_hours": 8, "lifetime_days": 20, "keep_alive_days": 5},
        now=now,
    )
    client = client_of(world.engineer)
    for verb, body, code in (
        ("leases", {"until": (now + 10 * HOUR).isoformat(), "reason": "r"}, "lease_out_of_range"),
        ("leases", {"until": (now - HOUR).isoformat(), "reason": "r"}, "lease_out_of_range"),
        ("extend", {"days": 11, "reason": "r"}, "extension_out_of_range"),
        ("extend", {"until": (now + 21 * DAY).isoformat(), "reason": "r"}, "extension_out_of_range"),
        ("extend", {"until": (now + 3 * DAY).isoformat(), "reason": "r"}, "extension_out_of_range"),
        ("keep-alive", {"until": (now + 6 * DAY).isoformat(), "reason": "r"}, "keep_alive_out_of_range"),
    ):
        refused = problem(client.post(f"{WORKSPACES}{target.pk}/{verb}/", body, format="json"), 422, code)
        assert refused["ceiling"] == f"team {world.team.slug}"
    assert client.post(f"{WORKSPACES}{target.pk}/extend/", {"days": 9, "reason": "r"}, format="json").status_code == 200
    assert fresh(target).max_lifetime_days == 19
    assert not WorkLease.objects.exists()


@pytest.mark.parametrize(
    "body", [{"reason": "r"}, {"days": 3}, {"days": 3, "until": "2030-01-01T00:00:00Z", "reason": "r"}]
)
def test_an_extension_has_either_an_end_or_days_and_a_reason(world, now, body):
    target = machine(world, since=now)
    answer = client_of(world.engineer).post(f"{WORKSPACES}{target.pk}/extend/", body, format="json")
    assert answer.status_code == 400


def test_an_always_on_machine_takes_no_lease(world, now):
    target = machine(world, since=now, running_mode="ALWAYS_ON")
    body = {"until": (now + HOUR).isoformat(), "reason": "r"}
    answer = client_of(world.engineer).post(f"{WORKSPACES}{target.pk}/leases/", body, format="json")
    problem(answer, 409, "illegal_in_this_state")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"team": "nowhere"}, 422, "unknown_team"),
        ({"blueprint_name": "nothing"}, 422, "policy_scope_refused"),
        ({}, 422, "lifecycle_policy_empty"),
        ({"idle_minutes": 5}, 400, "invalid"),
        ({"idle_minutes": 60, "lunch": 1}, 400, "invalid"),
    ],
)
def test_a_policy_that_is_none_is_refused(world, body, status, code):
    answer = client_of(world.admin).post(POLICIES, body, format="json")
    assert answer.status_code == status, answer.content
    assert not LifecyclePolicy.objects.exists()


def test_a_scope_has_one_policy(world):
    client = client_of(world.admin)
    first = client.post(POLICIES, {"team": world.team.slug, "idle_minutes": 30}, format="json").json()
    second = client.post(POLICIES, {"team": world.team.slug, "idle_minutes": 40}, format="json")
    assert problem(second, 409, "lifecycle_policy_exists")["policy"] == first["id"]


# -- against the rules ---------------------------------------------------------------------------------------------
def test_a_lease_calls_off_the_automatic_stop_that_is_queued(world, now):
    idle = about_to_stop(world, now)
    services.lease(actor=actor(world.engineer), workspace_id=idle.pk, until=now + 5 * HOUR, reason="r", now=now)
    assert Operation.objects.get().status == "cancelled"
    assert fresh(idle).next_action_at == now + 5 * HOUR


def test_a_lease_comes_too_late_once_aws_was_asked_and_does_not_undo_a_persons_stop(world, now):
    idle = about_to_stop(world, now)
    Operation.objects.update(cancellable=False)
    with pytest.raises(StopUnderWay):
        services.lease(actor=actor(world.engineer), workspace_id=idle.pk, until=now + HOUR, reason="r", now=now)
    other = machine(world, owner=engineers(world, 1)[0], since=now)
    services.stop(actor=actor(other.owner), workspace_id=other.pk, now=now)
    with pytest.raises(StopUnderWay):
        services.lease(actor=actor(other.owner), workspace_id=other.pk, until=now + HOUR, reason="r", now=now)
    assert not WorkLease.objects.exists()


def test_an_extension_calls_off_the_automatic_end_but_not_a_persons(world, now):
    over = machine(world, **past_its_lifetime(now))
    assert run(now)["ended"] == 1
    services.extend(actor=actor(world.engineer), workspace_id=over.pk, days=9, reason="r", now=now)
    assert Operation.objects.get().status == "cancelled"
    services.terminate(actor=actor(world.engineer), workspace_id=over.pk, now=now)
    with pytest.raises(EndUnderWay):
        services.extend(actor=actor(world.engineer), workspace_id=over.pk, days=9, reason="r", now=now)
    assert fresh(over).max_lifetime_days == 10


def together(*calls):
    """Run the calls at once, each in a thread with a connection of its own; what each raised, or None."""
    gate, raised = threading.Barrier(len(calls)), [None] * len(calls)

    def one(number, call):
        try:
            gate.wait(timeout=10)
            call()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            raised[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return raised


def test_two_runs_at_once_end_each_machine_once(world, now):
    for person in engineers(world, 8):
        machine(world, owner=person, **past_its_lifetime(now))
    assert together(*[lambda: sweep.enforce(now=now)] * 3) == [None] * 3
    sweep.enforce(now=now)
    assert Operation.objects.count() == 8
    assert Operation.objects.values("target_id").distinct().count() == 8


@pytest.mark.parametrize("attempt", range(5))
def test_an_extension_against_the_end_leaves_one_of_them(world, now, attempt):
    over = machine(world, **past_its_lifetime(now))

    def extend():
        services.extend(actor=actor(world.engineer), workspace_id=over.pk, days=9, reason="r", now=now)

    swept, extended = together(lambda: sweep.enforce(now=now), extend)
    assert swept is None
    open_ends = Operation.objects.open().filter(kind="workspace.terminate", cancel_requested_at=None).count()
    assert isinstance(extended, EndUnderWay) if open_ends else extended is None
    assert fresh(over).max_lifetime_days == (1 if open_ends else 10)


@pytest.mark.parametrize("attempt", range(5))
def test_a_lease_against_the_stop_leaves_one_of_them(world, now, attempt):
    idle = machine(world, since=now - 2 * HOUR, stop_warned_at=now - timedelta(minutes=10))
    idle_samples(idle, now)
    until = now + 5 * HOUR

    def lease():
        services.lease(actor=actor(world.engineer), workspace_id=idle.pk, until=until, reason="r", now=now)

    swept, leased = together(lambda: sweep.enforce(now=now), lease)
    assert swept is None
    open_stops = Operation.objects.open().filter(kind="workspace.stop").count()
    assert isinstance(leased, StopUnderWay) if open_stops else leased is None
    assert WorkLease.objects.count() == (0 if open_stops else 1)


def test_what_lies_ahead_takes_as_many_queries_as_are_on_file(world, now):
    target = machine(world, since=now)
    services.lease(actor=actor(world.engineer), workspace_id=target.pk, until=now + HOUR, reason="r", now=now)
    client = client_of(world.admin)
    LifecyclePolicy.objects.create(organization=world.organization, team=world.team, idle_minutes=60)
    address = f"{WORKSPACES}{target.pk}/why/"
    client.get(address)  # notes that the token was used
    hold("GET /api/v1/workspaces/{id}/why/", lambda: client.get(address))
