"""The Security Token Service: credentials that carry the account of the role they are for, and end in real time.

Nothing is kept: the account is in the access key, the end in the session token, so that they survive a restart.
"""

import re
import secrets
import string
import time
from collections.abc import Mapping
from typing import Any

from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

_ROLE = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64})$")
_ASSUMED = re.compile(r"^ASIA(\d{12})[A-Z0-9]{4}$")
_TOKEN = re.compile(r"^simulated\.(\d{12})\.(\d+)\.[0-9a-f]{32}$")
_DEFAULT_SECONDS = 3600


def assume_role(place: Place, now: float, request: Mapping[str, Any]) -> dict[str, Any]:
    del place, now  # of the role's account everything is in its ARN; clients compare Expiration with their own clock
    role = _ROLE.match(request["RoleArn"])
    if role is None:
        raise AwsError("ValidationError", f"{request['RoleArn']} is invalid")
    partition, account, name = role.groups()
    expiration = int(time.time()) + request.get("DurationSeconds", _DEFAULT_SECONDS)
    letters = string.ascii_uppercase + string.digits
    return {
        "Credentials": {
            "AccessKeyId": f"ASIA{account}" + "".join(secrets.choice(letters) for _ in range(4)),
            "SecretAccessKey": secrets.token_urlsafe(30),
            "SessionToken": f"simulated.{account}.{expiration}.{secrets.token_hex(16)}",
            "Expiration": expiration,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"AROA{account}:{request['RoleSessionName']}",
            "Arn": f"arn:{partition}:sts::{account}:assumed-role/{name}/{request['RoleSessionName']}",
        },
    }


def get_caller_identity(place: Place, now: float, request: Mapping[str, Any]) -> dict[str, Any]:
    del now, request
    return {"UserId": f"AIDA{place.account}", "Account": place.account, "Arn": f"arn:aws:iam::{place.account}:root"}


def account_of(access_key: str, token: str | None, real_now: float) -> str | None:
    """The account of temporary credentials that are still good, None for other keys; AwsError for bad ones."""
    key = _ASSUMED.match(access_key)
    if key is None:
        return None
    session = _TOKEN.match(token or "")
    if session is None or session.group(1) != key.group(1):
        raise AwsError(
            "UnrecognizedClientException", "The security token included in the request is invalid.", status=403
        )
    if real_now >= int(session.group(2)):
        raise AwsError("ExpiredTokenException", "The security token included in the request is expired", status=403)
    return key.group(1)
