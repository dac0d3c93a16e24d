"""The commands that the documents tell people: blocks of shell, and commands in running text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.env import BASE_DIR

PAGES = sorted(path.relative_to(BASE_DIR) for path in [BASE_DIR / "README.md", *(BASE_DIR / "docs").rglob("*.md")])
SHELL = "sh"
OTHERS = {"text", "json", "python", "sql", "mermaid", "{toctree}"}
"""Languages of blocks in which nothing is to be run."""

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:\S+/python )?manage\.py [^`]+|make [a-z][^`]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, and its text."""

    page: Path
    line: int
    language: str
    text: str

    def commands(self) -> list[str]:
        """Its logical lines: what a backslash or an open quote continues stands in one."""
        lines: list[str] = []
        for line in self.text.splitlines():
            if lines and (lines[-1].endswith("\\") or _is_open(lines[-1])):
                lines[-1] += "\n" + line
            else:
                lines.append(line)
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(page: Path) -> list[Block]:
    text = (BASE_DIR / page).read_text()
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["language"], textwrap.dedent(found["body"]))
        for found in _BLOCK.finditer(text)
    ]


def inline(page: Path) -> Iterator[str]:
    """Commands in running text, in one line."""
    for found in _INLINE.finditer(_BLOCK.sub("", (BASE_DIR / page).read_text())):
        yield " ".join(found[1].split())


def _is_open(text: str) -> bool:
    """Whether a quote is open at its end, as the shell reads it."""
    quote = ""
    escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
    return bool(quote)
