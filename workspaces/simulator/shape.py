"""Checks a request body against the constraints of an operation's input, in the words of AWS's own front end."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from workspaces.simulator.errors import AwsError


@dataclass(frozen=True, slots=True)
class Text:
    pattern: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Boolean:
    pass


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class MapOf:
    key: Text
    value: Text
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    member: "Shape"
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    members: Mapping[str, "Shape"] = field(default_factory=dict)
    required: tuple[str, ...] = ()


_PROPERTIES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r" \u00a0\u2000-\u200a\u3000",
    r"\p{M}": r"\u0300-\u036f",
    r"\p{S}": r"$+<=>^`|~\u00a2-\u00b8",
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}\u2010-\u2027",
}
Shape = Text | Integer | Boolean | Timestamp | MapOf | ListOf | Structure


def checked(shape: Structure, body: Any) -> dict[str, Any]:
    """The body without nulls and unknown members; AwsError names every constraint that it breaks."""
    cleaned = _clean(shape, body, "")
    violations = list(_violations(shape, cleaned, ""))
    if violations:
        count = f"{len(violations)} validation error{'s' if len(violations) > 1 else ''} detected: "
        raise AwsError("ValidationException", count + "; ".join(violations))
    return cleaned


def _clean(shape: Shape, value: Any, path: str) -> Any:
    match shape:
        case Structure():
            _require_type(value, dict, path)
            known = ((name, member) for name, member in shape.members.items() if value.get(name) is not None)
            return {name: _clean(member, value[name], _join(path, name)) for name, member in known}
        case ListOf():
            _require_type(value, list, path)
            return [_clean(shape.member, item, f"{path}.{n}.member") for n, item in enumerate(value, 1)]
        case MapOf():
            _require_type(value, dict, path)
            return {key: _clean(shape.value, item, _join(path, key)) for key, item in value.items()}
        case Timestamp():
            if isinstance(value, bool):
                raise _unreadable(path)
            _require_type(value, (int, float), path)
        case Text():
            _require_type(value, str, path)
        case Boolean():
            _require_type(value, bool, path)
        case Integer():
            if isinstance(value, bool):
                raise _unreadable(path)
            _require_type(value, int, path)
    return value


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape:
        case Structure():
            for name in shape.required:
                if name not in value:
                    yield _broken("null", _join(path, name), "Member must not be null")
            for name, member in value.items():
                yield from _violations(shape.members[name], member, _join(path, name))
        case ListOf():
            yield from _size(len(value), value, path, shape.minimum, shape.maximum)
            for number, item in enumerate(value, 1):
                yield from _violations(shape.member, item, f"{path}.{number}.member")
        case MapOf():
            yield from _size(len(value), value, path, shape.minimum, shape.maximum)
            for key, item in value.items():
                yield from _violations(shape.key, key, f"{path}.key")
                yield from _violations(shape.value, item, f"{path}.{key}")
        case Text():
            yield from _size(len(value), value, path, shape.minimum, shape.maximum)
            if shape.pattern and not _compiled(shape.pattern).fullmatch(value):
                yield _broken(value, path, f"Member must satisfy regular expression pattern: {shape.pattern}")
            if shape.values and value not in shape.values:
                yield _broken(value, path, f"Member must satisfy enum value set: [{', '.join(shape.values)}]")
        case Integer():
            if shape.minimum is not None and value < shape.minimum:
                yield _broken(value, path, f"Member must have value greater than or equal to {shape.minimum}")
            if shape.maximum is not None and value > shape.maximum:
                yield _broken(value, path, f"Member must have value less than or equal to {shape.maximum}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """AWS writes patterns for Java; Python has no classes of Unicode properties, so ranges stand in for them."""
    for name, characters in _PROPERTIES.items():
        pattern = pattern.replace(name, characters)
    return re.compile(pattern)


def _size(length: int, value: Any, path: str, minimum: int | None, maximum: int | None) -> Iterator[str]:
    if minimum is not None and length < minimum:
        yield _broken(value, path, f"Member must have length greater than or equal to {minimum}")
    if maximum is not None and length > maximum:
        yield _broken(value, path, f"Member must have length less than or equal to {maximum}")


def _broken(value: Any, path: str, constraint: str) -> str:
    return f"Value '{str(value)[:200]}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _require_type(value: Any, kind: type | tuple[type, ...], path: str) -> None:
    if not isinstance(value, kind):
        raise _unreadable(path)


def _unreadable(path: str) -> AwsError:
    return AwsError("SerializationException", f"The value at '{path or 'the top'}' is of the wrong type.")
