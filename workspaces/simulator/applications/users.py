"""The user pool, and which of its users may use which stack."""

from typing import Any

from workspaces.simulator.applications.common import (
    ASSOCIATION,
    COMBINATION,
    FLEET,
    STACK,
    USER,
    USER_STACK,
    Answer,
    Request,
    arn,
    existing,
    page,
    pair,
    pairs,
    require_new,
)
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

_LARGEST_BATCH = 25


def create_user(place: Place, now: float, request: Request) -> Answer:
    _require_pool(request)
    name = request["UserName"]
    if "@" not in name:
        raise AwsError(COMBINATION, "The user name must be an email address.")
    if request.get("MessageAction") == "RESEND":
        if place.record(USER, name) is None or {"FirstName", "LastName"} & set(request):
            raise AwsError(COMBINATION, "A welcome email is sent again to a user who exists, without names.")
        return {}
    require_new(place, USER, name)
    body = {"is_enabled": True, "created_at": now}
    body |= {key: request[key] for key in ("FirstName", "LastName") if key in request}
    place.commit(now=now, records={(USER, name): body})
    return {}


def describe_users(place: Place, now: float, request: Request) -> Answer:
    del now
    _require_pool(request)
    shown = [_show(place, name, body) for name, body in place.records(USER).items()]
    return page("Users", shown, request, question={"DescribeUsers": True}, size=request.get("MaxResults") or 50)


def enable_user(place: Place, now: float, request: Request) -> Answer:
    return _set_enabled(place, now, request, is_enabled=True)


def disable_user(place: Place, now: float, request: Request) -> Answer:
    return _set_enabled(place, now, request, is_enabled=False)


def delete_user(place: Place, now: float, request: Request) -> Answer:
    name = request["UserName"]
    existing(place, USER, name)
    ended = {(USER_STACK, pair(user, stack)): None for user, stack in pairs(place, USER_STACK) if user == name}
    place.commit(now=now, records=ended | {(USER, name): None})
    return {}


def batch_associate_user_stack(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request, {})


def batch_disassociate_user_stack(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request, None)


def describe_user_stack_associations(place: Place, now: float, request: Request) -> Answer:
    del now
    stack, user = request.get("StackName"), request.get("UserName")
    if (stack is None and user is None) or (user is None) != ("AuthenticationType" not in request):
        raise AwsError(COMBINATION, "Give StackName, or UserName with AuthenticationType, or all of them.")
    found = [
        {"StackName": other, "UserName": one, "AuthenticationType": "USERPOOL"}
        for one, other in pairs(place, USER_STACK)
        if stack in (None, other) and user in (None, one)
    ]
    member = "UserStackAssociations"
    size = min(request.get("MaxResults") or _LARGEST_BATCH, _LARGEST_BATCH)
    answer = page(member, found, request, question={"DescribeUserStackAssociations": [stack, user]}, size=size)
    return answer if answer[member] else {}  # the model's list has at least one item


def _change_each(place: Place, now: float, request: Request, body: dict[str, Any] | None) -> Answer:
    records: dict[tuple[str, str], dict[str, Any] | None] = {}
    errors = []
    for item in request["UserStackAssociations"]:
        _require_pool(item)
        code = _fault(place, item)
        if code:
            text = f"The user {item['UserName']} and the stack {item['StackName']} cannot be associated."
            errors.append({"UserStackAssociation": item, "ErrorCode": code, "ErrorMessage": text})
        else:
            records[USER_STACK, pair(item["UserName"], item["StackName"])] = body
    place.commit(now=now, records=records)
    return {"errors": errors} if errors else {}  # the model's list has at least one item


def _fault(place: Place, item: Request) -> str | None:
    if place.record(STACK, item["StackName"]) is None:
        return "STACK_NOT_FOUND"
    if place.record(USER, item["UserName"]) is None:
        return "USER_NAME_NOT_FOUND"
    fleets = [fleet for fleet, stack in pairs(place, ASSOCIATION) if stack == item["StackName"]]
    if any("DomainJoinInfo" in existing(place, FLEET, fleet)["settings"] for fleet in fleets):
        raise AwsError("OperationNotPermittedException", "Users of the pool cannot use fleets joined to a domain.")
    return None


def _set_enabled(place: Place, now: float, request: Request, *, is_enabled: bool) -> Answer:
    name = request["UserName"]
    body = existing(place, USER, name) | {"is_enabled": is_enabled}
    place.commit(now=now, records={(USER, name): body})
    return {}


def _require_pool(request: Request) -> None:
    if request["AuthenticationType"] != "USERPOOL":
        raise AwsError(COMBINATION, "The authentication type of the user pool is USERPOOL.")


def _show(place: Place, name: str, body: dict[str, Any]) -> Answer:
    shown = {
        "Arn": arn(place, USER, f"userpool/{name}"),
        "UserName": name,
        "Enabled": body["is_enabled"],
        "Status": "UNCONFIRMED",
        "CreatedTime": body["created_at"],
        "AuthenticationType": "USERPOOL",
    }
    return shown | {key: body[key] for key in ("FirstName", "LastName") if key in body}
