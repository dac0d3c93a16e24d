"""Tags of WorkSpaces resources, and GetResources of the Resource Groups Tagging API over all that is tagged."""

from collections.abc import Iterator, Mapping
from typing import Any

from workspaces.simulator import catalog, pages
from workspaces.simulator.applications import tags as application_tags
from workspaces.simulator.errors import AwsError
from workspaces.simulator.tags import check_tags, tag_list
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
INVALID = "InvalidParameterException"
_PAGE = 100


def create_tags(place: Place, now: float, request: Request) -> dict[str, Any]:
    resource_id = _taggable(place, now, request["ResourceId"])
    tags = place.tags_of(resource_id) | check_tags(request["Tags"], already=place.tags_of(resource_id))
    place.commit(now=now, tags={resource_id: tags})
    return {}


def describe_tags(place: Place, now: float, request: Request) -> dict[str, Any]:
    return {"TagList": tag_list(place.tags_of(_taggable(place, now, request["ResourceId"])))}


def delete_tags(place: Place, now: float, request: Request) -> dict[str, Any]:
    resource_id = _taggable(place, now, request["ResourceId"])
    left = {key: value for key, value in place.tags_of(resource_id).items() if key not in request["TagKeys"]}
    place.commit(now=now, tags={resource_id: left})
    return {}


def _taggable(place: Place, now: float, resource_id: str) -> str:
    bundle = catalog.bundles(place.region).get(resource_id)
    if (
        place.find(resource_id, now) is not None
        or resource_id in catalog.directory_numbers(place.region)
        or (bundle is not None and not bundle.image.is_amazon)
    ):
        return resource_id
    raise AwsError("ResourceNotFoundException", f"The resource {resource_id} could not be found.")


def get_resources(place: Place, now: float, request: Request) -> dict[str, Any]:
    _check(request)
    question = {name: value for name, value in request.items() if name != "PaginationToken"}
    try:
        after = pages.position(request.get("PaginationToken"), question=question)
    except pages.BadTokenError as error:
        raise AwsError(INVALID, "The PaginationToken is not valid for this request.") from error
    found, token = pages.cut(
        _matching(place, now, request, after),
        size=_by_tags(place, now, request, after) or request.get("ResourcesPerPage", _PAGE),
        question=question,
    )
    if request.get("IncludeComplianceDetails"):
        found = [] if request.get("ExcludeCompliantResources") else [mapping | _COMPLIANT for mapping in found]
    return {"PaginationToken": token or "", "ResourceTagMappingList": found}


_COMPLIANT = {
    "ComplianceDetails": {
        "NoncompliantKeys": [],
        "KeysWithNoncompliantValues": [],
        "MissingTagKeys": [],
        "ComplianceStatus": True,
    }
}


def _check(request: Request) -> None:
    names = set(request)
    paging = {"ResourcesPerPage", "TagsPerPage", "PaginationToken"}
    if "ResourceARNList" in names and names & (paging | {"TagFilters", "ResourceTypeFilters"}):
        raise AwsError(INVALID, "ResourceARNList cannot be combined with filters or pagination.")
    if "ResourcesPerPage" in names and not 1 <= request["ResourcesPerPage"] <= 100:
        raise AwsError(INVALID, "ResourcesPerPage must be from 1 to 100.")
    if "TagsPerPage" in names and (not 100 <= request["TagsPerPage"] <= 500 or request["TagsPerPage"] % 100):
        raise AwsError(INVALID, "TagsPerPage must be from 100 to 500 in steps of 100.")
    if request.get("ExcludeCompliantResources") and not request.get("IncludeComplianceDetails"):
        raise AwsError(INVALID, "ExcludeCompliantResources needs IncludeComplianceDetails.")
    if any("Key" not in one for one in request.get("TagFilters", ())):
        raise AwsError(INVALID, "Each TagFilter must contain a key.")


def _matching(place: Place, now: float, request: Request, after: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, resource_id in place.tagged(after=after):
        if not _is_there(place, now, resource_id):
            continue
        arn = catalog.arn(place.account, place.region, resource_id)
        tags = place.indexed_tags_of(resource_id, now)
        if (tags or not place.tags_of(resource_id)) and _wanted(arn, tags, request):
            yield number, {"ResourceARN": arn, "Tags": tag_list(tags)}


def _is_there(place: Place, now: float, resource_id: str) -> bool:
    if resource_id.startswith("ws-"):
        return place.find(resource_id, now) is not None
    return "/" not in resource_id or (application_tags.exists(place, resource_id) and bool(place.tags_of(resource_id)))


def _wanted(arn: str, tags: Mapping[str, str], request: Request) -> bool:
    if "ResourceARNList" in request and arn not in request["ResourceARNList"]:
        return False
    service, kind = arn.split(":")[2], arn.rpartition(":")[2].partition("/")[0]
    types = request.get("ResourceTypeFilters")
    if types and not {f"{service}:{kind}", service} & set(types):
        return False
    return all(
        one["Key"] in tags and (not one.get("Values") or tags[one["Key"]] in one["Values"])
        for one in request.get("TagFilters", ())
    )


def _by_tags(place: Place, now: float, request: Request, after: int) -> int | None:
    """How many resources a page of TagsPerPage tags holds; a resource is never split and counts as one tag at least."""
    room = request.get("TagsPerPage")
    if room is None:
        return None
    count = 0
    for _, mapping in _matching(place, now, request, after):
        room -= max(1, len(mapping["Tags"]))
        if room < 0:
            break
        count += 1
    return max(1, count)
