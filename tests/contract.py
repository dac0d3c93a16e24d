"""What callers of the API rely on, one line each: promises that must stay, and demands that must not grow.

`tests/api_contract.txt` is what was promised so far. A promise that vanishes (an address, a parameter, a field, its
type, a value) or a new demand on what was there already (a field or parameter that is now needed) breaks callers.
What is deprecated (forge.api.deprecations) may go from its sunset on, a promise too: `Point.day until 2027-12-01`.
So is the day since when callers are told, `Point.day deprecated since 2026-12-01`: it stays, and no new one is past.
No kept tool for this installs from pip or npm: they are Go binaries that are downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from forge.api.deprecations import NOTICE

FILE = Path(__file__).with_name("api_contract.txt")
NEEDS = " needs "
UNTIL = " until "
SINCE = " deprecated since "
Schema = dict[str, Any]


def of(document: Schema) -> set[str]:
    """The contract of an OpenAPI document whose shared schemas are all components."""
    lines = {line for name, schema in document["components"]["schemas"].items() for line in _component(name, schema)}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines.update(_operation(f"{method.upper()} {path}", operation))
    return lines


def broken(promised: set[str], present: set[str], *, today: date) -> list[str]:
    """What a caller of `promised` meets in `present` and cannot know, each line with what it is.

    `gone: …`, `new demand: …`; of deprecations also `moved: …` (the day since when), `backdated: …` (a new one whose
    day is past) and `short notice: …` (a sunset that leaves callers less than the notice they have).
    """
    lost = {line for line in promised - present if not any(mark in line for mark in (NEEDS, UNTIL, SINCE))}
    gone = [f"gone: {line}" for line in lost - _past_sunset(promised, today=today) | _sooner(promised, present)]
    demands = [
        f"new demand: {line}"
        for line in present - promised
        if NEEDS in line and line.partition(NEEDS)[0] in promised  # a new address or schema may demand what it likes
    ]
    return sorted([*gone, *demands, *_untold(promised, present, today=today)])


def _untold(promised: set[str], present: set[str], *, today: date) -> Iterator[str]:
    """What the deprecations of `present` claim to have told callers, and did not."""
    told, claimed, sunsets = _days(promised, SINCE), _days(present, SINCE), _days(present, UNTIL)
    for name, since in claimed.items():
        if told.get(name, since) != since:
            yield f"moved: {name}{SINCE}{told[name]}"
        if name not in told and since < today:
            yield f"backdated: {name}{SINCE}{since}"
        if sunsets[name] - since < NOTICE:
            yield f"short notice: {name}{UNTIL}{sunsets[name]}"


def _past_sunset(promised: set[str], *, today: date) -> set[str]:
    """The lines of what may be gone, and those of schemas that nothing else speaks of."""
    over = {name for name, sunset in _days(promised, UNTIL).items() if sunset <= today}
    free: set[str] = set()
    while over:
        free |= {line for line in promised for name in over if re.match(rf"{re.escape(name)}(?=[ :.]|$)", line)}
        over = (_spoken_of(free) - _spoken_of(promised - free)) & (promised - free)
    return free


def _spoken_of(lines: set[str]) -> set[str]:
    """The names of the types in the lines."""
    return {word for line in lines for word in re.findall(r"\w+", line.partition(": ")[2])}


def _days(lines: set[str], mark: str) -> dict[str, date]:
    """The day of each line with `mark`, SINCE or UNTIL, by the name of what is deprecated."""
    parts = [line.partition(mark) for line in lines if mark in line]
    return {name: date.fromisoformat(day) for name, _, day in parts}


def _sooner(promised: set[str], present: set[str]) -> set[str]:
    """Sunsets that came nearer than was promised."""
    now = _days(present, UNTIL)
    return {f"{name}{UNTIL}{day}" for name, day in _days(promised, UNTIL).items() if now.get(name, day) < day}


def _deprecation(name: str, marked: Schema) -> Iterator[str]:
    if "x-sunset" in marked:
        yield f"{name}{SINCE}{marked['x-deprecated-since']}"
        yield f"{name}{UNTIL}{marked['x-sunset']}"


def _operation(name: str, operation: Schema) -> Iterator[str]:
    yield name
    yield from _deprecation(name, operation)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            continue
        yield f"{name} takes {parameter['name']}: {_type(parameter['schema'])}"
        yield from (f"{name} takes {parameter['name']} = {value}" for value in _values(parameter["schema"]))
        if parameter.get("required"):
            yield f"{name}{NEEDS}{parameter['name']}"
    body = operation.get("requestBody", {})
    for media, content in body.get("content", {}).items():
        yield f"{name} takes {media}: {_type(content.get('schema', {}))}"
    if body.get("required"):
        yield f"{name}{NEEDS}a body"
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            continue  # problem documents, all alike
        for media, content in response.get("content", {"nothing": {}}).items():
            yield f"{name} answers {status} {media}: {_type(content.get('schema', {}))}"


def _component(name: str, schema: Schema) -> Iterator[str]:
    yield name
    yield from (f"{name} = {value}" for value in _values(schema))
    for field, facts in schema.get("properties", {}).items():
        yield f"{name}.{field}: {_type(facts)}"
        yield from _deprecation(f"{name}.{field}", facts)
    if name.endswith("Request"):
        yield from (f"{name}{NEEDS}{field}" for field in schema.get("required", ()))


def _values(schema: Schema) -> list[str]:
    return [str(value) for value in (schema.get("enum") or schema.get("items", {}).get("enum") or ())]


def _type(schema: Schema) -> str:
    """A schema in short: `string date-time`, `[Tag]`, `{string}`, `Team or null`."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    for several in ("allOf", "oneOf", "anyOf"):
        if several in schema:
            return " or ".join(_type(part) for part in schema[several])
    types = schema.get("type", "anything")
    if types == "array":
        return f"[{_type(schema['items'])}]"
    if types == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"{{{_type(schema['additionalProperties'])}}}"
    words = " or ".join(types) if isinstance(types, list) else types
    return f"{words} {schema['format']}" if "format" in schema else words
