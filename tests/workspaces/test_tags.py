"""Tags of machines: which are wanted, which are refused, and that AWS shows them, whoever changes what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLog
from forge.operations.models import Operation
from tests import factories
from tests.workspaces.support import WORKSPACES, client_of, fresh, machine, problem
from tests.world import actor
from workspaces import aws, services
from workspaces.api.tags import tags_of
from workspaces.handlers.tagging import MOST_ASKS, NO_EFFECT
from workspaces.lifecycle import State
from workspaces.models import Finding, WorkSpace
from workspaces.posture.admin import shown_findings
from workspaces.reconcile import reconcile
from workspaces.tagging import repairing
from workspaces.tagging import wanted as tags
from workspaces.tagging.repairing import AGAIN_AFTER, AGAIN_AT_MOST, LATE, Failures
from workspaces.tagging.wanted import TOO_MANY, difference, wanted_of

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def standing(world, clock):
    """A machine that runs with a tag of its owner's."""
    asked = services.launch(actor=actor(world.engineer), spec=world.spec(tags={"purpose": "build"}), now=clock.now)
    clock.finish(asked.operation)
    assert machine().state == State.AVAILABLE
    return machine()


def gateway(workspace) -> aws.Gateway:
    from_account = workspace.provider_account
    return aws.Gateway(aws.Place(from_account.region, from_account.account, is_simulated=True))


def shown(workspace) -> dict[str, str]:
    """What AWS has, without the launch's own tag."""
    return {
        key: value for key, value in gateway(workspace).tags(workspace.provider_id).items() if key != tags.OPERATION
    }


def give(world, clock, own, **more):
    return services.tag(
        actor=actor(world.engineer), workspace_id=machine().pk, tags=own, now=clock.now, **more
    ).operation


def look(clock) -> dict[str, int]:
    """A look at AWS, when its index of tags has caught up."""
    clock.now += LATE
    return reconcile(now=clock.now)


# -- What is wanted --------------------------------------------------------------------------------------------------


def test_forges_tags_are_what_costs_are_booked_by(standing, world):
    project = factories.ProjectFactory(organization=standing.organization, slug="apollo", cost_center="R&D 7")
    standing.project = project
    assert wanted_of(standing) == {
        "purpose": "build",
        "forge:workspace": str(standing.id),
        "forge:organization": standing.organization.slug,
        "forge:team": standing.team.slug,
        "forge:project": "apollo",
        "forge:cost-center": "R_D 7",
        "forge:user": str(standing.owner_id),
        "forge:blueprint": f"{standing.blueprint.name}/{standing.blueprint.version}",
    }
    project.cost_center = ""
    assert "forge:cost-center" not in wanted_of(standing)
    standing.tags = {"cost-center": "r-9"}
    assert wanted_of(standing)["forge:cost-center"] == "r-9"
    assert len(tags.KEPT_EQUAL) + 1 + tags.MOST_OWN <= tags.MOST


@pytest.mark.parametrize(("center", "value"), [(" AWS:lab", "AWS_lab"), ("aws:", "aws_"), ("x-aws:lab", "x-aws:lab")])
def test_a_machine_of_a_project_whose_cost_center_is_like_a_tag_of_aws_is_launched(world, clock, center, value):
    project = factories.ProjectFactory(organization=world.organization, slug="apollo", cost_center=center)
    asked = services.launch(actor=actor(world.engineer), spec=world.spec(project=project.slug), now=clock.now)
    assert clock.finish(asked.operation).status == "succeeded"
    assert shown(machine())["forge:cost-center"] == value


@pytest.mark.parametrize(
    ("own", "refusal"),
    [
        ({f"k{n}": "" for n in range(41)}, tags.TooManyTags),
        ({"": "v"}, tags.TagKeyRefused),
        ({"k" * 128: "v"}, tags.TagKeyRefused),
        ({"a#b": "v"}, tags.TagKeyRefused),
        ({" a": "v"}, tags.TagKeyRefused),
        ({"a": "v "}, tags.TagValueRefused),
        ({"AWS:name": "v"}, tags.TagKeyReserved),
        ({"Forge:team": "v"}, tags.TagKeyReserved),
        ({"key": "v" * 256}, tags.TagValueRefused),
        ({"key": "a\nb"}, tags.TagValueRefused),
        ({"key": "aws:x"}, tags.TagValueRefused),
    ],
)
def test_tags_that_aws_would_not_take_are_refused(own, refusal):
    with pytest.raises(refusal):
        tags.check_own(own)
    tags.check_own({"k" * 127: "v" * 255, "Größe": "42 m/s @ 7+1=8_.-:"})


def test_only_forges_own_keys_and_what_it_wrote_are_taken_off():
    aws_shows = {
        "aws:created": "x",
        "theirs": "1",
        "old": "2",
        "forge:project": "gone",
        "forge:operation": "o",
        "a": "0",
    }
    differs = difference({"a": "1", "b": "2"}, aws_shows, applied={"old": "2"})
    assert (differs.put, differs.remove) == ({"a": "1", "b": "2"}, ("forge:project", "old"))
    assert differs.total == 4  # theirs, forge:operation, a, b
    assert difference({"a": "0"}, aws_shows | {"forge:team": "t"}, applied=()) is not True
    assert not difference({"a": "0", "forge:project": "gone"}, aws_shows, applied=())


# -- Given, changed, taken off ---------------------------------------------------------------------------------------


def test_a_machine_bears_the_wanted_tags_from_its_launch_on_and_a_look_says_so(standing, clock):
    assert shown(standing) == wanted_of(standing) == standing.applied_tags
    assert standing.tags_applied_at is None
    figures = look(clock)
    assert (figures["untagged"], figures["retagging"]) == (0, 0)
    assert machine().tags_applied_at == clock.now
    assert look(clock)["untagged"] == 0
    assert machine().tags_applied_at == clock.now - LATE


def test_other_tags_are_an_operation_that_is_done_when_aws_shows_them(standing, world, clock):
    gateway(standing).put_tags(standing.provider_id, {"theirs": "1"})
    version = standing.version
    operation = give(world, clock, {"cost-center": "r-100"})
    assert machine().tags == {"cost-center": "r-100"}
    done = clock.finish(operation)
    assert (done.status, [step["name"] for step in done.steps]) == ("succeeded", ["look", "write", "verify"])
    assert done.steps[1]["detail"] == {"put": ["cost-center", "forge:cost-center"], "remove": ["purpose"]}
    assert shown(standing) == {"theirs": "1", **wanted_of(machine())}
    assert (machine().applied_tags, machine().version) == (wanted_of(machine()), version + 2)
    entry = AuditLog.objects.get(action_type="WORKSPACE_TAG")
    assert entry.changes == {"before": {"keys": ["purpose"]}, "after": {"keys": ["cost-center"]}}
    assert entry.personal == {"before.tags": '{"purpose": "build"}', "after.tags": '{"cost-center": "r-100"}'}
    assert AuditLog.objects.filter(action_type="WORKSPACE_TAG_OUTCOME", result="SUCCESS").count() == 1


def test_nothing_else_waits_for_tags_and_they_wait_for_nothing(standing, world, clock):
    tagging = give(world, clock, {})
    stopping = services.stop(actor=actor(world.engineer), workspace_id=standing.pk, now=clock.now).operation
    assert clock.finish(stopping).status == clock.finish(tagging).status == "succeeded"
    assert clock.finish(give(world, clock, {"purpose": "review"})).status == "succeeded"
    assert shown(standing)["purpose"] == "review"


def test_tags_that_were_changed_meanwhile_are_followed(standing, world, clock, monkeypatch):
    """The row is read at each turn; what an operation is not done with is what is wanted then."""
    operation = give(world, clock, {"purpose": "review"})
    real = aws.Gateway.put_tags

    def change_and_put(self, provider_id, put):
        monkeypatch.setattr(aws.Gateway, "put_tags", real)
        WorkSpace.objects.update(tags={"purpose": "other"})
        real(self, provider_id, put)

    monkeypatch.setattr(aws.Gateway, "put_tags", change_and_put)
    assert clock.finish(operation).status == "succeeded"
    assert shown(standing)["purpose"] == "other"


def test_what_aws_takes_and_never_shows_fails(standing, world, clock, simulator):
    look(clock)
    assert tags_of(machine())["is_applied"]
    simulator.control.fault("no_op", operation="CreateTags", count=5)
    done = clock.finish(give(world, clock, {"purpose": "review"}))
    assert (done.status, done.error["code"]) == ("failed", NO_EFFECT)
    assert not tags_of(machine())["is_applied"]
    assert look(clock)["retagging"] == 0  # it has failed a short while ago
    found = Finding.objects.get(check_name="tags_differ")
    assert (found.detail["reason"], found.detail["failures"], found.workspace) == (NO_EFFECT, 1, standing)
    for failures, wait in ((1, AGAIN_AFTER), (2, AGAIN_AFTER * 2)):
        at = Operation.objects.filter(kind="workspace.tag").latest("finished_at").finished_at
        assert Finding.objects.get().detail["again_at"] == (at + wait).isoformat()
        clock.now = at + wait - LATE - timedelta(minutes=1)
        assert look(clock)["retagging"] == 0
        simulator.control.fault("no_op", operation="CreateTags", count=5)
        clock.now = at + wait
        assert look(clock)["retagging"] == 1
        clock.finish(Operation.objects.filter(kind="workspace.tag").latest("created_at"))
        look(clock)
        assert Finding.objects.get().detail["failures"] == failures + 1
    clock.now += AGAIN_AT_MOST
    assert look(clock)["retagging"] == 1
    clock.work(rounds=3)
    assert shown(standing)["purpose"] == "review"
    look(clock)
    assert Finding.objects.get().resolved_at == clock.now


def test_a_wait_doubles_up_to_a_week():
    waits = [Failures(count, AT, "").again_at - AT for count in (1, 2, 5, 6, 5000)]
    assert waits == [timedelta(hours=6), timedelta(hours=12), timedelta(hours=96), AGAIN_AT_MOST, AGAIN_AT_MOST]


def test_a_machine_without_room_for_forges_tags_is_found_and_not_tried_until_there_is_some(standing, world, clock):
    others = {f"theirs-{n}": str(n) for n in range(49 - len(wanted_of(standing)))}
    gateway(standing).put_tags(standing.provider_id, others)
    WorkSpace.objects.update(tags=standing.tags | {"one": "more"}, applied_tags={}, tags_applied_at=None)
    for _ in range(2):
        figures = look(clock)
        assert (figures["untagged"], figures["retagging"]) == (1, 0)
    shown_to_owner = client_of(world.engineer).get("/api/v1/findings/?open=true").json()["results"]
    assert [(one["check"], one["workspace"], one["detail"]) for one in shown_to_owner] == [
        ("tags_differ", str(standing.id), {"reason": TOO_MANY, "tags": 51, "limit": 50})
    ]
    assert "cannot be mended" in shown_findings(standing)
    gateway(standing).remove_tags(standing.provider_id, ["theirs-0"])
    assert look(clock)["retagging"] == 1
    assert not Finding.objects.open().exists()
    clock.work(rounds=3)
    assert shown(standing)["one"] == "more"


def test_a_machine_full_of_others_tags_is_left_as_it_is(standing, world, clock):
    others = {f"theirs-{n}": str(n) for n in range(50 - 1 - len(wanted_of(standing)))}
    gateway(standing).put_tags(standing.provider_id, others)
    done = clock.finish(give(world, clock, {"purpose": "build", "one": "more"}))
    assert (done.status, done.error["code"]) == ("failed", TOO_MANY)
    assert shown(standing) == others | wanted_of(standing)


def test_a_time_out_after_the_effect_is_looked_at_and_not_repeated(standing, world, clock, simulator):
    simulator.control.fault("timeout_after", operation="CreateTags", count=1, seconds=0)
    done = clock.finish(give(world, clock, {"purpose": "review"}))
    assert done.status == "succeeded"
    assert [step["times"] for step in done.steps if step["name"] == "write"] == [1]


# -- Drift -----------------------------------------------------------------------------------------------------------


def test_drift_is_mended_by_an_operation_and_others_tags_stay(standing, clock):
    gateway(standing).put_tags(standing.provider_id, {"theirs": "1", "forge:team": "another", "forge:project": "none"})
    gateway(standing).remove_tags(standing.provider_id, ["purpose"])
    clock.now += LATE
    assert reconcile(now=clock.now, dry_run=True)["untagged"] == 1
    assert not Operation.objects.filter(kind="workspace.tag").exists()
    figures = reconcile(now=clock.now)
    assert (figures["untagged"], figures["retagging"]) == (1, 1)
    assert reconcile(now=clock.now)["retagging"] == 0  # it is under way
    clock.work(rounds=3)
    assert Operation.objects.get(kind="workspace.tag").status == "succeeded"
    assert shown(standing) == {"theirs": "1", **wanted_of(standing)}
    assert AuditLog.objects.get(action_type="WORKSPACE_TAG").actor_kind == "JOB"
    assert look(clock)["untagged"] == 0


def test_a_move_to_another_project_brings_the_tags_along(standing, clock):
    project = factories.ProjectFactory(organization=standing.organization, slug="apollo", cost_center="r-7")
    WorkSpace.objects.update(project=project)
    assert look(clock)["retagging"] == 1
    clock.work(rounds=3)
    assert (shown(standing)["forge:project"], shown(standing)["forge:cost-center"]) == ("apollo", "r-7")
    WorkSpace.objects.update(project=None)
    assert look(clock)["retagging"] == 1
    clock.work(rounds=3)
    assert not {"forge:project", "forge:cost-center"} & shown(standing).keys()


def test_a_run_mends_so_many_and_no_more(standing, clock, settings):
    settings.FORGE_TAG_REPAIRS_AT_MOST = 0
    gateway(standing).remove_tags(standing.provider_id, ["purpose"])
    figures = look(clock)
    assert (figures["untagged"], figures["retagging"]) == (1, 0)


def test_an_account_whose_tags_may_not_be_read_is_looked_at_all_the_same(standing, clock, simulator):
    simulator.control.fault("access_denied", operation="GetResources", count=2)  # stacks ask first
    figures = look(clock)
    assert (figures["seen"], figures["unread"], figures["unreachable"]) == (1, 1, 0)


def test_a_machine_that_has_ended_meanwhile_needs_no_tags(standing, world, clock):
    operation = give(world, clock, {})
    WorkSpace.objects.update(state=State.TERMINATING)
    WorkSpace.objects.update(state=State.TERMINATED, terminated_at=timezone.now())
    assert clock.finish(operation).error["code"] == "machine_ended"


# -- The API ---------------------------------------------------------------------------------------------------------


def test_patch_changes_tags_with_if_match_and_says_what_aws_has(standing, world, clock):
    client = client_of(world.engineer)
    address = f"{WORKSPACES}{standing.pk}/"
    etag = client.get(address)["ETag"]
    stale = client.patch(address, {"tags": {"purpose": "x"}}, format="json", HTTP_IF_MATCH='"0"')
    problem(stale, 412, "precondition_failed")
    problem(client.patch(address, {"tags": {"forge:team": "x"}}, format="json"), 422, "tag_key_reserved")
    problem(client.patch(address, {}, format="json"), 400, "invalid")
    answer = client.patch(address, {"tags": {"purpose": "review"}}, format="json", HTTP_IF_MATCH=etag)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert (body["tags"], body["operation"]["kind"]) == ({"purpose": "review"}, "workspace.tag")
    assert answer["Location"] == f"/api/v1/operations/{body['operation']['id']}/"
    before = client.get(f"{address}tags/").json()
    assert (before["own"], before["wanted"]["purpose"]) == ({"purpose": "review"}, "review")
    assert (before["is_applied"], before["applied"]["purpose"]) == (False, "build")
    clock.finish(fresh(Operation.objects.get(pk=body["operation"]["id"])))
    after = client.get(f"{address}tags/").json()
    assert (after["is_applied"], after["applied"]) == (True, after["wanted"])


def test_a_stranger_changes_no_tags(standing, world):
    stranger = client_of(factories.UserFactory())
    address = f"{WORKSPACES}{standing.pk}/"
    problem(stranger.patch(address, {"tags": {}}, format="json"), 404, "not_found")
    assert machine().tags == {"purpose": "build"}


def test_a_right_to_stream_has_its_tags_here_alone(standing, world):
    WorkSpace.objects.update(service_type="WORKSPACES_APPLICATIONS", blueprint=None, application_ids=["cad"])
    client = client_of(world.engineer)
    address = f"{WORKSPACES}{standing.pk}/"
    answer = client.patch(address, {"tags": {"purpose": "review"}}, format="json")
    assert (answer.status_code, answer.json()["tags"]) == (200, {"purpose": "review"})
    assert client.get(f"{address}tags/").json()["wanted"] == {}
    assert AuditLog.objects.filter(action_type="WORKSPACE_TAG").count() == 1
    assert not Operation.objects.filter(kind="workspace.tag").exists()


def test_the_console_shows_and_changes_tags(standing, world, client):
    client.force_login(world.admin)
    address = f"/admin/workspaces/workspace/{standing.pk}/"
    assert "purpose = build" in client.get(f"{address}change/").content.decode()
    assert "purpose=build" in client.get(f"{address}do/tag/").content.decode()
    refused = client.post(f"{address}do/tag/", {"tags": "no sign"})
    assert "is no key=value" in refused.content.decode()
    client.post(f"{address}do/tag/", {"tags": "cost-center=r-1\n\nnote=a=b"})
    assert machine().tags == {"cost-center": "r-1", "note": "a=b"}
    assert "Not in AWS yet: cost-center" in client.get(f"{address}change/").content.decode()


# -- Beside each other -----------------------------------------------------------------------------------------------


def test_calls_that_aws_put_off_are_no_writes_without_effect(standing, world, clock, simulator):
    simulator.control.fault("throttling", operation="CreateTags", count=MOST_ASKS + 1)
    done = clock.finish(give(world, clock, {"purpose": "review"}))
    assert done.status == "succeeded"
    assert shown(standing)["purpose"] == "review"


def test_a_look_that_read_old_tags_forgets_nothing_that_was_written_since(standing, world, clock):
    """Reconcile reads many rows, asks AWS, and writes: an operation may have ended in between."""
    clock.now += LATE
    as_read, as_shown = machine(), {standing.provider_id: wanted_of(standing)}
    assert clock.finish(give(world, clock, {"purpose": "build", "late": "1"})).status == "succeeded"
    assert not repairing.compare([as_read], as_shown, now=clock.now, dry_run=False).differing
    assert machine().applied_tags == wanted_of(machine())
    clock.finish(give(world, clock, {}))
    assert "late" not in shown(standing)


def test_two_operations_at_once_leave_nothing_that_forge_wrote(standing, world, clock, monkeypatch):
    """One is held up before its call; meanwhile the tags change and the other ends."""
    first = give(world, clock, {"purpose": "build", "late": "1"})
    real = aws.Gateway.put_tags

    def be_overtaken(self, provider_id, put):
        monkeypatch.setattr(aws.Gateway, "put_tags", real)
        assert clock.finish(give(world, clock, {"purpose": "build"})).status == "succeeded"
        real(self, provider_id, put)

    monkeypatch.setattr(aws.Gateway, "put_tags", be_overtaken)
    assert clock.finish(first).status == "succeeded"
    assert shown(standing) == wanted_of(machine()) == machine().applied_tags
