"""The tree that Sphinx reads: docs/, with links where it names its own files, and the pages made from code."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from docs.site import alerts, api, commands, problems, settings, states
from forge.env import BASE_DIR

DOCS = BASE_DIR / "docs"
MADE = "reference/made"
_MERMAID = re.compile(r"```mermaid\n.*?```", re.DOTALL)
_NAMED = re.compile(r"(?<!\[)`((?:docs/)?[\w./-]+\.md)`(?!\])")


def write(target: Path) -> None:
    """Fill `target`, a folder that is empty."""
    shutil.copytree(DOCS, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("site", "__pycache__"))
    for path in sorted(target.rglob("*.md")):
        path.write_text(_prepared(path.relative_to(target), path.read_text()))
    made = target / MADE
    made.mkdir(parents=True)
    (made / "states.svg").write_text(states.drawing())
    texts = {
        "commands.md": commands.page(),
        "settings.md": settings.page(),
        "problems.md": problems.page(),
        "actions.md": problems.actions_page(),
        "metrics.md": alerts.metrics_page(),
        "alerts.md": alerts.page(),
        **api.pages(),
    }
    for name, text in texts.items():
        (made / name).write_text(text)


def _prepared(place: Path, text: str) -> str:
    """The page with the drawing in place of its source, and a link wherever it names another page."""
    text = _MERMAID.sub(f"![The states and the moves between them]({MADE}/states.svg)", text)
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _NAMED.sub(_link(place), part) for part in parts)


def _link(place: Path):
    def link(match: re.Match[str]) -> str:
        name = match[1]
        candidates = [Path(name.removeprefix("docs/"))]
        if not name.startswith("docs/"):
            candidates.insert(0, place.parent / name)
        for candidate in candidates:
            if (DOCS / candidate).is_file():
                return f"[`{name}`]({os.path.relpath(DOCS / candidate, DOCS / place.parent)})"
        return match[0]

    return link
