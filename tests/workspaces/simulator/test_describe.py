"""DescribeWorkspaces, DescribeWorkspaceBundles, DescribeWorkspaceDirectories: filters and pages."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import REGION, Cloud, client, refused
from workspaces.bundles import BUNDLES
from workspaces.simulator import catalog
from workspaces.simulator.server import Simulator
from workspaces.simulator.wire import DEFAULT_ACCOUNT


def _ids(answer: dict[str, Any]) -> list[str]:
    return [machine["WorkspaceId"] for machine in answer["Workspaces"]]


def test_machines_are_found_by_ids_and_unknown_ids_are_left_out(cloud: Cloud) -> None:
    ann, bob = cloud.launch("ann"), cloud.launch("bob")
    assert _ids(cloud.api.describe_workspaces(WorkspaceIds=[bob, "ws-000000000", ann, bob])) == [ann, bob]


def test_machines_are_found_by_directory_and_user_whatever_the_case(cloud: Cloud) -> None:
    ann = cloud.launch("Ann")
    cloud.launch("ann", DirectoryId=catalog.directory_id(cloud.region, 2))
    assert _ids(cloud.api.describe_workspaces(DirectoryId=cloud.directory_id, UserName="aNN")) == [ann]
    assert _ids(cloud.api.describe_workspaces(DirectoryId=cloud.directory_id, UserName="bob")) == []


def test_machines_are_found_by_directory_and_by_bundle(cloud: Cloud) -> None:
    ann = cloud.launch("ann")
    bob = cloud.launch("bob", BundleId=cloud.bundle_id("POWER"))
    cyd = cloud.launch("cyd", DirectoryId=catalog.directory_id(cloud.region, 2))
    assert _ids(cloud.api.describe_workspaces(DirectoryId=cloud.directory_id)) == [ann, bob]
    assert _ids(cloud.api.describe_workspaces(BundleId=cloud.bundle_id())) == [ann, cyd]
    assert _ids(cloud.api.describe_workspaces(DirectoryId="d-0123456789")) == []


def test_only_user_decoupled_machines_would_have_a_name(cloud: Cloud) -> None:
    cloud.launch("ann")
    assert _ids(cloud.api.describe_workspaces(WorkspaceName="ann")) == []


@pytest.mark.parametrize(
    "filters",
    [
        {"WorkspaceIds": ["ws-000000000"], "DirectoryId": "d-0123456789"},
        {"WorkspaceIds": ["ws-000000000"], "BundleId": "wsb-000000000"},
        {"DirectoryId": "d-0123456789", "BundleId": "wsb-000000000"},
        {"UserName": "ann"},
        {"UserName": "ann", "BundleId": "wsb-000000000"},
    ],
)
def test_filters_cannot_be_combined_but_directory_and_user(cloud: Cloud, filters: dict[str, Any]) -> None:
    with refused("InvalidParameterValuesException"):
        cloud.api.describe_workspaces(**filters)


def test_pages_hold_25_machines_and_lead_to_all_of_them_in_order(cloud: Cloud) -> None:
    launched = [cloud.launch(f"user{number}") for number in range(60)]
    pages = list(cloud.api.get_paginator("describe_workspaces").paginate())
    assert [len(page["Workspaces"]) for page in pages] == [25, 25, 10]
    assert [workspace_id for page in pages for workspace_id in _ids(page)] == launched
    assert "NextToken" not in pages[-1]


def test_machines_of_one_batch_come_on_as_many_pages_as_asked(cloud: Cloud) -> None:
    answer = cloud.create(*(cloud.request(f"user{number}") for number in range(7)))
    pages = cloud.api.get_paginator("describe_workspaces").paginate(PaginationConfig={"PageSize": 2})
    launched = [machine["WorkspaceId"] for machine in answer["PendingRequests"]]
    assert [workspace_id for page in pages for workspace_id in _ids(page)] == launched


def test_a_page_that_ends_exactly_with_the_last_machine_has_no_token(cloud: Cloud) -> None:
    for number in range(4):
        cloud.launch(f"user{number}")
    first = cloud.api.describe_workspaces(Limit=2)
    second = cloud.api.describe_workspaces(Limit=2, NextToken=first["NextToken"])
    assert len(second["Workspaces"]) == 2
    assert "NextToken" not in second


def test_machines_that_end_between_two_pages_shift_nothing(cloud: Cloud) -> None:
    launched = [cloud.launch(f"user{number}") for number in range(6)]
    first = cloud.api.describe_workspaces(Limit=3)
    cloud.terminate(launched[0], launched[2])
    second = cloud.api.describe_workspaces(Limit=3, NextToken=first["NextToken"])
    assert _ids(second) == launched[3:]


def test_a_token_of_another_question_is_refused(cloud: Cloud) -> None:
    for number in range(3):
        cloud.launch(f"user{number}")
    token = cloud.api.describe_workspaces(Limit=1)["NextToken"]
    for wrong in ({"DirectoryId": cloud.directory_id, "NextToken": token}, {"NextToken": "x"}, {"NextToken": "é" * 9}):
        with refused("InvalidParameterValuesException"):
            cloud.api.describe_workspaces(**wrong)


def test_the_limit_of_a_page_is_from_1_to_25(cloud: Cloud) -> None:
    with refused("ValidationException"):
        cloud.api.describe_workspaces(Limit=26)


def test_bundles_of_amazon_and_of_the_account_are_told_apart_by_owner(cloud: Cloud) -> None:
    paginator = cloud.api.get_paginator("describe_workspace_bundles")
    amazon = [bundle for page in paginator.paginate(Owner="AMAZON") for bundle in page["Bundles"]]
    own = [bundle for page in paginator.paginate() for bundle in page["Bundles"]]
    assert {bundle["Owner"] for bundle in amazon} == {"AMAZON"}
    assert {bundle["Owner"] for bundle in own} == {DEFAULT_ACCOUNT}
    assert {bundle["ComputeType"]["Name"] for bundle in amazon} == set(catalog.COMPUTE_TYPES)
    assert {bundle["ComputeType"]["Name"] for bundle in own} == set(catalog.COMPUTE_TYPES)
    assert len({bundle["BundleId"] for bundle in amazon + own}) == len(catalog.IMAGES) * len(catalog.COMPUTE_TYPES)


def test_bundles_are_found_by_id_whoever_owns_them(cloud: Cloud) -> None:
    wanted = [cloud.bundle_id("STANDARD", "ubuntu-22-04"), cloud.bundle_id("GRAPHICSPRO_G4DN", "design-windows-1")]
    found = cloud.api.describe_workspace_bundles(BundleIds=[*wanted, "wsb-000000000"])["Bundles"]
    assert [bundle["BundleId"] for bundle in found] == wanted
    assert "ImageId" not in found[0]
    assert found[1]["ImageId"] == catalog.image_id(cloud.region, "design-windows-1")


def test_bundle_ids_and_owner_cannot_be_combined(cloud: Cloud) -> None:
    with refused("InvalidParameterValuesException"):
        cloud.api.describe_workspace_bundles(BundleIds=[cloud.bundle_id()], Owner="AMAZON")


def test_each_region_has_two_registered_shared_directories_without_self_service(cloud: Cloud) -> None:
    directories = cloud.api.describe_workspace_directories()["Directories"]
    assert [one["DirectoryId"] for one in directories] == [catalog.directory_id(cloud.region, n) for n in (1, 2)]
    for one in directories:
        assert (one["State"], one["Tenancy"], one["WorkspaceType"]) == ("REGISTERED", "SHARED", "PERSONAL")
        assert set(one["SelfservicePermissions"].values()) == {"DISABLED"}
        assert one["WorkspaceCreationProperties"]["EnableInternetAccess"] is False
        assert one["WorkspaceAccessProperties"]["DeviceTypeWindows"] == "ALLOW"


def test_directories_are_found_by_id_filter_and_page(cloud: Cloud) -> None:
    describe = cloud.api.describe_workspace_directories
    second = catalog.directory_id(cloud.region, 2)
    assert [one["DirectoryId"] for one in describe(DirectoryIds=[second])["Directories"]] == [second]
    assert describe(DirectoryIds=["d-0123456789"])["Directories"] == []
    assert describe(WorkspaceDirectoryNames=["pool"])["Directories"] == []
    pools = [{"Name": "WORKSPACE_TYPE", "Values": ["POOLS"]}]
    assert describe(Filters=pools)["Directories"] == []
    first = describe(Limit=1)
    rest = describe(Limit=1, NextToken=first["NextToken"])
    assert [one["DirectoryId"] for one in rest["Directories"]] == [second]
    assert "NextToken" not in rest


def test_regions_and_accounts_share_nothing(simulator: Simulator, cloud: Cloud) -> None:
    ann = cloud.launch("ann")
    ireland = Cloud(simulator.url, region="eu-west-1")
    other_account = Cloud(simulator.url, access_key="210987654321")
    other_account.directory_id = catalog.directory_id(REGION, 2)
    same_account = client("workspaces", simulator.url, access_key="AKIAROTATED")
    for elsewhere in (ireland, other_account):
        assert elsewhere.get(ann) is None
        assert elsewhere.terminate(ann)[0]["ErrorCode"] == "ResourceNotFound.WorkSpace"
        elsewhere.launch("ann")
    assert _ids(same_account.describe_workspaces()) == [ann]
    assert ireland.directory_id != cloud.directory_id


def test_a_directory_is_that_accounts_which_first_had_a_machine_in_it(simulator: Simulator, cloud: Cloud) -> None:
    other_account = Cloud(simulator.url, access_key="210987654321")
    shown = [one["DirectoryId"] for one in other_account.api.describe_workspace_directories()["Directories"]]
    assert cloud.directory_id in shown
    cloud.launch("ann")
    left = [one["DirectoryId"] for one in other_account.api.describe_workspace_directories()["Directories"]]
    assert left == [one for one in shown if one != cloud.directory_id]
    (failed,) = other_account.create(other_account.request("ann"))["FailedRequests"]
    assert failed["ErrorCode"] == "ResourceNotFound.Directory"


def test_the_volumes_of_each_bundle_are_those_that_forge_reckons_with():
    ours = {name: (facts.root_volume_gb, facts.user_volume_gb) for name, facts in BUNDLES.items()}
    assert {name: (one.root_gib, one.user_gib) for name, one in catalog.COMPUTE_TYPES.items()} == ours
