"""What a posture check reads of a directory, and how it is changed; images and the account."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import REGION, Cloud, refused
from workspaces.simulator import catalog
from workspaces.simulator.server import Simulator


def _directory(cloud: Cloud) -> dict[str, Any]:
    return cloud.api.describe_workspace_directories(DirectoryIds=[cloud.directory_id])["Directories"][0]


def test_a_directory_shows_what_a_posture_check_reads(cloud: Cloud) -> None:
    shown = _directory(cloud)
    assert shown["EndpointEncryptionMode"] == "STANDARD_TLS"
    assert shown["WorkspaceCreationProperties"]["EnableInternetAccess"] is False
    assert set(shown["SelfservicePermissions"].values()) == {"DISABLED"}
    assert shown["WorkspaceAccessProperties"]["DeviceTypeZeroClient"] == "DENY"
    assert shown["RegistrationCode"].startswith("SLiad+")


@pytest.mark.parametrize(
    ("call", "member", "change"),
    [
        ("modify_selfservice_permissions", "SelfservicePermissions", {"RebuildWorkspace": "ENABLED"}),
        ("modify_workspace_access_properties", "WorkspaceAccessProperties", {"DeviceTypeIos": "ALLOW"}),
        ("modify_workspace_creation_properties", "WorkspaceCreationProperties", {"EnableInternetAccess": True}),
        ("modify_streaming_properties", "StreamingProperties", {"StreamingExperiencePreferredProtocol": "UDP"}),
    ],
)
def test_a_change_sets_what_it_names_and_leaves_the_rest(
    cloud: Cloud, call: str, member: str, change: dict[str, Any]
) -> None:
    before = _directory(cloud)
    getattr(cloud.api, call)(ResourceId=cloud.directory_id, **{member: change})
    after = _directory(cloud)
    assert after.pop(member) == before.pop(member, {}) | change
    assert after == before
    other = catalog.directory_id(REGION, 2)
    assert (
        change.items()
        - cloud.api.describe_workspace_directories(DirectoryIds=[other])["Directories"][0].get(member, {}).items()
    )


def test_the_encryption_of_endpoints_is_set(cloud: Cloud) -> None:
    cloud.api.modify_endpoint_encryption_mode(DirectoryId=cloud.directory_id, EndpointEncryptionMode="FIPS_VALIDATED")
    assert _directory(cloud)["EndpointEncryptionMode"] == "FIPS_VALIDATED"


def test_changes_of_a_directory_survive_a_restart(tmp_path: Any) -> None:
    state_file = tmp_path / "aws.state"
    settings = {"WorkspaceCreationProperties": {"EnableInternetAccess": True}}
    with Simulator(state_file=state_file) as first:
        cloud = Cloud(first.url)
        cloud.api.modify_workspace_creation_properties(ResourceId=cloud.directory_id, **settings)
    with Simulator(state_file=state_file) as second:
        assert _directory(Cloud(second.url))["WorkspaceCreationProperties"]["EnableInternetAccess"] is True


def test_an_unknown_directory_is_not_found(cloud: Cloud) -> None:
    with refused("ResourceNotFoundException"):
        cloud.api.modify_selfservice_permissions(ResourceId="d-0123456789", SelfservicePermissions={})


def test_own_images_are_described_by_id_and_page(cloud: Cloud) -> None:
    own = [image for image in catalog.IMAGES.values() if not image.is_amazon]
    first = cloud.api.describe_workspace_images(MaxResults=5)
    rest = cloud.api.describe_workspace_images(MaxResults=5, NextToken=first["NextToken"])
    assert [one["Name"] for one in first["Images"] + rest["Images"]] == [image.name for image in own]
    one = catalog.image_id(REGION, "engineering-linux-1")
    (shown,) = cloud.api.describe_workspace_images(ImageIds=[one])["Images"]
    assert (shown["ImageId"], shown["OperatingSystem"], shown["State"]) == (one, {"Type": "LINUX"}, "AVAILABLE")
    assert cloud.api.describe_workspace_images(ImageType="SHARED")["Images"] == []


def test_an_account_has_no_dedicated_tenancy(cloud: Cloud) -> None:
    assert cloud.api.describe_account()["DedicatedTenancySupport"] == "DISABLED"
