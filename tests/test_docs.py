"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forge.api.pagination import KeysetPagination

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_QUOTED = re.compile(r"`([^`\s]+)`")
_ROOMS = ("forge/", "audit/", "blueprints/", "workspaces/", "costs/", "budgets/", "tests/", "docs/")


def read(path: str) -> str:
    return (ROOT / path).read_text()


def quoted(path: Path) -> list[str]:
    return _QUOTED.findall(path.read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document):
    named = {name.partition("::")[0] for name in quoted(document) if name.startswith(_ROOMS)}
    gone = sorted(name for name in named if "*" not in name and not (ROOT / name).exists())
    assert not gone


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document):
    named = [name.split("::") for name in quoted(document) if name.startswith("tests/") and "::" in name]
    gone = [
        f"{path}::{test}"
        for path, test in named
        if not re.search(
            rf"^\s*(?:async )?def {re.escape(test.partition('[')[0])}\(", (ROOT / path).read_text(), re.MULTILINE
        )
    ]
    assert not gone


def test_each_requirement_names_code_and_a_test():
    rows = [line for line in (ROOT / "docs/requirements.md").read_text().splitlines() if re.match(r"\| \d+\.\d", line)]
    assert len(rows) == 12
    for row in rows:
        _, code, tests = (cell for cell in row.strip("|").split("|"))
        assert "`" in code
        assert "`tests/" in tests


def test_every_setting_that_is_read_is_explained():
    source = (ROOT / "forge/settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|_database)\(\s*"([A-Z_]+)"', source))
    told = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/settings.md").read_text()))
    assert read <= told, read - told


def test_the_guide_names_the_largest_page_that_is_given():
    assert f"`page_size` goes up to {KeysetPagination.max_page_size:,}." in read("docs/reference/using-the-api.md")
