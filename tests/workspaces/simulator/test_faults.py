"""Faults on demand: each kind, by count and by rate, and whom it strikes."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ReadTimeoutError

from tests.workspaces.simulator.cloud import REGION, Cloud, client, refused
from workspaces.simulator.client import ControlError
from workspaces.simulator.faults import KINDS
from workspaces.simulator.server import Simulator


def test_a_throttled_call_has_no_effect_and_the_next_one_is_taken(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("throttling", operation="CreateWorkspaces", count=2)
    for _ in range(2):
        with refused("ThrottlingException"):
            cloud.launch("ann")
    assert simulator.control.machines() == []
    cloud.launch("ann")
    assert [(one["left"], one["struck"]) for one in simulator.control.faults()] == [(0, 2)]


def test_each_service_words_a_throttle_in_its_own_way(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("throttling", rate=1.0)
    with refused("ThrottlingException"):
        cloud.applications.describe_fleets()
    with refused("Throttling"):
        cloud.metrics.get_metric_data(MetricDataQueries=[], StartTime=0, EndTime=1)
    with refused("Throttling"):
        cloud.sts.get_caller_identity()


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_a_time_out_before_the_effect_closes_the_connection_and_does_nothing(
    simulator: Simulator, cloud: Cloud, seconds: float
) -> None:
    simulator.control.fault("timeout_before", operation="CreateWorkspaces", count=1, seconds=seconds)
    began = time.monotonic()
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        cloud.launch("ann")
    assert time.monotonic() - began >= seconds
    assert simulator.control.machines() == []


def test_a_time_out_after_the_effect_leaves_a_machine_that_nobody_was_told_of(
    simulator: Simulator, cloud: Cloud
) -> None:
    simulator.control.fault("timeout_after", operation="CreateWorkspaces", count=1)
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        cloud.launch("ann")
    assert [machine["state"] for machine in simulator.control.machines()] == ["AVAILABLE"]
    assert cloud.refusal("ann") == "ResourceExists.WorkSpace"


def test_a_held_connection_makes_the_client_give_up_by_itself(simulator: Simulator) -> None:
    impatient = client("workspaces", simulator.url, read_timeout=0.2)
    simulator.control.fault("timeout_after", operation="DescribeAccount", count=1, seconds=30)
    with pytest.raises(ReadTimeoutError):
        impatient.describe_account()


def test_by_count_some_items_of_a_batch_fail_and_the_others_take_effect(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("partial_failure", operation="CreateWorkspaces", count=1, items=2, seed=3)
    answer = cloud.create(*(cloud.request(f"user{number}") for number in range(5)))
    failed = {item["WorkspaceRequest"]["UserName"] for item in answer["FailedRequests"]}
    made = {item["UserName"] for item in answer["PendingRequests"]}
    assert (len(failed), len(made), failed & made) == (2, 3, set())
    assert {item["ErrorCode"] for item in answer["FailedRequests"]} == {"InternalServerException"}
    assert {machine["user_name"] for machine in simulator.control.machines()} == made


def test_by_rate_each_item_fails_with_that_probability_and_its_own_code(simulator: Simulator, cloud: Cloud) -> None:
    ids = [cloud.launch(f"user{number}") for number in range(20)]
    simulator.control.fault("partial_failure", operation="StopWorkspaces", rate=0.5, seed=1, code="Odd", message="Why")
    failed = cloud.stop(*ids)
    assert 0 < len(failed) < 20
    assert {(item["ErrorCode"], item["ErrorMessage"]) for item in failed} == {("Odd", "Why")}
    stopped = {one["workspace_id"] for one in simulator.control.machines(state="STOPPED")}
    assert stopped == set(ids) - {item["WorkspaceId"] for item in failed}
    assert simulator.control.faults()[0]["struck"] == 1


def test_a_call_of_which_no_item_fails_was_not_struck(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("partial_failure", rate=1e-12)
    cloud.launch("ann")
    assert simulator.control.faults()[0]["struck"] == 0


def test_a_resource_limit_refuses_the_whole_call(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("resource_limit", count=2)
    with refused("ResourceLimitExceededException"):
        cloud.launch("ann")
    with refused("LimitExceededException"):
        cloud.applications.create_stack(Name="stack")
    assert simulator.control.machines() == []


def test_a_quota_lets_a_batch_in_as_far_as_it_goes_and_then_nothing(simulator: Simulator, cloud: Cloud) -> None:
    place = {"account": "123456789012", "region": REGION, "name": "WorkSpaces"}
    simulator.control.set_quota(**place, value=2)
    answer = cloud.create(*(cloud.request(user) for user in ("ann", "bob", "cyd")))
    assert len(answer["PendingRequests"]) == 2
    assert [item["ErrorCode"] for item in answer["FailedRequests"]] == ["ResourceLimitExceededException"]
    with refused("ResourceLimitExceededException"):
        cloud.launch("cyd")
    cloud.terminate(answer["PendingRequests"][0]["WorkspaceId"])
    cloud.launch("cyd")
    simulator.control.set_quota(**place, value=None)
    cloud.launch("dan")


def test_without_capacity_every_machine_fails_and_a_fleet_is_refused(simulator: Simulator, cloud: Cloud) -> None:
    ann = cloud.launch("ann")
    cloud.stop(ann)
    simulator.control.fault("capacity", rate=1.0)
    assert cloud.refusal("bob") == "ResourceUnavailableException"
    assert [item["ErrorCode"] for item in cloud.start(ann)] == ["ResourceUnavailableException"]
    with refused("ResourceNotAvailableException"):
        cloud.applications.start_fleet(Name="any")
    assert cloud.state(ann) == "STOPPED"


def test_a_new_machine_can_show_late_everywhere_and_still_holds_its_user(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    stepped.control.fault("late_visibility", count=1, seconds=30)
    tags = [{"Key": "forge:operation", "Value": "1"}]
    workspace_id = stepped_cloud.launch("ann", Tags=tags)
    user = {"DirectoryId": stepped_cloud.directory_id, "UserName": "ann"}
    assert stepped_cloud.get(workspace_id) is None
    assert stepped_cloud.api.describe_workspaces()["Workspaces"] == []
    assert stepped_cloud.api.describe_workspaces(**user)["Workspaces"] == []
    assert stepped_cloud.tagging.get_resources()["ResourceTagMappingList"] == []
    assert stepped_cloud.terminate(workspace_id)[0]["ErrorCode"] == "ResourceNotFound.WorkSpace"
    with refused("ResourceNotFoundException"):
        stepped_cloud.api.describe_tags(ResourceId=workspace_id)
    assert stepped_cloud.refusal("ann") == "ResourceExists.WorkSpace"
    stepped.control.advance(30)
    assert stepped_cloud.state(workspace_id) == "PENDING"
    assert stepped_cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == tags


def test_the_index_of_tags_can_follow_late_and_the_machine_itself_does_not(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    def indexed() -> list[list[dict[str, str]]]:
        return [one["Tags"] for one in stepped_cloud.tagging.get_resources()["ResourceTagMappingList"]]

    stepped.control.fault("late_tags", count=2, seconds=600)
    workspace_id = stepped_cloud.launch("ann", Tags=[{"Key": "a", "Value": "1"}])
    assert indexed() == []
    stepped.control.advance(600)
    assert indexed() == [[{"Key": "a", "Value": "1"}]]
    stepped_cloud.api.create_tags(ResourceId=workspace_id, Tags=[{"Key": "a", "Value": "2"}])
    assert stepped_cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == [{"Key": "a", "Value": "2"}]
    stepped.control.advance(599)
    assert indexed() == [[{"Key": "a", "Value": "1"}]]
    stepped.control.advance(1)
    assert indexed() == [[{"Key": "a", "Value": "2"}]]


def test_a_silent_no_op_answers_as_if_it_had_happened(simulator: Simulator, cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    simulator.control.fault("no_op", operation="ModifyWorkspaceProperties", count=1)
    cloud.modify(workspace_id, RunningMode="ALWAYS_ON")
    machine = cloud.get(workspace_id)
    assert machine is not None
    assert machine["WorkspaceProperties"]["RunningMode"] == "AUTO_STOP"
    cloud.modify(workspace_id, RunningMode="ALWAYS_ON")
    machine = cloud.get(workspace_id)
    assert machine is not None
    assert machine["WorkspaceProperties"]["RunningMode"] == "ALWAYS_ON"


def test_a_no_op_strikes_changes_only(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("no_op", count=1)
    assert cloud.api.describe_workspaces()["Workspaces"] == []
    assert cloud.get(cloud.launch("ann")) is None


def test_a_machine_that_cannot_join_its_domain_ends_in_error_with_a_code(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    stepped.control.fault("domain_join_failure", count=1)
    workspace_id = stepped_cloud.launch("ann")
    assert stepped_cloud.state(workspace_id) == "PENDING"
    stepped.control.advance(120)
    machine = stepped_cloud.get(workspace_id)
    assert machine is not None
    assert (machine["State"], machine["ErrorCode"]) == ("ERROR", "DomainJoinFailed")
    assert "domain" in machine["ErrorMessage"]
    assert stepped_cloud.terminate(workspace_id) == []


@pytest.mark.parametrize("state", ["UNHEALTHY", "IMPAIRED", "ERROR"])
def test_a_machine_can_come_up_in_another_state_than_available(simulator: Simulator, cloud: Cloud, state: str) -> None:
    simulator.control.fault("unhealthy", operation="StartWorkspaces", count=1, state=state)
    workspace_id = cloud.launch("ann")
    assert cloud.state(workspace_id) == "AVAILABLE"
    cloud.stop(workspace_id)
    cloud.start(workspace_id)
    assert cloud.state(workspace_id) == state
    cloud.stop(workspace_id)
    cloud.start(workspace_id)
    assert cloud.state(workspace_id) == "AVAILABLE"


def test_access_denied_and_any_other_error_by_its_code(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("access_denied", operation="DescribeWorkspaces", count=1)
    simulator.control.fault("access_denied", operation="AssumeRole", count=1)
    with refused("AccessDeniedException"):
        cloud.api.describe_workspaces()
    with refused("AccessDenied"):
        cloud.sts.assume_role(RoleArn="arn:aws:iam::210987654321:role/forge", RoleSessionName="forge")
    simulator.control.fault("error", operation="TerminateWorkspaces", code="InternalServerError", status=500, count=1)
    unwatched = client("workspaces", simulator.url, strict=False)
    with pytest.raises(ClientError) as caught:
        unwatched.terminate_workspaces(TerminateWorkspaceRequests=[{"WorkspaceId": "ws-012345678"}])
    assert caught.value.response["Error"]["Code"] == "InternalServerError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_fault_strikes_its_account_and_region_only(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.fault("throttling", rate=1.0, account="210987654321", region="eu-west-1")
    cloud.api.describe_workspaces()
    Cloud(simulator.url, region="eu-west-1").api.describe_workspaces()
    Cloud(simulator.url, access_key="210987654321").api.describe_workspaces()
    with refused("ThrottlingException"):
        Cloud(simulator.url, region="eu-west-1", access_key="210987654321").api.describe_workspaces()


def test_a_rate_strikes_the_same_calls_again_with_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        with Simulator() as simulator:
            simulator.control.fault("throttling", rate=0.3, seed=seed)
            looks = client("workspaces", simulator.url)
            return [_is_throttled(looks) for _ in range(60)]

    first = struck(7)
    assert first == struck(7)
    assert first != struck(8)
    assert 5 < sum(first) < 35


def _is_throttled(looks: Any) -> bool:
    try:
        looks.describe_account()
    except ClientError as error:
        return error.response["Error"]["Code"] == "ThrottlingException"
    return False


def test_faults_are_withdrawn_one_by_one_or_all(simulator: Simulator, cloud: Cloud) -> None:
    first = simulator.control.fault("throttling", rate=1.0)
    simulator.control.fault("access_denied", rate=1.0)
    assert simulator.control.withdraw_faults(first["number"]) == 1
    with refused("AccessDeniedException"):
        cloud.api.describe_workspaces()
    assert simulator.control.withdraw_faults() == 1
    cloud.api.describe_workspaces()
    assert simulator.control.faults() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "rain", "count": 1}, "kind"),
        ({"kind": "throttling"}, "either a count or a rate"),
        ({"kind": "throttling", "count": 1, "rate": 0.5}, "either a count or a rate"),
        ({"kind": "throttling", "count": 0}, "at least 1"),
        ({"kind": "throttling", "rate": 1.5}, "at most 1"),
        ({"kind": "throttling", "count": True}, "count cannot be"),
        ({"kind": "throttling", "count": 1, "colour": "red"}, "colour"),
        ({"kind": "error", "count": 1}, "code"),
        ({"kind": "late_visibility", "count": 1}, "seconds"),
        ({"kind": "late_tags", "count": 1}, "seconds"),
        ({"kind": "late_visibility", "count": 1, "seconds": 1, "operation": "StopWorkspaces"}, "cannot strike"),
        ({"kind": "no_op", "count": 1, "operation": "DescribeWorkspaces"}, "cannot strike"),
        ({"kind": "unhealthy", "count": 1, "state": "STOPPED"}, "state"),
        ({"kind": "timeout_after", "count": 1, "seconds": -1}, "seconds"),
    ],
)
def test_a_wrong_fault_is_explained_and_not_taken(simulator: Simulator, fault: dict[str, Any], words: str) -> None:
    with pytest.raises(ControlError, match=words) as caught:
        simulator.control.fault(**fault)
    assert caught.value.status == 400
    assert simulator.control.faults() == []


def test_every_kind_of_fault_has_a_test_here() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    assert [kind for kind in KINDS if f'fault("{kind}"' not in text] == []
