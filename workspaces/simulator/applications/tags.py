"""Tags of fleets and stacks."""

from workspaces.simulator import catalog
from workspaces.simulator.applications.common import FLEET, STACK, Answer, Request, not_found
from workspaces.simulator.errors import AwsError
from workspaces.simulator.tags import MAXIMUM, RESERVED, is_reserved
from workspaces.simulator.world import Place


def tag_id(kind: str, name: str) -> str:
    """How the tags of a fleet or a stack are named; `catalog.arn` makes its ARN of it."""
    return f"{kind}/{name}"


def exists(place: Place, resource_id: str) -> bool:
    """Whether a fleet or stack is still there."""
    kind, _, name = resource_id.partition("/")
    return place.record(kind, name) is not None


def asked_tags(request: Request) -> dict[str, str]:
    """The tags of a request; AwsError for a key or value that is reserved, which the model says of keys alone."""
    tags = dict(request.get("Tags", {}))
    if any(is_reserved(text) for tag in tags.items() for text in tag):
        raise AwsError("ValidationException", RESERVED)
    return tags


def tag_resource(place: Place, now: float, request: Request) -> Answer:
    resource_id = _resource_id(place, request)
    tags = place.tags_of(resource_id) | asked_tags(request)
    if len(tags) > MAXIMUM:
        raise AwsError("LimitExceededException", f"A resource can have at most {MAXIMUM} tags.")
    place.commit(now=now, tags={resource_id: tags})
    return {}


def untag_resource(place: Place, now: float, request: Request) -> Answer:
    resource_id = _resource_id(place, request)
    left = {key: value for key, value in place.tags_of(resource_id).items() if key not in request["TagKeys"]}
    place.commit(now=now, tags={resource_id: left})
    return {}


def list_tags_for_resource(place: Place, now: float, request: Request) -> Answer:
    del now
    tags = place.tags_of(_resource_id(place, request))
    return {"Tags": tags} if tags else {}  # the model's map has at least one entry


def _resource_id(place: Place, request: Request) -> str:
    resource_id = request["ResourceArn"].rpartition(":")[2]
    is_known = resource_id.startswith((f"{FLEET}/", f"{STACK}/")) and exists(place, resource_id)
    if not is_known or catalog.arn(place.account, place.region, resource_id) != request["ResourceArn"]:
        raise not_found(f"The resource {request['ResourceArn']} does not exist.")
    return resource_id
