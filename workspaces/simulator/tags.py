"""Tags of a resource: the checks that AWS makes, and their form on the wire."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from workspaces.simulator.errors import AwsError

MAXIMUM = 50
RESERVED = "Tag keys and values that begin with aws: are reserved."
_OF_AWS = "aws:"
_SIGNS = frozenset(" +-=._:/@")


def check_tags(tags: Iterable[Mapping[str, Any]], *, already: Mapping[str, str]) -> dict[str, str]:
    """The tags as a dict, or AwsError: a key twice, AWS's own prefix, foreign characters, more than 50 in all."""
    found: dict[str, str] = {}
    for tag in tags:
        key, value = tag["Key"], tag.get("Value", "")
        if key in found:
            raise AwsError("InvalidParameterValuesException", f"The tag key {key!r} is given twice.")
        if is_reserved(key) or is_reserved(value):
            raise AwsError("InvalidParameterValuesException", RESERVED)
        if not (_is_taken(key) and _is_taken(value)):
            raise AwsError("InvalidParameterValuesException", f"The tag {key!r} has characters that are not allowed.")
        found[key] = value
    if len(found.keys() | already.keys()) > MAXIMUM:
        raise AwsError("ResourceLimitExceededException", f"A resource can have at most {MAXIMUM} tags.")
    return found


def is_reserved(text: str) -> bool:
    """Whether a key or a value begins as AWS keeps it for itself, in any case of the letters."""
    return text.lower().startswith(_OF_AWS)


def _is_taken(text: str) -> bool:
    """Letters and numbers of any script, nine signs, and spaces that are neither first nor last."""
    return text.strip(" ") == text and all(one in _SIGNS or unicodedata.category(one)[0] in "LN" for one in text)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
