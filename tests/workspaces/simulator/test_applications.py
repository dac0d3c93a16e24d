"""WorkSpaces Applications: fleets, stacks, users, sessions, tags."""

from typing import Any

import pytest
from botocore.client import BaseClient

from tests.workspaces.simulator.cloud import REGION, Cloud, refused
from workspaces.simulator.applications.common import QUOTAS
from workspaces.simulator.applications.images import application_arn
from workspaces.simulator.client import ControlError
from workspaces.simulator.server import Simulator

COMBINATION = "InvalidParameterCombinationException"
IMAGE = "engineering-apps-1"
ACCOUNT = "123456789012"
TRANSFERS = (
    "CLIPBOARD_COPY_FROM_LOCAL_DEVICE",
    "CLIPBOARD_COPY_TO_LOCAL_DEVICE",
    "FILE_UPLOAD",
    "FILE_DOWNLOAD",
    "PRINTING_TO_LOCAL_DEVICE",
)


def fleet(api: BaseClient, name: str = "fleet", **more: Any) -> dict[str, Any]:
    """Create one, on demand with two instances unless `more` says otherwise."""
    asked = {"InstanceType": "stream.standard.medium", "ImageName": IMAGE, "ComputeCapacity": {"DesiredInstances": 2}}
    return api.create_fleet(Name=name, **(asked | more))["Fleet"]


def elastic(api: BaseClient, name: str = "elastic", **more: Any) -> dict[str, Any]:
    asked = {"InstanceType": "stream.standard.medium", "FleetType": "ELASTIC", "MaxConcurrentSessions": 3}
    network = {"VpcConfig": {"SubnetIds": ["subnet-a", "subnet-b"]}}
    return api.create_fleet(Name=name, **(asked | network | more))["Fleet"]


def running(api: BaseClient, name: str = "fleet", stack: str = "stack", **more: Any) -> None:
    """A fleet that runs for a stack, on a simulator without delays."""
    fleet(api, name, **more)
    api.create_stack(Name=stack)
    api.associate_fleet(FleetName=name, StackName=stack)
    api.start_fleet(Name=name)


def _state(api: BaseClient, name: str = "fleet") -> str:
    return api.describe_fleets(Names=[name])["Fleets"][0]["State"]


@pytest.fixture
def api(cloud: Cloud) -> BaseClient:
    return cloud.applications


def test_a_new_fleet_is_stopped_and_shows_what_was_asked(api: BaseClient) -> None:
    made = fleet(api, DisplayName="Engineering", Tags={"team": "red"}, DomainJoinInfo={"DirectoryName": "corp"})
    assert (made["State"], made["FleetType"], made["EnableDefaultInternetAccess"]) == ("STOPPED", "ON_DEMAND", False)
    assert (made["ImageName"], made["DisplayName"]) == (IMAGE, "Engineering")
    assert made["ImageArn"] == f"arn:aws:appstream:{REGION}:{ACCOUNT}:image/{IMAGE}"
    assert made["ComputeCapacityStatus"] == {"Desired": 2, "Running": 0, "InUse": 0, "Available": 0}
    assert api.describe_fleets()["Fleets"] == [made]


def test_a_fleet_starts_and_stops_over_passing_states(stepped: Simulator, stepped_cloud: Cloud) -> None:
    api = stepped_cloud.applications
    fleet(api)
    seen = []
    for command in (api.start_fleet, api.stop_fleet):
        command(Name="fleet")
        seen.append(_state(api))
        stepped.control.advance(600)
        seen.append(_state(api))
    assert seen == ["STARTING", "RUNNING", "STOPPING", "STOPPED"]


def test_a_running_fleet_cannot_be_started_and_a_stopped_one_stays_so(api: BaseClient) -> None:
    fleet(api)
    api.stop_fleet(Name="fleet")
    assert _state(api) == "STOPPED"
    api.start_fleet(Name="fleet")
    with refused("OperationNotPermittedException"):
        api.start_fleet(Name="fleet")


@pytest.mark.parametrize(
    "more",
    [
        {"ComputeCapacity": {}},
        {"ComputeCapacity": {"DesiredInstances": 1, "DesiredSessions": 1}},
        {"MaxConcurrentSessions": 3},
        {"MaxUserDurationInSeconds": 599},
        {"DisconnectTimeoutInSeconds": 36_001},
        {"IdleDisconnectTimeoutInSeconds": 59},
        {"ImageArn": f"arn:aws:appstream:{REGION}:{ACCOUNT}:image/{IMAGE}"},
        {"InstanceType": "t3.large"},
    ],
)
def test_a_fleet_that_cannot_be_is_refused(api: BaseClient, more: dict[str, Any]) -> None:
    with refused(COMBINATION):
        fleet(api, **more)
    assert api.describe_fleets()["Fleets"] == []


def test_an_elastic_fleet_has_sessions_and_subnets_instead_of_instances(api: BaseClient) -> None:
    assert elastic(api)["ComputeCapacityStatus"]["Desired"] == 3
    for more in ({"VpcConfig": {"SubnetIds": ["subnet-a"]}}, {"ComputeCapacity": {"DesiredInstances": 1}}):
        with refused(COMBINATION):
            elastic(api, "other", **more)


def test_what_does_not_exist_is_not_found(api: BaseClient) -> None:
    calls = (
        lambda: fleet(api, ImageName="windows-95"),
        lambda: api.describe_fleets(Names=["none"]),
        lambda: api.describe_stacks(Names=["none"]),
        lambda: api.start_fleet(Name="none"),
        lambda: api.stop_fleet(Name="none"),
        lambda: api.delete_fleet(Name="none"),
        lambda: api.delete_stack(Name="none"),
        lambda: api.update_stack(Name="none"),
        lambda: api.associate_fleet(FleetName="none", StackName="none"),
        lambda: api.describe_images(Names=["none"]),
        lambda: api.describe_applications(Arns=[f"arn:aws:appstream:{REGION}:{ACCOUNT}:application/none"]),
        lambda: api.list_tags_for_resource(ResourceArn=f"arn:aws:appstream:{REGION}:{ACCOUNT}:fleet/none"),
    )
    for call in calls:
        with refused("ResourceNotFoundException"):
            call()


def test_names_are_unique_and_quotas_hold(simulator: Simulator, api: BaseClient) -> None:
    for number in range(QUOTAS["Stacks"]):
        api.create_stack(Name=f"stack-{number}")
    with refused("ResourceAlreadyExistsException"):
        api.create_stack(Name="stack-0")
    with refused("LimitExceededException"):
        api.create_stack(Name="more")
    simulator.control.set_quota(account=ACCOUNT, region=REGION, name="Stacks", value=11)
    api.create_stack(Name="more")
    simulator.control.set_quota(account=ACCOUNT, region=REGION, name="Fleets", value=0)
    with refused("LimitExceededException"):
        fleet(api)


def test_a_stopped_fleet_changes_in_everything_and_a_running_one_in_part(api: BaseClient) -> None:
    fleet(api)
    changed = api.update_fleet(Name="fleet", InstanceType="stream.standard.large", ImageName="office-apps-1")["Fleet"]
    assert (changed["InstanceType"], changed["ImageName"]) == ("stream.standard.large", "office-apps-1")
    assert changed["ImageArn"].endswith("image/office-apps-1")
    api.start_fleet(Name="fleet")
    changed = api.update_fleet(Name="fleet", ComputeCapacity={"DesiredInstances": 5}, DisplayName="New")["Fleet"]
    assert (changed["ComputeCapacityStatus"]["Running"], changed["DisplayName"]) == (5, "New")
    for more in ({"InstanceType": "stream.standard.medium"}, {"EnableDefaultInternetAccess": True}):
        with refused("ResourceInUseException"):
            api.update_fleet(Name="fleet", **more)
    assert api.describe_fleets()["Fleets"] == [changed]


def test_a_fleet_in_a_passing_state_cannot_be_changed(stepped_cloud: Cloud) -> None:
    api = stepped_cloud.applications
    fleet(api)
    api.start_fleet(Name="fleet")
    with refused("ResourceInUseException"):
        api.update_fleet(Name="fleet", DisplayName="New")


def test_attributes_of_a_fleet_are_deleted(api: BaseClient) -> None:
    fleet(api, DomainJoinInfo={"DirectoryName": "corp"}, VpcConfig={"SubnetIds": ["subnet-a"]})
    changed = api.update_fleet(Name="fleet", AttributesToDelete=["DOMAIN_JOIN_INFO"], DeleteVpcConfig=True)["Fleet"]
    assert not {"DomainJoinInfo", "VpcConfig"} & set(changed)


def test_fleets_and_stacks_are_deleted_only_when_nothing_depends_on_them(api: BaseClient) -> None:
    running(api)
    with refused("ResourceInUseException"):
        api.delete_fleet(Name="fleet")
    api.stop_fleet(Name="fleet")
    with refused("ResourceInUseException"):
        api.delete_fleet(Name="fleet")
    with refused("ResourceInUseException"):
        api.delete_stack(Name="stack")
    api.disassociate_fleet(FleetName="fleet", StackName="stack")
    api.delete_fleet(Name="fleet")
    api.delete_stack(Name="stack")
    assert (api.describe_fleets()["Fleets"], api.describe_stacks()["Stacks"]) == ([], [])


def _permissions(stack: dict[str, Any]) -> dict[str, str]:
    return {one["Action"]: one["Permission"] for one in stack["UserSettings"]}


def test_a_stack_allows_every_transfer_unless_told_otherwise(api: BaseClient) -> None:
    made = api.create_stack(Name="stack", DisplayName="Stack")["Stack"]
    assert {_permissions(made)[action] for action in TRANSFERS} == {"ENABLED"}
    assert made["Arn"] == f"arn:aws:appstream:{REGION}:{ACCOUNT}:stack/stack"


def test_user_settings_are_disabled_one_by_one_and_come_back_on_deletion(api: BaseClient) -> None:
    off = [{"Action": action, "Permission": "DISABLED"} for action in TRANSFERS]
    made = api.create_stack(Name="stack", UserSettings=off)["Stack"]
    assert {_permissions(made)[action] for action in TRANSFERS} == {"DISABLED"}
    changed = api.update_stack(Name="stack", UserSettings=[{"Action": "FILE_UPLOAD", "Permission": "ENABLED"}])["Stack"]
    assert [action for action in TRANSFERS if _permissions(changed)[action] == "ENABLED"] == ["FILE_UPLOAD"]
    reset = api.update_stack(Name="stack", AttributesToDelete=["USER_SETTINGS"])["Stack"]
    assert {_permissions(reset)[action] for action in TRANSFERS} == {"ENABLED"}
    assert api.describe_stacks(Names=["stack"])["Stacks"] == [reset]


def test_a_stack_has_one_fleet_and_a_fleet_many_stacks(api: BaseClient) -> None:
    for name in ("one", "two"):
        fleet(api, name)
        api.create_stack(Name=f"stack-{name}")
    api.associate_fleet(FleetName="one", StackName="stack-one")
    api.associate_fleet(FleetName="one", StackName="stack-one")
    api.associate_fleet(FleetName="one", StackName="stack-two")
    with refused("LimitExceededException"):
        api.associate_fleet(FleetName="two", StackName="stack-one")
    assert api.list_associated_fleets(StackName="stack-one")["Names"] == ["one"]
    assert api.list_associated_stacks(FleetName="one")["Names"] == ["stack-one", "stack-two"]
    api.disassociate_fleet(FleetName="one", StackName="stack-one")
    assert api.list_associated_fleets(StackName="stack-one")["Names"] == []


def test_users_of_the_pool_are_created_once_disabled_and_deleted(api: BaseClient) -> None:
    ann = {"UserName": "ann@robco.example", "AuthenticationType": "USERPOOL"}
    api.create_user(**ann, FirstName="Ann", LastName="Lee", MessageAction="SUPPRESS")
    with refused("ResourceAlreadyExistsException"):
        api.create_user(**ann)
    api.create_user(**ann, MessageAction="RESEND")
    api.disable_user(**ann)
    (shown,) = api.describe_users(AuthenticationType="USERPOOL")["Users"]
    assert (shown["UserName"], shown["Enabled"], shown["FirstName"]) == ("ann@robco.example", False, "Ann")
    api.enable_user(**ann)
    assert api.describe_users(AuthenticationType="USERPOOL")["Users"][0]["Enabled"]
    api.delete_user(**ann)
    assert api.describe_users(AuthenticationType="USERPOOL")["Users"] == []
    with refused("ResourceNotFoundException"):
        api.delete_user(**ann)


@pytest.mark.parametrize(
    "wrong",
    [
        {"UserName": "ann", "AuthenticationType": "USERPOOL"},
        {"UserName": "ann@robco.example", "AuthenticationType": "SAML"},
        {"UserName": "ann@robco.example", "AuthenticationType": "USERPOOL", "MessageAction": "RESEND"},
    ],
)
def test_a_user_that_cannot_be_is_refused(api: BaseClient, wrong: dict[str, str]) -> None:
    with refused(COMBINATION):
        api.create_user(**wrong)


def test_users_are_associated_with_stacks_in_batches_that_fail_in_part(api: BaseClient) -> None:
    api.create_stack(Name="stack")
    api.create_user(UserName="ann@robco.example", AuthenticationType="USERPOOL")

    def item(user: str, stack: str) -> dict[str, str]:
        return {"UserName": f"{user}@robco.example", "StackName": stack, "AuthenticationType": "USERPOOL"}

    answer = api.batch_associate_user_stack(
        UserStackAssociations=[item("ann", "stack"), item("bob", "stack"), item("ann", "none")]
    )
    assert [one["ErrorCode"] for one in answer["errors"]] == ["USER_NAME_NOT_FOUND", "STACK_NOT_FOUND"]
    found = api.describe_user_stack_associations(StackName="stack")["UserStackAssociations"]
    assert [(one["UserName"], one["StackName"]) for one in found] == [("ann@robco.example", "stack")]
    assert api.describe_user_stack_associations(UserName="ann@robco.example", AuthenticationType="USERPOOL")
    api.batch_disassociate_user_stack(UserStackAssociations=[item("ann", "stack")])
    assert "UserStackAssociations" not in api.describe_user_stack_associations(StackName="stack")
    with refused(COMBINATION):
        api.describe_user_stack_associations()


def test_users_of_the_pool_cannot_use_a_fleet_joined_to_a_domain(api: BaseClient) -> None:
    fleet(api, DomainJoinInfo={"DirectoryName": "corp"})
    api.create_stack(Name="stack")
    api.associate_fleet(FleetName="fleet", StackName="stack")
    api.create_user(UserName="ann@robco.example", AuthenticationType="USERPOOL")
    one = {"UserName": "ann@robco.example", "StackName": "stack", "AuthenticationType": "USERPOOL"}
    with refused("OperationNotPermittedException"):
        api.batch_associate_user_stack(UserStackAssociations=[one])


def test_what_ends_takes_its_associations_along(api: BaseClient) -> None:
    one = {"UserName": "ann@robco.example", "StackName": "stack", "AuthenticationType": "USERPOOL"}
    for end in (
        lambda: api.delete_stack(Name="stack"),
        lambda: api.delete_user(UserName="ann@robco.example", AuthenticationType="USERPOOL"),
    ):
        if not api.describe_users(AuthenticationType="USERPOOL")["Users"]:
            api.create_user(UserName="ann@robco.example", AuthenticationType="USERPOOL")
        if not api.describe_stacks()["Stacks"]:
            api.create_stack(Name="stack")
        api.batch_associate_user_stack(UserStackAssociations=[one])
        end()
        assert "UserStackAssociations" not in api.describe_user_stack_associations(StackName="stack")


def _url(api: BaseClient, user: str = "ann", **more: Any) -> str:
    return api.create_streaming_url(FleetName="fleet", StackName="stack", UserId=user, **more)["StreamingURL"]


def _sessions(api: BaseClient) -> list[tuple[str, str]]:
    found = api.describe_sessions(StackName="stack", FleetName="fleet")["Sessions"]
    return [(one["UserId"], one["ConnectionState"]) for one in found]


def test_a_streaming_url_needs_a_running_associated_fleet(api: BaseClient) -> None:
    fleet(api)
    api.create_stack(Name="stack")
    with refused("OperationNotPermittedException"):
        _url(api)
    api.associate_fleet(FleetName="fleet", StackName="stack")
    with refused("ResourceNotAvailableException"):
        _url(api)
    api.start_fleet(Name="fleet")
    assert _url(api).startswith("https://appstream2.us-east-1.aws.amazon.com/authenticate?parameters=")
    assert _url(api, ApplicationId="code-editor")
    with refused("ResourceNotFoundException"):
        _url(api, ApplicationId="office-suite")
    for validity in (0, 604_801):
        with refused(COMBINATION):
            _url(api, Validity=validity)


def test_an_opened_url_is_a_session_that_takes_an_instance(simulator: Simulator, api: BaseClient) -> None:
    running(api)
    session = simulator.control.open_stream(_url(api))
    assert simulator.control.open_stream(_url(api))["Id"] == session["Id"]
    simulator.control.open_stream(_url(api, "bob"))
    assert _sessions(api) == [("ann", "CONNECTED"), ("bob", "CONNECTED")]
    assert api.describe_fleets()["Fleets"][0]["ComputeCapacityStatus"]["Available"] == 0
    with pytest.raises(ControlError, match="no instance free"):
        simulator.control.open_stream(_url(api, "cyd"))
    with refused("ResourceInUseException"):
        api.disassociate_fleet(FleetName="fleet", StackName="stack")
    api.expire_session(SessionId=session["Id"])
    assert _sessions(api) == [("bob", "CONNECTED")]
    asked = {"StackName": "stack", "FleetName": "fleet", "UserId": "bob"}
    assert len(api.describe_sessions(**asked, AuthenticationType="API")["Sessions"]) == 1
    with refused(COMBINATION):
        api.describe_sessions(**asked)
    api.stop_fleet(Name="fleet")
    assert _sessions(api) == []


def test_a_session_ends_by_itself_and_a_url_expires() -> None:
    with Simulator(speed=0, durations={"FLEET_STARTING": 0}) as simulator:
        api = Cloud(simulator.url).applications
        running(api, DisconnectTimeoutInSeconds=60, MaxUserDurationInSeconds=600)
        late = _url(api)
        session = simulator.control.open_stream(_url(api))
        simulator.control.leave_stream(session["Id"])
        simulator.control.advance(59)
        assert _sessions(api) == [("ann", "NOT_CONNECTED")]
        simulator.control.advance(1)
        assert _sessions(api) == []
        with pytest.raises(ControlError, match="expired"):
            simulator.control.open_stream(late)
        simulator.control.open_stream(_url(api))
        simulator.control.advance(600)
        assert _sessions(api) == []


def test_applications_are_associated_with_elastic_fleets_only(api: BaseClient) -> None:
    elastic(api)
    fleet(api)
    arn = application_arn(ACCOUNT, REGION, "cad-viewer")
    assert arn in {one["Arn"] for one in api.describe_applications()["Applications"]}
    api.associate_application_fleet(FleetName="elastic", ApplicationArn=arn)
    found = api.describe_application_fleet_associations(FleetName="elastic")["ApplicationFleetAssociations"]
    assert found == [{"FleetName": "elastic", "ApplicationArn": arn}]
    with refused("OperationNotPermittedException"):
        api.associate_application_fleet(FleetName="fleet", ApplicationArn=arn)
    with refused(COMBINATION):
        api.describe_application_fleet_associations()
    api.disassociate_application_fleet(FleetName="elastic", ApplicationArn=arn)
    with refused("OperationNotPermittedException"):
        api.disassociate_application_fleet(FleetName="elastic", ApplicationArn=arn)
    assert "ApplicationFleetAssociations" not in api.describe_application_fleet_associations(ApplicationArn=arn)


def test_a_deleted_elastic_fleet_takes_its_applications_along(api: BaseClient) -> None:
    elastic(api)
    api.associate_application_fleet(FleetName="elastic", ApplicationArn=application_arn(ACCOUNT, REGION, "cad-viewer"))
    api.delete_fleet(Name="elastic")
    elastic(api)
    assert "ApplicationFleetAssociations" not in api.describe_application_fleet_associations(FleetName="elastic")


@pytest.mark.parametrize("parameters", ["", "?parameters=e30=", "?parameters=W10=", "?parameters=%00"])
def test_what_is_no_streaming_url_opens_nothing(simulator: Simulator, parameters: str) -> None:
    with pytest.raises(ControlError, match="no streaming URL"):
        simulator.control.open_stream(f"https://appstream2.us-east-1.aws.amazon.com/authenticate{parameters}")


def test_images_are_public_or_the_accounts_own(api: BaseClient) -> None:
    public = api.describe_images(Type="PUBLIC")["Images"]
    private = api.describe_images(Type="PRIVATE")["Images"]
    assert {one["Name"] for one in private} == {"engineering-apps-1", "office-apps-1"}
    assert all(f":{ACCOUNT}:" not in one["Arn"] for one in public)
    assert api.describe_images(Arns=[private[0]["Arn"]])["Images"] == [private[0]]
    assert [one["Name"] for one in private[0]["Applications"]] == ["code-editor", "cad-viewer"]


def test_tags_of_fleets_and_stacks_are_found_by_the_tagging_api(cloud: Cloud, api: BaseClient) -> None:
    made = fleet(api, Tags={"team": "red"})
    stack = api.create_stack(Name="stack", Tags={"team": "red", "cost": "1"})["Stack"]
    cloud.launch("ann", Tags=[{"Key": "team", "Value": "red"}])
    api.tag_resource(ResourceArn=made["Arn"], Tags={"owner": "ann"})
    api.untag_resource(ResourceArn=stack["Arn"], TagKeys=["cost"])
    assert api.list_tags_for_resource(ResourceArn=made["Arn"])["Tags"] == {"team": "red", "owner": "ann"}
    asked = {"TagFilters": [{"Key": "team", "Values": ["red"]}]}
    found = cloud.tagging.get_resources(**asked, ResourceTypeFilters=["appstream"])["ResourceTagMappingList"]
    assert {one["ResourceARN"] for one in found} == {made["Arn"], stack["Arn"]}
    fleets = cloud.tagging.get_resources(**asked, ResourceTypeFilters=["appstream:fleet"])["ResourceTagMappingList"]
    assert [one["ResourceARN"] for one in fleets] == [made["Arn"]]
    assert len(cloud.tagging.get_resources(**asked)["ResourceTagMappingList"]) == 3
    api.delete_fleet(Name="fleet")
    assert len(cloud.tagging.get_resources(**asked)["ResourceTagMappingList"]) == 2


def test_a_fleet_has_at_most_50_tags(api: BaseClient) -> None:
    arn = fleet(api, Tags={f"key-{number}": "" for number in range(50)})["Arn"]
    with refused("LimitExceededException"):
        api.tag_resource(ResourceArn=arn, Tags={"more": ""})


@pytest.mark.parametrize("tags", [{"aws:key": ""}, {"AWS:key": ""}, {"key": "aws:value"}])
def test_tags_of_a_fleet_or_stack_begin_neither_key_nor_value_with_aws(api: BaseClient, tags: dict[str, str]) -> None:
    arn = fleet(api)["Arn"]
    with refused("ValidationException"):
        api.tag_resource(ResourceArn=arn, Tags=tags)
    with refused("ValidationException"):
        fleet(api, "another", Tags=tags)
    with refused("ValidationException"):
        api.create_stack(Name="stack", Tags=tags)
    assert "Tags" not in api.list_tags_for_resource(ResourceArn=arn)
    assert len(api.describe_fleets()["Fleets"]) == 1
    assert api.describe_stacks()["Stacks"] == []


def test_lists_come_in_pages(simulator: Simulator, api: BaseClient) -> None:
    simulator.control.set_quota(account=ACCOUNT, region=REGION, name="Stacks", value=60)
    for number in range(51):
        api.create_stack(Name=f"stack-{number}")
    first = api.describe_stacks()
    assert len(first["Stacks"]) == 50
    rest = api.describe_stacks(NextToken=first["NextToken"])
    assert [one["Name"] for one in rest["Stacks"]] == ["stack-50"]
    assert "NextToken" not in rest


def test_everything_survives_a_restart(tmp_path: Any) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(durations={"FLEET_STARTING": 0}, state_file=state_file) as first:
        api = Cloud(first.url).applications
        running(api, Tags={"team": "red"})
        first.control.set_quota(account=ACCOUNT, region=REGION, name="Stacks", value=1)
        first.control.open_stream(_url(api))
        before = (api.describe_fleets()["Fleets"], api.describe_stacks()["Stacks"], _sessions(api))
    with Simulator(state_file=state_file) as second:
        cloud = Cloud(second.url)
        api = cloud.applications
        assert (api.describe_fleets()["Fleets"], api.describe_stacks()["Stacks"], _sessions(api)) == before
        assert len(cloud.tagging.get_resources()["ResourceTagMappingList"]) == 1
        assert api.list_associated_fleets(StackName="stack")["Names"] == ["fleet"]
        with refused("LimitExceededException"):
            api.create_stack(Name="more")
