"""Moving a machine to another team or project: who may, what is refused, what changes with it and what stays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditLog
from forge.accounts.models import User
from forge.api.errors import NothingToChange
from forge.operations import services as operations
from forge.operations.models import Operation
from forge.outbox import sending
from tests import factories
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of, entries, machine, problem
from tests.world import actor
from workspaces import aws, services
from workspaces.models import AttributionChange, LifecyclePolicy, Quarantine, RegionPolicy, WorkLease, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.services import control, moving
from workspaces.tagging.repairing import LATE
from workspaces.tagging.wanted import wanted_of


@pytest.fixture
def other(world):
    """Another team, of which the engineer and the lead are too, with a project of its own."""
    team = factories.TeamFactory(organization=world.organization, slug="build")
    for person, role in ((world.engineer, "engineer"), (world.lead, "team_lead")):
        factories.MembershipFactory(organization=world.organization, user=person, team=team, role=role)
    factories.ProjectFactory(organization=world.organization, slug="compiler", cost_center="c-9").teams.set([team])
    return team


@pytest.fixture
def shared(world):
    """A blueprint that every team has, with the bundles of the world's."""
    made = factories.BlueprintFactory(organization=world.organization, bundle=None, status="DRAFT")
    for offer in world.blueprint.bundles.all():
        offer.pk, offer.blueprint = None, made
        offer.save(force_insert=True)
    return factories.publish(made)


@pytest.fixture
def standing(world, clock, other, shared):
    """The engineer's machine, charged to the world's team and to no project."""
    return launched(world, clock, shared)


def launched(world, clock, blueprint):
    spec = world.spec(blueprint_id=blueprint.id, team=world.team.slug, tags={"purpose": "build"})
    clock.finish(services.launch(actor=actor(world.engineer), spec=spec, now=clock.now).operation)
    return machine()


def move(world, clock, by="lead", **wanted):
    terms = {name: wanted.pop(name) for name in ("if_match", "dry_run", "reason") if name in wanted}
    who = actor(getattr(world, by))
    return services.move(actor=who, workspace_id=machine().pk, wanted=wanted, now=clock.now, **terms)


def post(person, row, body, query=""):
    return client_of(person).post(f"{WORKSPACES}{row.pk}/move/{query}", body, format="json")


def in_aws(row):
    place = aws.Place(row.region, row.provider_account.account, is_simulated=True)
    return aws.Gateway(place).tags(row.provider_id)


# -- What changes ----------------------------------------------------------------------------------------------------


def test_a_move_changes_whose_it_is_with_its_tags_its_entry_and_what_was_before(world, standing, other, clock):
    former = standing.team
    body = {"team": "build", "project": "compiler", "reason": "It builds now."}
    answer = post(world.lead, standing, body)
    assert answer.status_code == 202, answer.content
    shown = answer.json()
    assert (shown["team"], shown["project"]) == ("build", "compiler")
    assert shown["changes"] == {
        "before": {"team": former.slug, "project": None},
        "after": {"team": "build", "project": "compiler"},
    }
    row = machine()
    assert (row.version, row.team, row.state) == (standing.version + 1, other, "AVAILABLE")
    operation = Operation.objects.get(pk=shown["operation"]["id"])
    assert (operation.kind, answer["Location"]) == ("workspace.tag", f"/api/v1/operations/{operation.pk}/")
    assert clock.finish(operation).status == "succeeded"
    assert wanted_of(machine())["forge:team"] == "build"
    assert wanted_of(machine()).items() <= in_aws(row).items()
    [entry] = AuditLog.objects.filter(action_type="WORKSPACE_MOVE")
    assert entry.changes == {
        "before": {"team_id": str(former.pk), "project_id": None},
        "after": {"team_id": str(other.pk), "project_id": str(row.project_id)},
    }
    assert "It builds now." in str(entry.personal)
    [was] = client_of(world.engineer).get(f"{WORKSPACES}{row.pk}/attributions/").json()
    assert (was["team"], was["project"], was["owner"]) == (former.slug, None, world.engineer.email)
    assert was["tags"] == {"purpose": "build"}


def test_the_owner_and_the_leads_of_the_new_team_hear_of_it_but_not_whoever_did_it(
    world, standing, other, clock, mailoutbox
):
    head = factories.UserFactory(organization=world.organization)
    factories.MembershipFactory(organization=world.organization, user=head, team=other, role="team_lead")
    move(world, clock, team="build", project="compiler")
    sending.send(now=clock.now)
    told = [mail for mail in mailoutbox if "has moved" in mail.subject]
    assert sorted(mail.to[0] for mail in told) == sorted([world.engineer.email, head.email])
    assert f"{other.name} (before: {world.team.name})" in told[0].body


def test_a_project_alone_changes_and_is_taken_away_and_what_is_not_named_stays(world, standing, other, clock):
    move(world, clock, project=world.project.slug)
    assert (machine().team, machine().project) == (world.team, world.project)
    move(world, clock, team="build")
    assert (machine().team, machine().project) == (other, world.project)
    move(world, clock, project=None)
    assert (machine().team, machine().project) == (other, None)
    owners = AttributionChange.objects.order_by("id").values_list("team", "project")
    assert list(owners) == [(world.team.pk, None), (world.team.pk, world.project.pk), (other.pk, world.project.pk)]


def test_a_look_at_aws_brings_the_tags_where_the_operation_was_lost(world, standing, other, clock):
    operation = move(world, clock, team="build").operation
    operations.cancel(operation=operation, actor=actor(world.lead), now=clock.now)
    clock.now += LATE
    reconcile(now=clock.now)
    clock.work(rounds=3)
    assert in_aws(machine())["forge:team"] == "build"


def test_what_aws_cannot_tag_moves_at_once(world, other, clock):
    streams.price(operating_system="LINUX")
    row = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, blueprint=None,
        service_type="WORKSPACES_APPLICATIONS", application_ids=["blender"], provider_account=world.account,
        root_volume_gb=0, user_volume_gb=0, state="AVAILABLE",
    )  # fmt: skip
    answer = post(world.lead, row, {"team": "build"})
    assert (answer.status_code, answer.json()["team"]) == (200, "build"), answer.content
    assert answer["ETag"] == client_of(world.lead).get(f"{WORKSPACES}{row.pk}/")["ETag"]
    assert not Operation.objects.exists()
    assert AuditLog.objects.filter(action_type="WORKSPACE_MOVE", result="SUCCESS").count() == 1


def test_the_rules_of_the_new_team_bind_from_then_on(world, standing, other, clock):
    LifecyclePolicy.objects.create(organization=world.organization, team=other, lifetime_days=20)
    move(world, clock, team="build")
    row = machine()
    assert not row.is_unreckoned
    told = client_of(world.engineer).get(f"{WORKSPACES}{row.pk}/why/").json()
    assert told["ceilings"]["lifetime_days"]["source"] == "team build"


# -- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["engineer", "contractor", "finance", "auditor"])
def test_only_leads_and_admins_move_machines(world, standing, other, by):
    status, code = (404, "not_found") if by == "contractor" else (403, "may_not_control_machine")
    problem(post(getattr(world, by), standing, {"team": "build"}), status, code)
    assert machine().team == world.team


def test_a_lead_of_one_of_the_two_teams_does_not_move_it_and_hears_nothing_of_the_other(world, standing, other):
    world.lead.memberships.filter(team=other).delete()
    refused = [post(world.lead, standing, {"team": slug}) for slug in ("build", "no-such-team")]
    told = [problem(answer, 403, "may_not_move_there") for answer in refused]
    assert told[0]["detail"].replace("build", "no-such-team") == told[1]["detail"]
    world.lead.memberships.all().delete()
    factories.MembershipFactory(organization=world.organization, user=world.lead, team=other, role="team_lead")
    problem(post(world.lead, standing, {"team": "build"}), 404, "not_found")
    assert post(world.admin, standing, {"team": "build"}).status_code == 202


def test_another_organizations_teams_and_projects_are_as_if_they_did_not_exist(world, standing, other):
    theirs = factories.ProjectFactory(slug="theirs")
    foreign = factories.TeamFactory(organization=theirs.organization, slug="foreign")
    for slug in (foreign.slug, "no-such-team"):
        problem(post(world.admin, standing, {"team": slug}), 422, "team_not_yours")
    for slug in (theirs.slug, "no-such-project"):
        problem(post(world.admin, standing, {"project": slug}), 422, "project_not_yours")
    problem(post(world.admin, factories.WorkSpaceFactory(), {"team": "build"}), 404, "not_found")


def test_the_owner_must_be_of_the_new_team(world, standing, other):
    world.engineer.memberships.filter(team=other).delete()
    told = problem(post(world.admin, standing, {"team": "build"}), 422, "team_not_yours")
    assert told["teams"] == [world.team.slug]


def test_a_project_that_the_new_team_may_not_charge_is_refused_also_where_it_would_stay(world, standing, other, clock):
    world.project.teams.set([world.team])
    move(world, clock, project=world.project.slug)
    problem(post(world.lead, standing, {"team": "build"}), 422, "project_not_yours")
    assert post(world.lead, standing, {"team": "build", "project": None}).status_code == 202


def test_a_blueprint_of_the_old_team_alone_is_refused(world, clock, other):
    row = launched(world, clock, world.blueprint)
    problem(post(world.lead, row, {"team": "build"}), 422, "blueprint_not_found")
    assert post(world.lead, row, {"project": world.project.slug}).status_code == 202


def test_a_region_that_the_new_team_may_not_use_is_refused(world, standing, other):
    RegionPolicy.objects.create(organization=world.organization, team=other, regions=["eu-central-1"])
    told = problem(post(world.lead, standing, {"team": "build"}), 422, "region_not_allowed")
    assert told["allowed"] == ["eu-central-1"]


@pytest.mark.parametrize(
    ("ceiling", "most", "facts"),
    [
        ("lifetime_days", 5, {"created_at": timedelta(days=-6)}),
        ("session_hours", 2, {"state_since": timedelta(hours=-3)}),
        ("keep_alive_days", 3, {"keep_alive": True, "keep_alive_until": timedelta(days=9)}),
        ("keep_alive_days", 3, {"keep_alive": True}),
        ("lease_hours", 2, {}),
    ],
)
def test_what_the_policy_of_the_new_team_would_end_or_cut_at_once_is_refused(
    world, standing, other, clock, ceiling, most, facts
):
    policy(world, other, clock.now - timedelta(days=60), **{ceiling: most})
    held = {name: clock.now + value if isinstance(value, timedelta) else value for name, value in facts.items()}
    if held:
        WorkSpace.objects.update(**held)
    else:
        WorkLease.objects.create(
            organization=world.organization, workspace=standing, until=clock.now + timedelta(hours=9), reason="a test",
            created_by=world.engineer, created_at=clock.now,
        )  # fmt: skip
    told = problem(post(world.lead, standing, {"team": "build"}), 422, "beyond_ceilings")
    [named] = told["ceilings"]
    assert (named["source"], named["ceiling"]) == ("team build", ceiling.rpartition("_")[0])
    LifecyclePolicy.objects.update(team=None)  # the same ceiling of the whole organization binds now already
    assert post(world.lead, standing, {"team": "build"}).status_code == 202


def policy(world, team, since, **ceilings):
    return LifecyclePolicy.objects.create(
        organization=world.organization, team=team, lifetime_since=since, effective_at=since, **ceilings
    )


def test_a_lifetime_that_the_new_team_has_shortened_of_late_leaves_its_time(world, standing, other, clock):
    WorkSpace.objects.update(created_at=clock.now - timedelta(days=70))
    policy(world, other, clock.now - timedelta(days=1), lifetime_days=60)
    assert post(world.lead, standing, {"team": "build"}).status_code == 202


def test_a_longer_lifetime_that_is_over_is_refused_where_the_shorter_one_leaves_time(world, standing, other, clock):
    WorkSpace.objects.update(created_at=clock.now - timedelta(days=70))
    policy(world, world.team, clock.now - timedelta(days=1), lifetime_days=30)
    policy(world, other, clock.now - timedelta(days=365), lifetime_days=60)
    told = problem(post(world.lead, standing, {"team": "build"}), 422, "beyond_ceilings")
    assert told["ceilings"] == [{"ceiling": "lifetime", "most": "60 days", "source": "team build"}]


def test_nothing_is_moved_where_it_is_already_or_while_something_is_done_to_it(world, standing, other, clock):
    with pytest.raises(NothingToChange):
        move(world, clock, team=world.team.slug, project=None)
    problem(post(world.lead, standing, {"reason": "why"}), 400, "invalid")
    services.stop(actor=actor(world.engineer), workspace_id=standing.pk, now=clock.now)
    problem(post(world.lead, standing, {"team": "build"}), 409, "operation_in_progress")
    WorkSpace.objects.update(state="TERMINATED", terminated_at=clock.now)
    told = problem(post(world.lead, standing, {"team": "build"}), 409, "illegal_in_this_state")
    assert "move" not in told["legal"]


def test_a_machine_of_somebody_who_is_switched_off_stays_with_its_team(world, standing, other, clock):
    for barred in (clock.now, None):
        WorkSpace.objects.update(quarantined_at=barred)
        if barred is None:
            Quarantine.objects.create(
                organization=world.organization, workspace=standing, began_at=clock.now, heir=world.lead,
                kept_until=clock.now + timedelta(days=9),
            )  # fmt: skip
        with pytest.raises(control.InQuarantine):
            move(world, clock, team="build")
    assert machine().team == world.team


def test_it_stays_there_too_before_its_quarantine_has_begun(world, standing, other):
    User.objects.filter(pk=world.engineer.pk).update(is_active=False)
    assert not Quarantine.objects.exists()
    for query in ("", "?dry_run=true"):
        problem(post(world.lead, standing, {"team": "build"}, query), 409, "machine_quarantined")
    assert machine().team == world.team


def test_a_move_bound_to_what_was_read_is_refused_once_somebody_else_moved_it(world, standing, other, clock):
    client = client_of(world.lead)
    read = client.get(f"{WORKSPACES}{standing.pk}/")["ETag"]
    move(world, clock, by="admin", project=world.project.slug)
    address = f"{WORKSPACES}{standing.pk}/move/"
    answer = client.post(address, {"team": "build"}, format="json", HTTP_IF_MATCH=read)
    problem(answer, 412, "precondition_failed")


def test_a_repeated_request_moves_once(world, standing, other):
    client = client_of(world.lead)
    twice = [
        client.post(f"{WORKSPACES}{standing.pk}/move/", {"team": "build"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in twice] == [202, 202]
    assert AttributionChange.objects.count() == 1
    assert [entry.action_type for entry in entries(client)] == ["WORKSPACE_MOVE"]


def test_a_dry_run_says_what_it_would_come_to_and_changes_nothing(world, standing, other):
    client = client_of(world.lead)
    answer = client.post(f"{WORKSPACES}{standing.pk}/move/?dry_run=true", {"team": "build"}, format="json")
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert told["changes"]["after"] == {"team": "build", "project": None}
    assert {"reservation", "currency", "budgets", "released", "charged_from"} <= told.keys()
    assert (machine().team, machine().version) == (world.team, standing.version)
    assert not entries(client).exists()
    refused = client.post(f"{WORKSPACES}{standing.pk}/move/?dry_run=true", {"team": "no"}, format="json")
    problem(refused, 403, "may_not_move_there")


def test_where_the_entry_cannot_be_written_nothing_has_moved(world, standing, other, clock, monkeypatch):
    def broken(**_):
        raise RuntimeError("the log does not answer")

    monkeypatch.setattr(control, "record", broken)
    with pytest.raises(RuntimeError):
        move(world, clock, team="build")
    assert machine().team == world.team
    assert not AttributionChange.objects.exists()
    assert not Operation.objects.filter(kind="workspace.tag").exists()
    assert moving.mails.MOVED not in {mail.kind for mail in sending.Mail.objects.all()}


# -- In the console --------------------------------------------------------------------------------------------------


def test_the_console_moves_it_says_so_on_its_page_and_only_looks_when_told_to(world, standing, other, client):
    client.force_login(world.lead)
    address = f"/admin/workspaces/workspace/{standing.pk}/do/move/"
    page = client.get(address).content.decode()
    assert "The hours that began before the move" in page
    wanted = {"team": "build", "project": "compiler", "reason": "r"}
    entries = AuditLog.objects.count()
    answer = client.post(address, {**wanted, "only_look": "on"}, follow=True)
    assert AuditLog.objects.count() == entries
    assert "Nothing was changed." in answer.content.decode()
    assert machine().team == world.team
    client.post(address, {**wanted, "team": "no", "only_look": "on"})
    client.post(address, {**wanted, "team": "no"})
    left = AuditLog.objects.filter(action_type="WORKSPACE_MOVE").values_list("result", flat=True)
    assert list(left) == ["DENIED", "DENIED"]
    answer = client.post(address, wanted, follow=True)
    page = answer.content.decode()
    assert "It has moved." in page
    assert machine().team == other
    assert "Charged to" in page
