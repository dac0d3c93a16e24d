"""Many accounts, regions and roles behind one Forge: each call is made in the right one, and faults are named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.utils import timezone

from forge.operations.models import Operation
from tests import world as worlds
from tests.workspaces import streams
from tests.world import actor
from workspaces import aws, services
from workspaces.aws import clients
from workspaces.models import Finding, ProviderAccount, WorkSpace
from workspaces.places import place_of
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed
from workspaces.simulator import sts
from workspaces.tagging.repairing import LATE

IRELAND = "eu-west-1"


@pytest.fixture(autouse=True)
def own_credentials(monkeypatch) -> Iterator[None]:
    """Those of Forge itself, from its environment; with them it may do nothing but assume roles."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFORGE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clients.forget()
    yield
    clients.forget()


def by_role(world, account):
    """Let a world stand in an AWS account of its own, in which Forge acts by a role."""
    role = f"arn:aws:iam::{account}:role/forge-{world.organization.slug}"
    ProviderAccount.objects.filter(pk=world.account.pk).update(kind="AWS", account=account, role_arn=role)
    world.account.refresh_from_db()
    return world


@pytest.fixture
def two(transactional_db, simulator):
    """An organization in Virginia and one in Ireland, each in an account of its own."""
    end = timezone.now() + timedelta(days=30)
    red = by_role(worlds.build(expire_at=end), "111111111111")
    blue = by_role(worlds.build(region=IRELAND, expire_at=end), "222222222222")
    return red, blue


def launch(world, clock, **changes):
    return services.launch(actor=actor(world.engineer), spec=world.spec(**changes), now=clock.now)


def assumed(simulator):
    return sum(row["calls"] for row in simulator.control.traffic() if row["operation"] == "AssumeRole")


def test_each_organizations_machines_stand_in_its_own_account_and_region(two, simulator, clock):
    red, blue = two
    price_of_ireland()
    made = [launch(red, clock), launch(blue, clock, region=IRELAND)]
    for answer in made:
        assert clock.finish(answer.operation).status == "succeeded"
    standing = {
        machine["workspace_id"]: (machine["account"], machine["region"]) for machine in simulator.control.machines()
    }
    wanted = {"111111111111": "us-east-1", "222222222222": IRELAND}
    for answer, (account, region) in zip(made, wanted.items(), strict=True):
        assert standing[WorkSpace.objects.get(pk=answer.workspace.pk).provider_id] == (account, region)
    assert assumed(simulator) == 2  # once per role, whatever is called with it
    assert reconcile(now=clock.now)["seen"] == 2


def test_a_role_serves_both_services_with_one_assumption(two, simulator, clock):
    red, _ = two
    streams.stack(simulator, red.organization, account="111111111111")
    gateway, streamed = (aws.provider_of(name, place_of(red.account)) for name in WorkSpace.ServiceType.values)
    assert gateway.find(directory_id=red.account.directory_id, user_name="nobody") is None
    assert streamed.find(directory_id="engineering", user_name="a@example.com") is None
    assert [stack.name for stack in aws.StackCatalogue(place_of(red.account)).offered_to(red.organization.slug)] == [
        "engineering"
    ]
    assert assumed(simulator) == 1


def test_a_role_that_cannot_be_assumed_is_named_and_the_launch_waits(two, simulator, clock):
    red, _ = two
    simulator.control.fault("access_denied", operation="AssumeRole", count=1)
    operation = launch(red, clock).operation
    clock.work()
    operation = Operation.objects.get(pk=operation.pk)
    assert not operation.is_final
    assert operation.error["code"] == "RoleNotAssumed"
    assert "AssumeRole was refused with AccessDenied" in operation.error["detail"]
    assert clock.finish(operation).status == "succeeded"  # nothing had happened, so it is simply tried again


def test_a_missing_role_keeps_no_other_account_from_its_turn(two, simulator, clock, monkeypatch):
    red, blue = two
    price_of_ireland()
    clock.finish(launch(blue, clock, region=IRELAND).operation)
    ProviderAccount.objects.filter(pk=red.account.pk).update(role_arn="arn:aws:iam::111111111111:role/" + "x" * 128)
    with pytest.raises(ReconcileFailed, match=f"provider account {red.account.pk}.*PERSONAL: RoleNot") as failed:
        reconcile(now=clock.now)
    assert failed.value.figures["seen"] == 1
    assert failed.value.figures["unreachable"] == 1


def test_credentials_that_run_out_are_renewed_before_they_do(two, monkeypatch):
    red, _ = two
    gateway = aws.Gateway(place_of(red.account))
    assert gateway.describe(["ws-000000000"]) == {}
    credentials = gateway._client._request_signer._credentials
    first = credentials.access_key
    later = partial(_local_now_after, timedelta(minutes=46))  # an hour was given; botocore renews 15 minutes ahead
    monkeypatch.setattr("botocore.credentials._local_now", later)
    monkeypatch.setattr(credentials, "_time_fetcher", later)
    assert gateway.describe(["ws-000000000"]) == {}
    assert credentials.access_key != first


def test_credentials_that_aws_takes_for_expired_are_not_used_again(two, simulator, monkeypatch):
    red, _ = two
    gateway = aws.Gateway(place_of(red.account))
    gateway.describe(["ws-000000000"])
    old = gateway._client._request_signer._credentials.token
    real = sts.account_of
    monkeypatch.setattr(
        sts, "account_of", lambda key, token, now: real(key, token, now + 7200 if token == old else now)
    )
    with pytest.raises(aws.Unavailable, match="ExpiredToken"):
        gateway.describe(["ws-000000000"])
    assert aws.Gateway(place_of(red.account)).describe(["ws-000000000"]) == {}
    assert assumed(simulator) == 2


def _local_now_after(passed):
    return datetime.now(UTC) + passed


def price_of_ireland():
    """The Irish prices that the price book has not, at round figures."""
    streams.price(region=IRELAND, service_type="WORKSPACES_PERSONAL", operating_system="LINUX", included_storage_gb=130)


def test_tags_of_an_account_with_another_number_are_unread_and_nothing_is_mended(two, simulator, clock):
    """AWS finds no machine by an ARN with the wrong number, which is no proof that its tags are gone."""
    red, _ = two
    clock.finish(launch(red, clock).operation)
    ProviderAccount.objects.filter(pk=red.account.pk).update(account="999999999999")
    for _ in range(2):
        clock.now += LATE
        figures = reconcile(now=clock.now)
        assert (figures["untagged"], figures["retagging"], figures["unread"]) == (0, 0, 1)
    finding = Finding.objects.get(check_name="tag_access")
    assert (finding.provider_account, finding.detail) == (red.account, {"code": "another_account"})
    ProviderAccount.objects.filter(pk=red.account.pk).update(account="111111111111")
    figures = reconcile(now=clock.now)
    assert (figures["untagged"], figures["unread"]) == (0, 0)
    assert Finding.objects.get(check_name="tag_access").resolved_at == clock.now


def test_a_machine_without_any_tag_in_the_right_account_is_mended(two, clock):
    red, _ = two
    clock.finish(launch(red, clock).operation)
    made = WorkSpace.objects.get()
    gateway = aws.Gateway(place_of(red.account))
    gateway.remove_tags(made.provider_id, list(gateway.tags(made.provider_id)))
    figures = reconcile(now=clock.now + LATE)
    assert (figures["untagged"], figures["retagging"], figures["unread"]) == (1, 1, 0)
