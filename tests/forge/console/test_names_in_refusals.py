"""Refusals name people, machines and budgets as people do; ids of rows go beside the sentence, into `extra`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from forge.api.errors import Problem

ROOT = Path(__file__).parents[3]
ROOMS = ("audit", "blueprints", "budgets", "costs", "forge", "workspaces")
NAMED_BY_AWS = {"application_id", "directory_id", "provider_id"}
ASKED_FOR = {("audit/erasure/people.py", "user_id")}
"""What the asker wrote, of which there may be no row any more that has a name."""


def _problems(kind: type = Problem) -> Iterator[str]:
    for one in kind.__subclasses__():
        yield one.__name__
        yield from _problems(one)


def _ids_told(tree: ast.AST, problems: set[str]) -> Iterator[str]:
    """The names of ids in the first argument of each problem that is made, also of one that was written before."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            assigned = _assigned(function)
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and call.args and _name(call.func) in problems:
                    said = call.args[0]
                    yield from _ids_in(said)
                    yield from (one for text in assigned.get(_name(said), ()) for one in _ids_in(text))


def _assigned(function: ast.FunctionDef) -> dict[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                found.setdefault(_name(target), []).append(node.value)
    return found


def _ids_in(said: ast.AST) -> Iterator[str]:
    for part in ast.walk(said):
        if isinstance(part, ast.FormattedValue) and _is_id(_name(part.value)):
            yield _name(part.value)


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", None) or getattr(node, "id", "")


def _is_id(name: str) -> bool:
    return name in ("id", "pk") or (name.endswith("_id") and name not in NAMED_BY_AWS)


def test_no_sentence_of_a_refusal_names_a_row_by_its_id():
    problems = set(_problems())
    assert {"MachineExists", "CredentialsExpired", "MayNotControl"} <= problems
    told = {
        (str(path.relative_to(ROOT)), name)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for name in _ids_told(ast.parse(path.read_text()), problems)
    }
    assert told == ASKED_FOR
