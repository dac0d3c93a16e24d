"""What templates mark is styled: a class that no sheet defines leaves on the page what was to be hidden."""

from __future__ import annotations

import re
from pathlib import Path

import unfold

ROOT = Path(__file__).parents[3]
OWN = (ROOT / "forge/console/static/console/console.css").read_text()
THEIRS = (Path(unfold.__file__).parent / "static/unfold/css/styles.css").read_text()
ROOMS = ("audit", "blueprints", "budgets", "costs", "forge", "workspaces")
FOR_SCREEN_READERS = {"sr-only", "visually-hidden", "forge-hidden"}


def classes() -> set[str]:
    """The words of every `class` of our templates, of which parts may be tags."""
    return {
        word
        for room in ROOMS
        for path in (ROOT / room).rglob("templates/**/*.html")
        for names in re.findall(r'class="([^"]*)"', path.read_text())
        for word in names.split()
    }


def test_what_is_for_screen_readers_alone_is_hidden_by_a_sheet():
    used = classes() & FOR_SCREEN_READERS
    assert used
    assert {name for name in used if f".{name} {{" not in OWN and f".{name}{{" not in THEIRS} == set()
