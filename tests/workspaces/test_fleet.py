"""An existing fleet: seen, judged, taken over by whole accounts or one by one, and charged for from then on."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.db.models import Count, Sum
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from blueprints import services as blueprints
from blueprints.models import Blueprint
from budgets.models import Reservation
from costs.metering import meter
from costs.models import CostRecord, Price
from costs.pricing import hour_of
from forge.accounts.models import Membership, User
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests import factories
from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.support import client_of, fresh, launch, problem
from tests.world import actor
from workspaces import services
from workspaces.fleet import adopting
from workspaces.fleet.adopting import MayNotAdopt
from workspaces.fleet.seen import Seen
from workspaces.fleet.taking import NotAdoptable, Wish
from workspaces.guards import BundleNotOffered
from workspaces.lifecycle import State
from workspaces.models import Finding, UnmanagedMachine, WorkSpace
from workspaces.reconcile import reconcile

UNMANAGED = "/api/v1/unmanaged-machines/"


@pytest.fixture
def cloud(world, simulator):
    """AWS as whoever ran the fleet before us used it: through boto3, past Forge."""
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    return cloud


def person(world, name, *, teams=1):
    """Somebody with this user name in the directory, in so many teams."""
    user = factories.UserFactory(organization=world.organization, directory_username=name)
    for number in range(teams):
        team = world.team if number == 0 else factories.TeamFactory(organization=world.organization)
        factories.MembershipFactory(user=user, team=team, role="engineer")
    return user


def look(simulator, now=None):
    """A reconcile after everything in AWS has settled; nobody is connected, so AutoStop machines are stopped."""
    simulator.control.advance(3 * 3600)
    return reconcile(now=now or timezone.now())


def price_of(machine, mode):
    """What the shipped list asks for a machine like this one."""
    return Price.objects.get(
        organization=None, region=machine.region, bundle_type=machine.bundle_type, running_mode=mode,
        operating_system=machine.operating_system, currency="USD", valid_to=None,
    )  # fmt: skip


def fee(price, first, hours):
    """What so many hours from `first` on have of a monthly fee: each UTC month its own part (docs/money.md)."""
    began = first.replace(day=1, hour=0)
    following = (began + timedelta(days=32)).replace(day=1)
    length, before = ((until - began) // timedelta(hours=1) for until in (following, first))
    until = min(before + hours, length)
    part = round(price.monthly_amount * until / length, 6) - round(price.monthly_amount * before / length, 6)
    left = hours - (until - before)
    return part + (fee(price, following, left) if left else 0)


def verdicts():
    return dict(UnmanagedMachine.objects.standing().values_list("directory_user", "verdict"))


def test_each_machine_that_nobody_answers_for_is_seen_and_judged(world, cloud, simulator):
    person(world, "ann")
    person(world, "Bob", teams=2)
    person(world, "cyd", teams=0)
    person(world, "dan")
    for name in ("ann", "bob", "cyd", "stranger"):
        cloud.launch(name)
    cloud.launch("dan")
    figures = look(simulator)
    assert (figures["unmanaged"], figures["orphans"]) == (5, 0)
    assert verdicts() == {
        "ann": "ADOPTABLE",
        "bob": "TEAM_UNCLEAR",
        "cyd": "TEAM_UNCLEAR",
        "dan": "ADOPTABLE",
        "stranger": "NO_OWNER",
    }
    row = UnmanagedMachine.objects.get(directory_user="ann")
    assert (row.bundle_type, row.running_mode, row.root_volume_gb, row.provider_state) == (
        "STANDARD",
        "AUTO_STOP",
        80,
        "STOPPED",
    )


def test_a_second_look_changes_nothing_and_what_is_gone_is_said(world, cloud, simulator):
    person(world, "ann")
    provider_id = cloud.launch("ann")
    look(simulator)
    before = UnmanagedMachine.objects.get()
    look(simulator)
    again = UnmanagedMachine.objects.get()
    assert (again.updated_at, again.gone_at) == (before.updated_at, None)
    cloud.terminate(provider_id)
    assert look(simulator)["unmanaged"] == 0
    assert UnmanagedMachine.objects.get().gone_at is not None


def test_a_dry_run_counts_what_it_would_write_down_and_writes_no_list(world, cloud, simulator, clock):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(state=State.TERMINATED, terminated_at=timezone.now())
    cloud.launch("ann")
    simulator.control.advance(3600)
    figures = reconcile(now=timezone.now(), dry_run=True)
    assert (figures["unmanaged"], figures["orphans"]) == (2, 1)
    assert not UnmanagedMachine.objects.exists()


def test_a_machine_with_our_tag_whose_row_has_ended_is_an_orphan(world, cloud, simulator, clock):
    operation = launch(world, clock)
    clock.finish(operation)
    # As after a restored backup: the row is over, the machine is not.
    WorkSpace.objects.update(state=State.TERMINATED, terminated_at=timezone.now())
    figures = look(simulator)
    assert (figures["unmanaged"], figures["orphans"]) == (1, 1)
    assert UnmanagedMachine.objects.get().is_orphan


def test_an_orphan_is_taken_over_beside_its_ended_row(world, cloud, simulator, clock):
    clock.finish(launch(world, clock))
    ended = WorkSpace.objects.get()
    WorkSpace.objects.update(state=State.TERMINATED, terminated_at=clock.now)
    reconcile(now=clock.now)
    told = adopting.preview(actor=actor(world.admin), account=world.account, wish=Wish(), now=clock.now)
    operation = adopting.ask(actor=actor(world.admin), account=world.account, wish=Wish(), now=clock.now)
    run_due(limit=10, now=clock.now)
    assert told["would_adopt"] == fresh(operation).result["adopted"] == 1
    adopted = WorkSpace.objects.live().get()
    assert (adopted.provider_id, adopted.owner_id) == (ended.provider_id, ended.owner_id)
    clock.now += timedelta(minutes=10)
    figures = reconcile(now=clock.now)
    assert (figures["unmanaged"], figures["orphans"]) == (0, 0)
    clock.finish(services.terminate(actor=actor(world.admin), workspace_id=adopted.pk, now=clock.now).operation)
    assert WorkSpace.objects.filter(state=State.TERMINATED, provider_id=ended.provider_id).count() == 2


def test_two_live_rows_never_have_the_same_machine(world, cloud, simulator, clock):
    clock.finish(launch(world, clock))
    facts = {"organization": world.organization, "team": world.team, "provider_account": world.account}
    with pytest.raises(IntegrityError, match="workspaces_workspace_provider_id_unique"):
        factories.WorkSpaceFactory(
            provider_id=WorkSpace.objects.get().provider_id, directory_id="d-0123456789", **facts
        )


def test_a_machine_whose_launch_is_under_way_is_nobody_elses(world, cloud, simulator, clock):
    launch(world, clock)
    run_due(limit=10, now=clock.now)
    WorkSpace.objects.update(provider_id="")  # as if the worker had died before it wrote the id down
    assert reconcile(now=clock.now)["unmanaged"] == 0


def test_an_account_whose_tags_may_not_be_read_is_followed_and_its_fleet_listed(world, cloud, simulator, clock):
    clock.finish(launch(world, clock))
    ours = WorkSpace.objects.get()
    person(world, "ann")
    cloud.launch("ann", Tags=[{"Key": "owner", "Value": "lab"}])
    look(simulator, clock.now)
    finding = Finding.objects.filter(check_name="tag_access")
    assert not finding.exists()
    simulator.control.fault("access_denied", operation="GetResources", rate=1)
    cloud.launch("Zoe")
    WorkSpace.objects.update(state=State.AVAILABLE)
    for _ in range(2):
        figures = look(simulator, clock.now)
    assert (figures["unreachable"], figures["failed"], figures["unread"], figures["unmanaged"]) == (0, 0, 1, 2)
    ours.refresh_from_db()
    assert ours.state == State.STOPPED
    assert verdicts() == {"ann": "ADOPTABLE", "Zoe": "NO_OWNER"}
    assert UnmanagedMachine.objects.get(directory_user="ann").tags == {"owner": "lab"}
    found = finding.get()
    assert (found.provider_account, found.subject, found.severity) == (world.account, "tag:GetResources", "MEDIUM")
    assert (found.detail, found.resolved_at) == ({"code": "AccessDeniedException"}, None)
    # A launch whose row does not know its machine yet is known by the directory user, whatever its case.
    UnmanagedMachine.objects.all().delete()
    WorkSpace.objects.update(provider_id="", directory_user="zoe")
    look(simulator, clock.now)
    assert set(verdicts()) == {"ann", ours.directory_user}
    simulator.control.withdraw_faults()
    look(simulator, clock.now)
    assert finding.get().resolved_at == clock.now


def test_an_adopted_machine_is_its_owners_and_costs_from_then_on(world, cloud, simulator):
    ann = person(world, "ann")
    now = timezone.now()
    budget = factories.BudgetFactory(
        organization=world.organization,
        scope="TEAM",
        scope_id=world.team.id,
        amount=1,
        period_start=hour_of(now) - timedelta(hours=5),
        period_end=hour_of(now) + timedelta(days=30),
    )
    provider_id = cloud.launch("ann", Tags=[{"Key": "cost-center", "Value": "r-100"}])
    look(simulator, now)
    found = UnmanagedMachine.objects.get()
    made = adopting.adopt(actor=actor(world.admin), machine_id=found.id, wish=Wish(max_lifetime_days=200), now=now)

    made.refresh_from_db()
    assert (made.owner, made.team, made.provider_id, made.state) == (ann, world.team, provider_id, State.STOPPED)
    assert (made.launched_at, made.lifetime_end) == (now, now + timedelta(days=200))
    assert made.tags == {"cost-center": "r-100"}
    assert (made.blueprint.origin, made.blueprint.status) == ("AUTO", "RETIRED")
    entry = AuditLog.objects.get(action_type="WORKSPACE_ADOPT")
    assert (entry.user_id, entry.resource_id, entry.context["budgets_over_limit"]) == (world.admin.id, str(made.id), 1)
    assert entry.changes["after"]["provider_id"] == provider_id
    assert not UnmanagedMachine.objects.standing().exists()

    # A budget without room takes it all the same: what runs already is not refused.
    held = Reservation.objects.get(workspace=made)
    budget.refresh_from_db()
    assert held.budget == budget
    assert budget.reserved == held.remaining > budget.amount

    meter(now=now + timedelta(hours=30))
    records = CostRecord.objects.filter(workspace=made)
    assert timedelta(0) <= now - records.earliest("period_start").period_start < timedelta(hours=1)
    total = records.aggregate(total=Sum("total_cost"))["total"]
    made.refresh_from_db()
    budget.refresh_from_db()
    assert total == made.cost_to_date == budget.spent > 0

    assert look(simulator, now + timedelta(hours=1))["unmanaged"] == 0
    services.start(actor=actor(ann), workspace_id=made.id, now=now + timedelta(hours=1))
    for minute in range(1, 12):
        run_due(limit=10, now=now + timedelta(hours=1, minutes=minute))
        simulator.control.advance(60)
    assert WorkSpace.objects.get().state == State.AVAILABLE


def test_machines_of_one_bundle_stand_on_one_blueprint(world, cloud, simulator):
    for name in ("ann", "bea"):
        person(world, name)
        cloud.launch(name)
    look(simulator)
    for found in UnmanagedMachine.objects.standing():
        adopting.adopt(actor=Actor.command("tests"), machine_id=found.id, wish=Wish(), now=timezone.now())
    assert Blueprint.objects.filter(origin="AUTO").count() == 1
    assert {machine.blueprint.origin for machine in WorkSpace.objects.all()} == {"AUTO"}


def test_an_admin_offers_adopted_machines_other_bundles_by_publishing_a_version(world, cloud, simulator):
    person(world, "ann")
    cloud.launch("ann")
    look(simulator)
    admin, found = actor(world.admin), UnmanagedMachine.objects.get()
    made = adopting.adopt(actor=admin, machine_id=found.id, wish=Wish(), now=timezone.now())

    def resize(bundle_type):
        return services.modify(
            actor=admin,
            workspace_id=made.id,
            wanted={"bundle_type": bundle_type},
            now=timezone.now(),
            dry_run=True,
        )

    wanted = "PERFORMANCE"
    with pytest.raises(BundleNotOffered) as refusal:
        resize(wanted)
    assert refusal.value.extra["offered"] == [{"region": made.region, "bundle_type": made.bundle_type}]
    assert f"publish a version of the blueprint “{made.blueprint.name}”" in refusal.value.suggested_action

    version = blueprints.draft(
        actor=admin,
        organization=world.organization,
        team=None,
        name=made.blueprint.name,
        operating_system=made.operating_system,
        bundles=[blueprints.BundleOffer(made.region, wanted, "wsb-offered00")],
    )
    with pytest.raises(BundleNotOffered):
        resize(wanted)
    version = blueprints.publish(actor=admin, blueprint=version, now=timezone.now())
    assert resize(wanted).figures["changes"]["after"] == {"bundle_type": wanted}
    blueprints.retire(actor=admin, blueprint=version, now=timezone.now())
    with pytest.raises(BundleNotOffered):
        resize(wanted)


def test_only_admins_adopt(world, cloud, simulator):
    person(world, "ann")
    cloud.launch("ann")
    look(simulator)
    found = UnmanagedMachine.objects.get()
    for user in (world.engineer, world.lead, world.auditor, world.finance):
        with pytest.raises(MayNotAdopt):
            adopting.adopt(actor=actor(user), machine_id=found.id, wish=Wish(), now=timezone.now())
        with pytest.raises(MayNotAdopt):
            adopting.ask(actor=actor(user), account=world.account, wish=Wish(), now=timezone.now())
    stranger = factories.MembershipFactory(role="admin", team=None).user
    with pytest.raises(MayNotAdopt):
        adopting.adopt(actor=actor(stranger), machine_id=found.id, wish=Wish(), now=timezone.now())
    assert not WorkSpace.objects.exists()


@pytest.mark.parametrize("verdict", ["NO_OWNER", "OWNER_HAS_MACHINE", "NOT_OFFERED", "NOT_SETTLED"])
def test_what_cannot_be_adopted_is_refused_and_stays(world, cloud, simulator, verdict):
    person(world, "ann")
    cloud.launch("ann")
    look(simulator)
    UnmanagedMachine.objects.update(verdict=verdict)
    with pytest.raises(NotAdoptable) as refused:
        adopting.adopt(
            actor=actor(world.admin), machine_id=UnmanagedMachine.objects.get().id, wish=Wish(), now=timezone.now()
        )
    assert refused.value.extra["verdict"] == verdict
    assert not WorkSpace.objects.exists()
    assert not Blueprint.objects.filter(origin="AUTO").exists()


def test_a_kind_without_a_price_is_not_adopted(world, cloud, simulator):
    person(world, "ann")
    cloud.launch("ann")
    look(simulator)
    Price.objects.all().delete()
    found = UnmanagedMachine.objects.get()
    client = client_of(world.admin)
    problem(client.post(f"{UNMANAGED}{found.id}/adopt/"), 422, "price_missing")
    found.refresh_from_db()
    assert (found.workspace_id, WorkSpace.objects.count(), Reservation.objects.count()) == (None, 0, 0)


def test_two_who_adopt_the_same_machine_make_one(world, cloud, simulator):
    person(world, "ann")
    cloud.launch("ann")
    look(simulator)
    found = UnmanagedMachine.objects.get()
    gate, outcomes = Barrier(4), []

    def take():
        gate.wait()
        try:
            adopting.adopt(actor=actor(world.admin), machine_id=found.id, wish=Wish(), now=timezone.now())
            outcomes.append("made")
        except NotAdoptable:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert WorkSpace.objects.count() == AuditLog.objects.filter(action_type="WORKSPACE_ADOPT").count() == 1


def test_a_fleet_is_taken_over_by_an_operation_that_goes_on_after_a_crash(world, cloud, simulator, monkeypatch):
    names = [f"person{number}" for number in range(12)]
    for name in names:
        person(world, name)
        cloud.launch(name)
    person(world, "drifter", teams=0)
    cloud.launch("drifter")
    look(simulator)
    client = client_of(world.admin)
    body = {"provider_account": str(world.account.id)}
    told = client.post(f"{UNMANAGED}adopt/?dry_run=true", body, format="json").json()
    assert (told["would_adopt"], told["would_leave"], told["verdicts"]["TEAM_UNCLEAR"]) == (12, 1, 1)
    assert not Operation.objects.exists()

    answer = client.post(f"{UNMANAGED}adopt/", body, format="json")
    assert answer.status_code == 202, answer.content
    problem(client.post(f"{UNMANAGED}adopt/", body, format="json"), 409, "adoption_under_way")
    monkeypatch.setattr("workspaces.handlers.adopting.BATCH", 5)
    whole, calls = adopting.adopt, []

    def dying(**given):
        calls.append(given)
        if len(calls) == 8:
            raise SystemExit("killed")
        return whole(**given)

    monkeypatch.setattr(adopting, "adopt", dying)
    now = timezone.now()
    with pytest.raises(SystemExit):
        run_due(limit=5, now=now)
    for minutes in (10, 20):
        run_due(limit=5, now=now + timedelta(minutes=minutes))
    operation = Operation.objects.get()
    assert (operation.status, operation.result["adopted"], operation.result["refused"]) == ("succeeded", 12, {})
    assert WorkSpace.objects.count() == AuditLog.objects.filter(action_type="WORKSPACE_ADOPT").count() == 12
    assert verdicts() == {"drifter": "TEAM_UNCLEAR"}

    again = client.post(f"{UNMANAGED}adopt/", {**body, "team": world.team.slug}, format="json")
    assert again.status_code == 202
    run_due(limit=5, now=now + timedelta(minutes=30))
    assert not UnmanagedMachine.objects.standing().exists()
    assert WorkSpace.objects.get(directory_user="drifter").team == world.team


def test_the_list_is_for_admins_and_auditors_of_the_organization(world, cloud, simulator):
    person(world, "ann")
    cloud.launch("ann")
    cloud.launch("stranger")
    look(simulator)
    for user, count in ((world.admin, 2), (world.auditor, 2), (world.engineer, 0), (world.lead, 0)):
        assert len(client_of(user).get(UNMANAGED).json()["results"]) == count
    stranger = factories.MembershipFactory(role="admin", team=None).user
    found = UnmanagedMachine.objects.get(directory_user="ann")
    assert client_of(stranger).get(f"{UNMANAGED}{found.id}/").status_code == 404
    client = client_of(world.admin)
    assert [row["owner"] for row in client.get(f"{UNMANAGED}?verdict=ADOPTABLE").json()["results"]] == [
        found.owner.email
    ]
    problem(client.get(f"{UNMANAGED}?verdict=NICE"), 400, "invalid_parameter")
    problem(
        client.post(f"{UNMANAGED}adopt/", {"provider_account": str(found.id)}, format="json"),
        422,
        "unknown_provider_account",
    )
    answer = client.post(f"{UNMANAGED}{found.id}/adopt/", {"team": "no-such-team"}, format="json")
    problem(answer, 422, "team_not_found")
    made = client.post(f"{UNMANAGED}{found.id}/adopt/")
    assert (made.status_code, made.json()["provider_id"]) == (201, found.provider_id)
    assert made["Location"] == f"/api/v1/workspaces/{made.json()['id']}/"
    problem(client.post(f"{UNMANAGED}{found.id}/adopt/"), 422, "not_adoptable")


def test_the_command_looks_at_one_account_and_says_when_there_is_none(world, cloud, simulator, capsys):
    cloud.launch("stranger")
    simulator.control.advance(3600)
    call_command("reconcile_workspaces", "--account", world.account.name)
    assert "unmanaged 1" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no provider account 'elsewhere'"):
        call_command("reconcile_workspaces", "--account", "elsewhere")


def test_a_set_of_seen_ids_knows_what_was_put_in_and_nothing_else():
    seen = Seen()
    seen.add(f"ws-{number:09d}" for number in range(0, 20_000, 2))
    assert len(seen) == 10_000
    assert [f"ws-{number:09d}" in seen for number in range(6)] == [True, False] * 3
    seen.add(["ws-000000001"])
    assert "ws-000000001" in seen
    assert "ws-000000003" not in seen


def test_a_set_of_seen_ids_takes_few_bytes_for_each_also_while_it_is_asked():
    many = 60_000
    tracemalloc.start()
    try:
        seen = Seen()
        seen.add(f"ws-{number:09d}" for number in range(many))
        assert "ws-000000007" in seen
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * many


def test_a_look_takes_a_call_for_25_machines_and_one_for_the_tags_of_100(world, cloud, simulator):
    for number in range(110):
        cloud.launch(f"person{number}")
    simulator.control.advance(3600)
    simulator.control.forget_traffic()
    reconcile(now=timezone.now())
    assert UnmanagedMachine.objects.count() == 110
    calls = {row["operation"]: row["calls"] for row in simulator.control.traffic()}
    assert calls == {"DescribeWorkspaces": 5, "GetResources": 3}  # one of these asks for stacks


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_fleet_that_boto3_made_is_taken_over_whole_and_charged_from_then_on(world, cloud, simulator, scale, settings):
    settings.FORGE_AWS_CALLS_PER_SECOND = 1000
    count = scale(5_000, 100)
    people = User.objects.bulk_create(
        User(organization=world.organization, email=f"p{n}@example.com", full_name=f"P {n}", directory_username=f"P{n}")
        for n in range(count)
    )
    Membership.objects.bulk_create(
        Membership(organization=world.organization, user=one, team=world.team, role="engineer") for one in people
    )
    always_on = {"WorkspaceProperties": {"RunningMode": "ALWAYS_ON"}}
    for start in range(0, count, 25):
        numbers = range(start, min(start + 25, count))
        cloud.create(*(cloud.request(f"p{n}", **(always_on if n % 5 == 0 else {})) for n in numbers))
    now = hour_of(timezone.now()) + timedelta(minutes=20)
    simulator.control.advance(1800)  # so short a while after its start AutoStop leaves a machine that nobody uses
    assert reconcile(now=now)["unmanaged"] == count
    operation = adopting.ask(actor=actor(world.admin), account=world.account, wish=Wish(), now=now)
    while not fresh(operation).is_final:
        run_due(limit=1, now=now)
    assert fresh(operation).status == "succeeded"
    assert fresh(operation).result == {"adopted": count, "refused": {}, "refusals": 0}

    machines = WorkSpace.objects.select_related("owner")
    assert machines.count() == count
    assert all(machine.directory_user == machine.owner.directory_username.lower() for machine in machines.iterator())
    assert Blueprint.objects.filter(origin="AUTO").count() == 1

    later = now + timedelta(hours=25)
    meter(now=later)
    assert machines.filter(state=State.AVAILABLE).count() == count
    figures = CostRecord.objects.values("workspace_id", "running_mode").annotate(
        hours=Count("id"), started=Sum("billed_hours"), cost=Sum("total_cost")
    )
    found = Counter((row["running_mode"], row["hours"], row["started"], row["cost"]) for row in figures)
    auto_stop, always = price_of(machines[0], "AUTO_STOP"), price_of(machines[0], "ALWAYS_ON")
    first = hour_of(now)
    assert found == {
        ("AUTO_STOP", 26, 25, 25 * auto_stop.hourly_amount + fee(auto_stop, first, 26)): count - count // 5,
        ("ALWAYS_ON", 26, 0, fee(always, first, 26)): count // 5,
    }
    assert CostRecord.objects.earliest("period_start").period_start == first
    assert reconcile(now=later)["unmanaged"] == 0
