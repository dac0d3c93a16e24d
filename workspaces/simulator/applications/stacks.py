"""Stacks: what users may do in their sessions."""

from typing import Any

from workspaces.simulator.applications.common import (
    ASSOCIATION,
    STACK,
    USER_STACK,
    Answer,
    Request,
    arn,
    existing,
    listed,
    page,
    pair,
    pairs,
    require_new,
)
from workspaces.simulator.applications.tags import asked_tags, tag_id
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

_DEFAULT_SETTINGS = {
    "CLIPBOARD_COPY_FROM_LOCAL_DEVICE": "ENABLED",
    "CLIPBOARD_COPY_TO_LOCAL_DEVICE": "ENABLED",
    "FILE_UPLOAD": "ENABLED",
    "FILE_DOWNLOAD": "ENABLED",
    "PRINTING_TO_LOCAL_DEVICE": "ENABLED",
    "DOMAIN_PASSWORD_SIGNIN": "ENABLED",
    "DOMAIN_SMART_CARD_SIGNIN": "DISABLED",
}
_NOT_KEPT = {"Name", "Tags", "UserSettings", "AttributesToDelete", "DeleteStorageConnectors"}
_DELETABLE = {
    "STORAGE_CONNECTORS": "StorageConnectors",
    "REDIRECT_URL": "RedirectURL",
    "FEEDBACK_URL": "FeedbackURL",
    "EMBED_HOST_DOMAINS": "EmbedHostDomains",
    "ACCESS_ENDPOINTS": "AccessEndpoints",
    "STREAMING_EXPERIENCE_SETTINGS": "StreamingExperienceSettings",
    "USER_SETTINGS": "UserSettings",
}


def create_stack(place: Place, now: float, request: Request) -> Answer:
    name = request["Name"]
    require_new(place, STACK, name)
    body = {"settings": _merged({}, request), "created_at": now}
    tags = {tag_id(STACK, name): asked_tags(request)}
    place.commit(now=now, records={(STACK, name): body}, tags=tags)
    return {"Stack": _show(place, name, body)}


def describe_stacks(place: Place, now: float, request: Request) -> Answer:
    del now
    names = request.get("Names")
    found = [_show(place, name, body) for name, body in listed(place, STACK, names)]
    return page("Stacks", found, request, question={"DescribeStacks": names})


def update_stack(place: Place, now: float, request: Request) -> Answer:
    name = request["Name"]
    body = existing(place, STACK, name)
    unknown = [one for one in request.get("AttributesToDelete", ()) if one not in _DELETABLE]
    if unknown:
        raise AwsError("InvalidParameterCombinationException", f"{unknown[0]} cannot be deleted here.")
    removed = {_DELETABLE[one] for one in request.get("AttributesToDelete", ())}
    removed |= {"StorageConnectors"} if request.get("DeleteStorageConnectors") else set()
    kept = {key: value for key, value in body["settings"].items() if key not in removed}
    body = body | {"settings": _merged(kept, request)}
    place.commit(now=now, records={(STACK, name): body})
    return {"Stack": _show(place, name, body)}


def delete_stack(place: Place, now: float, request: Request) -> Answer:
    name = request["Name"]
    existing(place, STACK, name)
    if any(stack == name for _, stack in pairs(place, ASSOCIATION)):
        raise AwsError(
            "ResourceInUseException",
            f"Cannot delete stack {name}. This stack has fleets associated with it. "
            "Only stacks with no fleets associated with it can be deleted.",
        )
    ended = {(USER_STACK, pair(user, stack)): None for user, stack in pairs(place, USER_STACK) if stack == name}
    place.commit(now=now, records=ended | {(STACK, name): None}, tags={tag_id(STACK, name): {}})
    return {}


def _merged(kept: dict[str, Any], request: Request) -> dict[str, Any]:
    """The settings with those of a request; of user settings only the actions that it names change."""
    settings = kept | {key: value for key, value in request.items() if key not in _NOT_KEPT}
    actions = {one["Action"]: one for one in kept.get("UserSettings", _defaults())}
    for one in request.get("UserSettings", ()):
        if one.get("MaximumLength") is not None and not one["Action"].startswith("CLIPBOARD"):
            raise AwsError("InvalidParameterCombinationException", "Only the clipboard has a MaximumLength.")
        actions[one["Action"]] = one
    return settings | {"UserSettings": list(actions.values())}


def _defaults() -> list[dict[str, Any]]:
    return [{"Action": action, "Permission": permission} for action, permission in _DEFAULT_SETTINGS.items()]


def _show(place: Place, name: str, body: dict[str, Any]) -> Answer:
    shown = {"Name": name, "Arn": arn(place, STACK, name), "CreatedTime": body["created_at"], "StackErrors": []}
    return body["settings"] | shown
