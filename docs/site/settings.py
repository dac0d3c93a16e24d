"""What the code reads from the environment, from the calls in forge/settings.py themselves."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from docs.site.text import literal, table
from forge.env import BASE_DIR


@dataclass(frozen=True)
class Read:
    """One variable: its name, the reader (`bool`, `int`, …) and the default as it is written."""

    name: str
    kind: str
    default: str
    line: int


def read() -> list[Read]:
    """Every variable, in the order of its first reading."""
    found: dict[str, Read] = {}
    tree = ast.parse((BASE_DIR / "forge/settings.py").read_text())
    for call in sorted((node for node in ast.walk(tree) if isinstance(node, ast.Call)), key=lambda node: node.lineno):
        kind = _reader(call)
        if kind and call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
            name = call.args[0].value
            if re.fullmatch(r"[A-Z][A-Z_0-9]+", name):
                found.setdefault(name, Read(name, kind, _default(call), call.lineno))
    return list(found.values())


def explained() -> dict[str, str]:
    """Variable → what docs/settings.md says of it."""
    rows = re.findall(r"^\| (`[A-Z].*?) \| .*? \| (.*?) \|$", (BASE_DIR / "docs/settings.md").read_text(), re.MULTILINE)
    return {name: text for names, text in rows for name in re.findall(r"`([A-Z_0-9]+)`", names)}


def page() -> str:
    told = explained()
    rows = [
        (literal(one.name), one.kind, literal(one.default) if one.default else "-", told.get(one.name, ""))
        for one in sorted(read(), key=lambda one: one.name)
    ]
    return "\n\n".join(
        [
            "# Settings that the code reads",
            (
                "Every call in `forge/settings.py` that asks the environment, with its kind and its default as"
                " the code has them. [Settings](../../settings.md) has them in the order in which one comes to"
                " need them, with those that libraries read."
            ),
            table(("Variable", "Kind", "Default in the code", "What it does"), rows) + "\n",
        ]
    )


def _reader(call: ast.Call) -> str:
    """The kind of value, or nothing where the call reads no variable."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "env":
        return function.attr
    if isinstance(function, ast.Name) and function.id in {
        "_database",
        "rate",
        "networks",
        "folder",
        "identity_providers",
    }:
        return {"_database": "database", "identity_providers": "JSON"}.get(function.id, function.id)
    return ""


def _default(call: ast.Call) -> str:
    given = [keyword.value for keyword in call.keywords if keyword.arg in ("default", "fallback")]
    return ast.unparse(given[0]) if given else ast.unparse(call.args[1]) if len(call.args) > 1 else ""
