"""The WorkSpaces operations on what an account has besides machines: bundles, images, directories, itself."""

from collections.abc import Mapping
from typing import Any

from workspaces.simulator import catalog, pages
from workspaces.simulator.errors import AwsError
from workspaces.simulator.inputs import BATCH
from workspaces.simulator.modify import INVALID
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
Answer = dict[str, Any]
KIND = "directory"


def describe_workspace_bundles(place: Place, now: float, request: Request) -> Answer:
    if "BundleIds" in request and "Owner" in request:
        raise AwsError(INVALID, "BundleIds and Owner cannot be combined.")
    owner = request.get("Owner") or place.account
    question = {"DescribeWorkspaceBundles": request.get("BundleIds"), "Owner": request.get("Owner")}
    after = pages.after(request, question, code=INVALID)
    wanted = request.get("BundleIds")
    known = enumerate(catalog.bundles(place.region).values())
    described = (
        (number, catalog.describe_bundle(bundle, account=place.account, region=place.region))
        for number, bundle in known
        if number > after and (wanted is None or bundle.bundle_id in wanted)
    )
    found, token = pages.cut(
        ((number, bundle) for number, bundle in described if wanted is not None or bundle["Owner"] == owner),
        size=BATCH,
        question=question,
    )
    return pages.page("Bundles", found, token)


def describe_workspace_directories(place: Place, now: float, request: Request) -> Answer:
    question = {name: value for name, value in request.items() if name not in {"NextToken", "Limit"}}
    after = pages.after(request, question, code=INVALID)
    described = ((number, directory(place, number)) for number in catalog.directory_numbers(place.region).values())
    found, token = pages.cut(
        (
            (number, item)
            for number, item in described
            if number > after and place.shows(item["DirectoryId"]) and _directory_matches(item, request)
        ),
        size=request.get("Limit", BATCH),
        question=question,
    )
    return pages.page("Directories", found, token)


def _directory_matches(directory: Answer, request: Request) -> bool:
    members = {"USER_IDENTITY_TYPE": "UserIdentityType", "WORKSPACE_TYPE": "WorkspaceType"}
    return (
        directory["DirectoryId"] in request.get("DirectoryIds", [directory["DirectoryId"]])
        and "WorkspaceDirectoryNames" not in request  # AWS Directory Service's own directories have no such name
        and all(directory[members[one["Name"]]] in one["Values"] for one in request.get("Filters", ()))
    )


def directory(place: Place, number: int) -> Answer:
    """A directory as it came, with what was modified since."""
    described = catalog.describe_directory(number, account=place.account, region=place.region)
    for member, value in (place.record(KIND, described["DirectoryId"]) or {}).items():
        described[member] = described.get(member, {}) | value if isinstance(value, dict) else value
    return described


def describe_workspace_images(place: Place, now: float, request: Request) -> Answer:
    del now
    question = {"DescribeWorkspaceImages": request.get("ImageIds"), "ImageType": request.get("ImageType")}
    after = pages.after(request, question, code="AccessDeniedException")
    wanted = request.get("ImageIds")
    own = [image for image in catalog.IMAGES.values() if not image.is_amazon and request.get("ImageType") != "SHARED"]
    described = (
        (number, catalog.describe_image(image, account=place.account, region=place.region))
        for number, image in enumerate(own)
        if number > after
    )
    found, token = pages.cut(
        ((number, image) for number, image in described if wanted is None or image["ImageId"] in wanted),
        size=request.get("MaxResults", BATCH),
        question=question,
    )
    return pages.page("Images", found, token)


def describe_account(place: Place, now: float, request: Request) -> Answer:
    del place, now, request
    return {"DedicatedTenancySupport": "DISABLED"}


def modify_selfservice_permissions(place: Place, now: float, request: Request) -> Answer:
    return _modify(place, now, request["ResourceId"], {"SelfservicePermissions": request["SelfservicePermissions"]})


def modify_workspace_access_properties(place: Place, now: float, request: Request) -> Answer:
    wanted = {"WorkspaceAccessProperties": request["WorkspaceAccessProperties"]}
    return _modify(place, now, request["ResourceId"], wanted)


def modify_workspace_creation_properties(place: Place, now: float, request: Request) -> Answer:
    wanted = {"WorkspaceCreationProperties": request["WorkspaceCreationProperties"]}
    return _modify(place, now, request["ResourceId"], wanted)


def modify_streaming_properties(place: Place, now: float, request: Request) -> Answer:
    return _modify(place, now, request["ResourceId"], {"StreamingProperties": request.get("StreamingProperties", {})})


def modify_endpoint_encryption_mode(place: Place, now: float, request: Request) -> Answer:
    wanted = {"EndpointEncryptionMode": request["EndpointEncryptionMode"]}
    return _modify(place, now, request["DirectoryId"], wanted)


def _modify(place: Place, now: float, directory_id: str, wanted: Mapping[str, Any]) -> Answer:
    """Set the members that are given and leave the others as they are."""
    if directory_id not in catalog.directory_numbers(place.region):
        raise AwsError("ResourceNotFoundException", f"The directory {directory_id} could not be found.")
    body = dict(place.record(KIND, directory_id) or {})
    for member, value in wanted.items():
        body[member] = body.get(member, {}) | value if isinstance(value, dict) else value
    place.commit(now=now, records={(KIND, directory_id): body})
    return {}
