"""Stacks are closed before anybody launches from one, as long as a machine is in one, and told of once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from audit.actors import Actor
from audit.models import AuditLog
from forge.operations.models import Operation
from tests import factories
from tests.forge.db.conftest import at_once
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.world import actor
from workspaces import aws, providers
from workspaces.aws import patience
from workspaces.aws.stacks import TRANSFERS
from workspaces.models import ApplicationStack, Finding, ProviderAccount, WorkSpace
from workspaces.places import place_of
from workspaces.posture import closing
from workspaces.posture.sweep import PostureUnchecked, check
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed
from workspaces.stacks import refresh_stacks

ARN = "arn:aws:appstream:us-east-1:123456789012:stack/"
JOB = Actor.job("reconcile_workspaces")
MINUTE = timedelta(minutes=1)
FILES = [{"Action": "FILE_DOWNLOAD", "Permission": "ENABLED"}]


class Killed(BaseException):
    """The worker is gone."""


@pytest.fixture
def stack(world, simulator):
    """A stack that streams and has a price, of which Forge knows nothing yet."""
    streams.stack(simulator, world.organization)
    streams.price()


@pytest.fixture
def offered(stack, clock):
    """The same after the first look."""
    reconcile(now=clock.now)
    return ApplicationStack.objects.get()


@pytest.fixture
def machine(world, offered, clock):
    """A machine in the stack."""
    answer = ask(world)
    assert answer.status_code == 202, answer.content
    clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    return WorkSpace.objects.get()


def ask(world, **changes):
    return client_of(world.engineer).post(WORKSPACES, streams.body(**changes), format="json")


def listed(world):
    return [row["name"] for row in client_of(world.engineer).get("/api/v1/applications/").json()["results"]]


def opens(simulator, name="engineering"):
    """What the stack lets out of its sessions."""
    (shown,) = streams.api(simulator).describe_stacks(Names=[name])["Stacks"]
    allowed = {one["Action"] for one in shown["UserSettings"] if one["Permission"] == "ENABLED"}
    return sorted(allowed & set(TRANSFERS))


def open_files(simulator, name="engineering"):
    """Somebody does it in AWS's own console."""
    streams.api(simulator).update_stack(Name=name, UserSettings=FILES)


def delete(simulator, name):
    api = streams.api(simulator)
    api.disassociate_fleet(FleetName=name, StackName=name)
    api.delete_stack(Name=name)


def told():
    """What AWS was asked to close, by the entries."""
    entries = AuditLog.objects.filter(action_type="APPLICATION_STACK_CLOSE").order_by("id")
    return [entry.changes["before"]["enabled"] for entry in entries]


def found():
    of_stacks = Finding.objects.open().filter(check_name__startswith="stack_")
    return sorted(of_stacks.values_list("check_name", "subject"))


# -- offered once it is closed -----------------------------------------------------------------------------------------
def test_a_stack_that_could_not_be_looked_at_is_not_offered_until_somebody_has(
    world, stack, simulator, clock, monkeypatch
):
    monkeypatch.setattr(patience, "MOST_SECONDS", 0.0)
    simulator.control.fault("throttling", operation="DescribeStacks", count=1)
    with pytest.raises(ReconcileFailed, match="not offered until closed, engineering: Throttling") as failed:
        reconcile(now=clock.now)
    assert (failed.value.figures["stacks"], failed.value.figures["unclosed"]) == (1, 1)
    assert listed(world) == []
    refused = problem(ask(world), 409, "stack_not_closed")
    assert refused["stacks"] == ["engineering"]
    problem(ask(world, application_ids=["word"]), 422, "applications_not_offered")
    check(now=clock.now)  # the hourly one
    assert opens(simulator) == []
    assert listed(world) == ["engineering"]
    assert ask(world).status_code == 202


def test_a_stack_that_cannot_be_looked_at_keeps_no_machine_from_being_followed(world, machine, simulator, clock):
    streams.stack(simulator, world.organization, "other")
    user = {"StackName": "engineering", "UserName": machine.directory_user, "AuthenticationType": "USERPOOL"}
    streams.api(simulator).batch_disassociate_user_stack(UserStackAssociations=[user])
    simulator.control.fault("access_denied", operation="DescribeStacks", count=1)
    with pytest.raises(ReconcileFailed) as failed:
        reconcile(now=clock.now)
    assert (failed.value.figures["vanished"], failed.value.figures["unreachable"]) == (1, 0)


def test_a_stack_that_aws_does_not_close_is_not_offered_and_found(world, stack, simulator, clock):
    simulator.control.fault("access_denied", operation="UpdateStack", count=1)
    assert reconcile(now=clock.now)["unclosed"] == 1
    assert found() == [("stack_transfers", "engineering")]
    problem(ask(world), 409, "stack_not_closed")
    asked = client_of(world.engineer).post("/api/v1/costs/quote/", {**streams.body(), "hours": 10}, format="json")
    assert asked.status_code == 200, asked.content  # what it would cost depends on none of its settings
    assert reconcile(now=clock.now)["unclosed"] == 0  # the next run tries again
    assert (found(), ask(world).status_code) == ([], 202)


@pytest.mark.parametrize("where", ["before the call", "after the call", "before the second look"])
def test_whoever_is_killed_on_the_way_leaves_a_stack_that_is_not_offered(
    world, stack, simulator, clock, monkeypatch, where
):
    real = aws.StackCatalogue.close

    def die(*_):
        raise Killed

    def close(self, name):
        if where == "before the call":
            raise Killed
        real(self, name)
        if where == "after the call":
            raise Killed
        broken.setattr(aws.StackCatalogue, "transfers", die)

    with monkeypatch.context() as broken:
        broken.setattr(aws.StackCatalogue, "close", close)
        with pytest.raises(Killed):
            reconcile(now=clock.now)
    assert listed(world) == []
    reconcile(now=clock.now)
    assert (listed(world), opens(simulator)) == (["engineering"], [])
    assert told() == [list(TRANSFERS)]


def test_one_that_was_withdrawn_is_closed_again_before_it_is_offered_again(world, offered, simulator, clock):
    api = streams.api(simulator)
    api.untag_resource(ResourceArn=f"{ARN}engineering", TagKeys=["forge:organization"])
    reconcile(now=clock.now)
    open_files(simulator)
    api.tag_resource(ResourceArn=f"{ARN}engineering", Tags={"forge:organization": world.organization.slug})
    simulator.control.fault("access_denied", operation="UpdateStack", count=1)
    reconcile(now=clock.now)
    assert listed(world) == []
    reconcile(now=clock.now)
    assert (listed(world), opens(simulator)) == (["engineering"], [])


def test_one_that_is_open_and_stays_so_is_not_offered_any_more(world, offered, simulator, clock):
    open_files(simulator)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    check(now=clock.now)
    assert listed(world) == []
    assert reconcile(now=clock.now)["unclosed"] == 0
    assert (listed(world), found()) == (["engineering"], [])


def test_postgresql_takes_no_stack_that_is_closed_and_being_closed(offered):
    with pytest.raises(IntegrityError, match="closed_or_asked"), transaction.atomic():
        ApplicationStack.objects.update(closing_asked=["FILE_UPLOAD"])


# -- looked at as long as a machine is in it ---------------------------------------------------------------------------
@pytest.mark.parametrize("why", ["no longer marked", "service switched off"])
def test_a_stack_in_which_a_machine_stands_is_closed_whether_it_is_offered_or_not(
    world, machine, simulator, clock, why
):
    if why == "no longer marked":
        streams.api(simulator).untag_resource(ResourceArn=f"{ARN}engineering", TagKeys=["forge:organization"])
    else:
        providers.set_services(
            actor=actor(world.admin), provider_account=world.account, services=["WORKSPACES_PERSONAL"], now=clock.now
        )
    reconcile(now=clock.now)
    assert not ApplicationStack.objects.get().is_offered
    open_files(simulator)
    assert check(now=clock.now)["stacks"] == 1
    assert (opens(simulator), found()) == ([], [])
    open_files(simulator)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    check(now=clock.now)
    assert found() == [("stack_transfers", "engineering")]


def test_another_accounts_machine_in_a_stack_of_the_same_name_does_not_count(world, machine, clock):
    other = factories.ProviderAccountFactory(organization=world.organization, region="eu-west-1")
    assert closing.stacks_to_close(other) == []
    assert closing.stacks_to_close(world.account) == ["engineering"]


@pytest.mark.parametrize("answers", [True, False])
def test_what_was_found_of_a_withdrawn_stack_ends_with_its_last_machine(machine, simulator, clock, settings, answers):
    streams.api(simulator).untag_resource(ResourceArn=f"{ARN}engineering", TagKeys=["forge:organization"])
    open_files(simulator)
    reconcile(now=clock.now)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    check(now=clock.now)
    assert found() == [("stack_transfers", "engineering")]
    WorkSpace.objects.update(state="TERMINATING")
    WorkSpace.objects.update(state="TERMINATED", terminated_at=clock.now)
    if answers:
        assert check(now=clock.now)["resolved"] == 1
    else:
        settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
        with pytest.raises(PostureUnchecked) as failed:
            check(now=clock.now)
        assert failed.value.figures["resolved"] == 1
    assert found() == []
    (entry,) = AuditLog.objects.filter(action_type="FINDING_RESOLVE")
    assert entry.context["subject"] == "engineering"


# -- one that is gone --------------------------------------------------------------------------------------------------
def test_a_stack_that_is_gone_is_found_and_keeps_no_other_open(world, machine, simulator, clock):
    for name in ("a-first", "more", "z-last"):
        streams.stack(simulator, world.organization, name)
    reconcile(now=clock.now)
    for name in ("a-first", "z-last"):
        open_files(simulator, name)
    delete(simulator, "engineering")
    delete(simulator, "more")
    assert check(now=clock.now)["stacks"] == 2
    assert (opens(simulator, "a-first"), opens(simulator, "z-last")) == ([], [])
    assert found() == [("stack_missing", "engineering"), ("stack_missing", "more")]
    rows = Finding.objects.filter(check_name="stack_missing").order_by("subject")
    assert [(row.severity, row.detail) for row in rows] == [("HIGH", {"machines": 1}), ("HIGH", {"machines": 0})]
    check(now=clock.now)
    opened = AuditLog.objects.filter(action_type="FINDING_OPEN", context__check="stack_missing")
    assert opened.count() == 2
    streams.api(simulator).create_stack(Name="engineering")
    check(now=clock.now)
    assert (opens(simulator), found()) == ([], [("stack_missing", "more")])
    reconcile(now=clock.now)
    check(now=clock.now)  # nobody offers it any more
    assert found() == []


def test_a_stack_that_goes_while_it_is_closed_keeps_no_other_open(world, stack, simulator, clock, monkeypatch):
    streams.stack(simulator, world.organization, "other")
    real = aws.StackCatalogue.close

    def going(self, name):
        if name == "engineering":
            delete(simulator, name)
        real(self, name)

    monkeypatch.setattr(aws.StackCatalogue, "close", going)
    reconcile(now=clock.now)
    assert opens(simulator, "other") == []
    assert found() == [("stack_missing", "engineering")]


# -- told once ---------------------------------------------------------------------------------------------------------
def test_many_looks_at_once_tell_of_a_closing_once(world, offered, simulator, clock):
    open_files(simulator)
    later = clock.now + MINUTE
    at_once(4, lambda _: check(now=later))
    assert told() == [list(TRANSFERS), ["FILE_DOWNLOAD"]]
    offered.refresh_from_db()
    assert offered.closed_at is not None
    assert (opens(simulator), found()) == ([], [])


def test_a_look_that_comes_late_tells_nothing_of_what_another_has_closed(world, offered, simulator, clock, monkeypatch):
    account = ProviderAccount.objects.select_related("organization").get(pk=world.account.pk)
    open_files(simulator)
    real = closing._tell
    late = []

    def overtaken(*args, **options):
        if not late:
            late.append(True)
            closing.close(account, ["engineering"], actor=options["actor"], now=clock.now + MINUTE)
        return real(*args, **options)

    monkeypatch.setattr(closing, "_tell", overtaken)
    check(now=clock.now + MINUTE)
    assert told() == [list(TRANSFERS), ["FILE_DOWNLOAD"]]
    assert (listed(world), found()) == (["engineering"], [])


def test_one_that_is_opened_after_another_look_has_seen_it_closed_is_closed(
    world, stack, simulator, clock, monkeypatch
):
    """The look that sees it open has read the row before the other wrote it, and may not believe that it is closed."""
    account = ProviderAccount.objects.select_related("organization").get(pk=world.account.pk)
    refresh_stacks(account=account, actor=JOB, now=clock.now)
    real, looks = aws.StackCatalogue.transfers, []
    aws.StackCatalogue(place_of(account)).close("engineering")

    def transfers(self, names):
        looks.append(names)
        if len(looks) == 1:
            closing.close(account, ["engineering"], actor=JOB, now=clock.now)
            assert listed(world) == ["engineering"]
            open_files(simulator)
        return real(self, names)

    monkeypatch.setattr(aws.StackCatalogue, "transfers", transfers)
    check(now=clock.now + timedelta(seconds=1))
    assert (opens(simulator), listed(world), told()) == ([], ["engineering"], [["FILE_DOWNLOAD"]])


def test_one_that_was_seen_open_last_is_not_offered_whatever_another_look_has_written(
    world, offered, simulator, clock, monkeypatch
):
    open_files(simulator)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    real = aws.StackCatalogue.transfers

    def transfers(self, names):
        shown = real(self, names)
        ApplicationStack.objects.update(closed_at=clock.now, closing_asked=None)  # by a look that began before
        return shown

    monkeypatch.setattr(aws.StackCatalogue, "transfers", transfers)
    check(now=clock.now)
    assert (opens(simulator), listed(world)) == (["FILE_DOWNLOAD"], [])


def test_other_ways_that_are_opened_are_another_change(world, offered, simulator, clock):
    open_files(simulator)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    check(now=clock.now)
    opened = [{"Action": "FILE_UPLOAD", "Permission": "ENABLED"}]
    streams.api(simulator).update_stack(Name="engineering", UserSettings=opened)
    check(now=clock.now)
    open_files(simulator)
    check(now=clock.now)
    assert told()[1:] == [["FILE_DOWNLOAD"], ["FILE_UPLOAD", "FILE_DOWNLOAD"], ["FILE_DOWNLOAD"]]


def test_what_could_not_be_written_down_is_not_asked_for(world, offered, simulator, clock, monkeypatch):
    def full(**_):
        raise RuntimeError("the log is full")

    open_files(simulator)
    with monkeypatch.context() as broken:
        broken.setattr(closing, "record", full)
        with pytest.raises(RuntimeError, match="the log is full"):
            check(now=clock.now)
    offered.refresh_from_db()
    assert (opens(simulator), offered.closing_asked) == (["FILE_DOWNLOAD"], None)


def test_a_stack_of_which_there_is_no_row_is_closed_and_told_of_too(world, machine, simulator, clock):
    ApplicationStack.objects.all().delete()
    open_files(simulator)
    check(now=clock.now)
    check(now=clock.now)
    assert (opens(simulator), told()[1:]) == ([], [["FILE_DOWNLOAD"]])
