"""Reconcile of WorkSpaces Applications: each list of a stack is asked for once, however many people stream from it."""

from __future__ import annotations

from collections import Counter

import pytest

import workspaces.reconcile as reconciling
from tests import factories
from tests import world as worlds
from tests.workspaces import streams
from workspaces import aws
from workspaces.aws import applications
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile


def right(world, api, person, stack="engineering"):
    """A person's right to stream from a stack, in AWS and here."""
    user = {"UserName": person.email, "AuthenticationType": "USERPOOL"}
    api.create_user(**user, MessageAction="SUPPRESS")
    api.batch_associate_user_stack(UserStackAssociations=[{"StackName": stack, **user}])
    return factories.WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=person, provider_account=world.account,
        service_type="WORKSPACES_APPLICATIONS", application_ids=["code-editor"], blueprint=None,
        operating_system="WINDOWS", root_volume_gb=0, user_volume_gb=0, connection_url="/x",
        directory_id=stack, directory_user=person.email, provider_id=f"{stack}/{person.email}",
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Pages and chunks of five, so that a few people are many."""
    monkeypatch.setattr(reconciling, "CHUNK", 5)
    monkeypatch.setattr(applications, "_PAGE_OF_ASSOCIATIONS", 5)


@pytest.fixture
def stack(world, simulator, clock):
    streams.stack(simulator, world.organization)
    streams.price()
    reconcile(now=clock.now)
    return streams.api(simulator)


def test_the_calls_grow_with_the_users_of_a_stack_and_not_with_their_square(world, stack, small, clock, proxy):
    taken = []
    crowd = worlds.engineers(world, 40)
    for people in crowd[:10], crowd[10:]:
        for person in people:
            right(world, stack, person)
        reconcile(now=clock.now)
        before = Counter(proxy.calls)
        assert reconcile(now=clock.now)["seen"] == WorkSpace.objects.count()
        taken.append(Counter(proxy.calls) - before)
    pages = [calls["DescribeUserStackAssociations"] for calls in taken]
    assert pages == [2, 8]
    assert [calls["DescribeSessions"] for calls in taken] == [1, 1]
    assert [calls["ListAssociatedFleets"] for calls in taken] == [2, 2]  # one of them for the catalogue


def test_what_has_changed_since_the_stack_was_asked_for_waits_for_the_next_run(world, stack, clock, monkeypatch):
    one, other = (right(world, stack, person) for person in worlds.engineers(world, 2))
    WorkSpace.objects.update(state=State.AVAILABLE, state_since=clock.now.replace(year=2020))
    real = aws.ApplicationsGateway.stack

    def then_changed(self, name):
        look = real(self, name)
        WorkSpace.objects.filter(pk=one.pk).update(version=7)
        return look

    with monkeypatch.context() as patch:
        patch.setattr(aws.ApplicationsGateway, "stack", then_changed)
        assert reconcile(now=clock.now)["moved"] == 1
    assert WorkSpace.objects.get(pk=one.pk).state == State.AVAILABLE
    assert WorkSpace.objects.get(pk=other.pk).state == State.STOPPED
    assert reconcile(now=clock.now)["moved"] == 1


def test_a_right_whose_address_is_not_known_hinders_nobody(world, stack, clock):
    one = right(world, stack, world.engineer)
    WorkSpace.objects.filter(pk=one.pk).update(connection_url=None)
    assert reconcile(now=clock.now)["seen"] == 1
