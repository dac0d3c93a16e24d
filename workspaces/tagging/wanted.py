"""Which tags Forge wants on a machine, which are refused, and how what AWS shows differs: pure functions.

AWS's limits (administration guide, "Tag WorkSpaces resources"; API reference, CreateTags and Tag): 50 tags a resource,
keys of 1 to 127 and values of 0 to 255 characters; letters, digits, spaces (not first or last) and _ . : / = + - @;
neither keys nor values begin with `aws:`. That AWS's own tags do not count is said in other services' guides only.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from forge.api.errors import Refused

OPERATION = "forge:operation"
"""The launch that made the machine; written when it is made, and left as it is."""
WORKSPACE = "forge:workspace"
ORGANIZATION, TEAM, PROJECT = "forge:organization", "forge:team", "forge:project"
COST_CENTER, USER, BLUEPRINT = "forge:cost-center", "forge:user", "forge:blueprint"

KEPT_EQUAL = frozenset({WORKSPACE, ORGANIZATION, TEAM, PROJECT, COST_CENTER, USER, BLUEPRINT})
"""The keys that are Forge's alone: one of these that Forge does not want is taken off."""

MOST = 50
TOO_MANY = "too_many_tags"
MOST_OWN = 40
"""How many tags of their own people may give a machine: room for Forge's eight is left, and for two of others."""

LONGEST_KEY, LONGEST_VALUE = 127, 255
OWN_COST_CENTER = "cost-center"
"""The tag of people that is the cost center of a machine whose project has none."""

_KEY = re.compile(r"(?! )[\w .:/=+\-@]{1,127}(?<! )")
_VALUE = re.compile(r"|(?! )[\w .:/=+\-@]{1,255}(?<! )")
_FOREIGN = re.compile(r"[^\w .:/=+\-@]")
_ALLOWED = "letters, digits, spaces (not first or last) and _.:/=+-@"
AWS_PREFIX, FORGE_PREFIX = "aws:", "forge:"


class TagsRefused(Refused):
    code = "tags_refused"
    title = "The tags do not fit AWS's rules"


class TooManyTags(TagsRefused):
    code = "too_many_tags"
    title = "A machine has no room for so many tags"


class TagKeyRefused(TagsRefused):
    code = "tag_key_refused"
    title = "AWS does not take this key of a tag"


class TagKeyReserved(TagsRefused):
    code = "tag_key_reserved"
    title = "This key of a tag is AWS's or Forge's own"
    suggested_action = "Use a key that begins neither with aws: nor with forge:."


class TagValueRefused(TagsRefused):
    code = "tag_value_refused"
    title = "AWS does not take this value of a tag"


class Machine(Protocol):
    """What the wanted tags follow from: a row of workspaces with the rows that it points at."""

    id: uuid.UUID
    organization: Any
    team: Any
    project: Any
    blueprint: Any
    owner_id: uuid.UUID
    tags: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """What is to be done so that AWS shows what is wanted; `total` is how many tags the machine then has."""

    put: dict[str, str]
    remove: tuple[str, ...]
    total: int

    def __bool__(self) -> bool:
        return bool(self.put or self.remove)


def check_own(tags: Mapping[str, str]) -> None:
    """Raises TooManyTags, TagKeyRefused, TagKeyReserved or TagValueRefused for tags that people may not give."""
    if len(tags) > MOST_OWN:
        raise TooManyTags(f"{len(tags)} tags; at most {MOST_OWN} are possible.", extra={"limit": MOST_OWN})
    for key, value in tags.items():
        shown = {"key": key[:LONGEST_KEY]}
        if not _KEY.fullmatch(key):
            raise TagKeyRefused(f"Tag key {key[:40]!r}: 1 to {LONGEST_KEY} {_ALLOWED}.", extra=shown)
        if key.lower().startswith((AWS_PREFIX, FORGE_PREFIX)):
            raise TagKeyReserved(f"Tag key {key[:40]!r} begins with aws: or forge:.", extra=shown)
        if not _VALUE.fullmatch(value) or value.lower().startswith(AWS_PREFIX):
            raise TagValueRefused(
                f"Value of tag {key!r}: at most {LONGEST_VALUE} {_ALLOWED}, not beginning with aws:.", extra=shown
            )


def own_of(shown: Mapping[str, str]) -> dict[str, str]:
    """The tags of a machine in AWS that become people's own when it is taken over: those that `check_own` lets pass.

    Of more than MOST_OWN the first by key, and the cost center before all. The others stay in AWS as others' tags.
    """
    own: dict[str, str] = {}
    for key in sorted(shown, key=lambda key: (key != OWN_COST_CENTER, key)):
        with suppress(TagsRefused):
            check_own({**own, key: shown[key]})
            own[key] = shown[key]
    return own


def wanted_of(machine: Machine) -> dict[str, str]:
    """The tags that AWS should show of a machine, beside OPERATION and those that are others'.

    They are what its cost records are booked by, as it is now: the person by id, because AWS asks to put nothing
    personal into tags, the others by their slugs, and people's own tags as they are.
    """
    tags = {
        WORKSPACE: str(machine.id),
        ORGANIZATION: machine.organization.slug,
        TEAM: machine.team.slug,
        USER: str(machine.owner_id),
    }
    if machine.project is not None:
        tags[PROJECT] = machine.project.slug
    if machine.blueprint is not None:
        tags[BLUEPRINT] = _as_value(f"{machine.blueprint.name}/{machine.blueprint.version}")
    center = cost_center_of(machine)
    if center:
        tags[COST_CENTER] = _as_value(center)
    return {**machine.tags, **tags}


def cost_center_of(machine: Machine) -> str:
    """The project's, else the tag's, else none, as the cost records have it (costs migration 0002)."""
    of_project = machine.project.cost_center if machine.project is not None else ""
    return (of_project or machine.tags.get(OWN_COST_CENTER, ""))[:100]


def difference(wanted: Mapping[str, str], shown: Mapping[str, str], *, applied: Collection[str]) -> Difference:
    """What AWS shows otherwise than wanted; `applied` are the keys that Forge has written before.

    What others put on the machine is none of it, unless Forge wants the same key.
    """
    remove = tuple(sorted(key for key in shown if key not in wanted and (key in KEPT_EQUAL or key in applied)))
    put = {key: value for key, value in wanted.items() if shown.get(key) != value}
    left = {key for key in shown if not key.lower().startswith(AWS_PREFIX)} - set(remove)
    return Difference(put, remove, len(left | wanted.keys()))


def _as_value(text: str) -> str:
    """The text as AWS takes it: other letters become _, as does the colon of `aws:` in front; too long is cut."""
    value = _FOREIGN.sub("_", text.strip())[:LONGEST_VALUE].strip()
    return value.replace(":", "_", 1) if value.lower().startswith(AWS_PREFIX) else value
