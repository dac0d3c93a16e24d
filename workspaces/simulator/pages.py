"""Page tokens: where the last page ended, bound to the question that it belongs to."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from workspaces.simulator.errors import AwsError

Item = TypeVar("Item")


class BadTokenError(ValueError):
    """The token was not made for this operation with these filters."""


def cut(items: Iterable[tuple[int, Item]], *, size: int, question: Mapping[str, Any]) -> tuple[list[Item], str | None]:
    """The first `size` of the numbered items, and the token of the rest if there is any."""
    page: list[Item] = []
    last = -1
    for number, item in items:
        if len(page) == size:
            return page, _token(last, question)
        page.append(item)
        last = number
    return page, None


def position(token: str | None, *, question: Mapping[str, Any]) -> int:
    """The number of the last item of the page before, -1 for the first page; BadTokenError."""
    if not token:
        return -1
    try:
        number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")[0]
        last = int(number)
    except (ValueError, binascii.Error) as error:
        raise BadTokenError(token) from error
    if _token(last, question) != token:
        raise BadTokenError(token)
    return last


def after(request: Mapping[str, Any], question: Mapping[str, Any], *, code: str) -> int:
    """The position behind which the page of a request begins; AwsError with `code` for a token of something else."""
    try:
        return position(request.get("NextToken"), question=question)
    except BadTokenError as error:
        raise AwsError(code, "The NextToken is not valid for this request.") from error


def page(name: str, items: list[Any], token: str | None) -> dict[str, Any]:
    """The answer that shows a page: without NextToken it is the last one."""
    return {name: items} if token is None else {name: items, "NextToken": token}


def _token(last: int, question: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(f"{last}:{digest}".encode()).decode()
