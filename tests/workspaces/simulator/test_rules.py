"""RULES.md against the tests and the code that it speaks of."""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workspaces.simulator.test_inputs import OPERATIONS
from workspaces.simulator import catalog

HERE = Path(__file__).parent
PACKAGE = Path(catalog.__file__).parent
RULES = (PACKAGE / "RULES.md").read_text()


def _tests_of(path: Path) -> set[str]:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return {f"{path.stem}::{node.name}" for node in functions if node.name.startswith("test_")}


def test_every_test_named_in_the_rules_exists() -> None:
    existing = {name for path in HERE.glob("test_*.py") for name in _tests_of(path)}
    named = set(re.findall(r"`(test_\w+::test_\w+)`", RULES))
    assert len(named) > 80
    assert named - existing == set()


def test_every_row_of_the_rules_has_a_source_and_a_test() -> None:
    rows = [line for line in RULES.splitlines() if line.startswith("| ") and not line.startswith("| Behaviour |")]
    known = ("model", "guide", "moto", "field", "PEERS.md", "assumed", "ours")
    for row in rows:
        behaviour, source, test = row.strip("| ").split(" | ")
        assert behaviour, row
        assert any(word in source for word in known), row
        assert "::test_" in test, row


def test_every_operation_has_a_row_in_the_rules() -> None:
    assert [name for _, name in OPERATIONS if not re.search(rf"\b{name}\b", RULES)] == []


def test_every_image_of_the_catalog_is_named_in_the_rules() -> None:
    assert [name for name in (*catalog.IMAGES, *catalog.COMPUTE_TYPES) if name not in RULES] == []


def test_the_simulator_imports_only_the_standard_library_and_itself() -> None:
    allowed = sys.stdlib_module_names
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            foreign = [name for name in names if name.partition(".")[0] not in allowed and not _is_ours(name)]
            assert foreign == [], path


def _is_ours(name: str) -> bool:
    return name == "workspaces.simulator" or name.startswith("workspaces.simulator.")


def test_ids_of_the_catalog_never_change() -> None:
    assert catalog.bundle_id("us-east-1", "engineering-linux-1", "STANDARD") == "wsb-ikwqzs6hp"
    assert catalog.directory_id("us-east-1") == "d-bd8d2ddd0f"
    assert catalog.image_id("us-east-1", "engineering-linux-1") == "wsi-054xoeeyx"


def test_ids_of_the_catalog_are_all_different() -> None:
    regions = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1")
    bundles = [bundle_id for region in regions for bundle_id in catalog.bundles(region)]
    directories = [one for region in regions for one in catalog.directory_numbers(region)]
    assert len(set(bundles)) == len(regions) * len(catalog.IMAGES) * len(catalog.COMPUTE_TYPES)
    assert len(set(directories)) == len(regions) * catalog.DIRECTORIES_PER_REGION


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: catalog.bundle_id("us-east-1", "windows-95", "STANDARD"),
        lambda: catalog.bundle_id("us-east-1", "ubuntu-22-04", "HUGE"),
        lambda: catalog.image_id("us-east-1", "windows-95"),
        lambda: catalog.directory_id("us-east-1", 3),
    ],
)
def test_what_the_catalog_does_not_hold_has_no_id(wrong: Callable[[], str]) -> None:
    with pytest.raises(ValueError, match=r"there are|directories"):
        wrong()
