"""Markdown in small pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty one is a dash."""
    lines = ["| " + " | ".join(cell(each) for each in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) if lines else "-"


def cell(text: str) -> str:
    """One line that does not end its cell."""
    return " ".join(text.split()).replace("|", "\\|") or "-"


def literal(text: object) -> str:
    """As code; with backticks in it, inside two."""
    return f"`` {text} ``" if "`" in str(text) else f"`{text}`"


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#$" else letter for letter in text)


def block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"
