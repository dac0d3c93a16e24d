"""The codes of refusals and the types of audit entries, as the code declares them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from audit import registry
from docs.site.text import literal, plain, table
from forge.api.errors import Problem

ROOMS = ("forge", "audit", "blueprints", "workspaces", "costs", "budgets")
_UNREAD = (
    "migrations",
    "forge.demo",
    "simulator",
    "__main__",
    ".tests",
    "forge.wsgi",
    "forge.asgi",
    "forge.make_secrets",
)


def codes() -> dict[tuple[int, str], type[Problem]]:
    """(status, code) → the class that says it."""
    for module in _modules():
        importlib.import_module(module)
    return {(problem.status, problem.code): problem for problem in reversed([Problem, *_below(Problem)])}


def page() -> str:
    rows = [
        (
            literal(code),
            str(status),
            plain(problem.title),
            plain(problem.suggested_action),
            "yes" if problem.retryable else "",
        )
        for (status, code), problem in sorted(codes().items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    return "\n\n".join(
        [
            "# Problem codes",
            (
                "Every refusal and failure is one document of `application/problem+json` (RFC 9457). Decide by"
                " `code`: it is stable, the words are for people. Some codes carry further members, such as the"
                " figures of a budget."
            ),
            table(("Code", "Status", "Means", "What to do", "Worth a retry"), rows) + "\n",
        ]
    )


def actions_page() -> str:
    types = [registry.get(name) for name in registry.names()]
    rows = [
        (
            literal(each.name),
            ", ".join(map(literal, each.required)),
            ", ".join(map(literal, sorted(each.personal))),
        )
        for each in types
    ]
    return "\n\n".join(
        [
            "# Audit actions",
            (
                "Every `action_type` that can stand in the audit log: what an entry of result SUCCESS must say,"
                " and which of its values are personal, that is kept apart so that they can be erased ([Erasure"
                " and holds](../../audit.md#erasure-and-holds))."
            ),
            table(("Action", "Must say", "Personal"), rows) + "\n",
        ]
    )


def _modules() -> Iterator[str]:
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not any(part in found.name for part in _UNREAD):
                yield found.name


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
