"""docs/lifecycle.md and docs/roles.md say what the code does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from blueprints.permissions import DRAFTING, PUBLISHING
from forge.accounts.models import Membership
from tests.workspaces import lifecycle_doc
from workspaces import permissions
from workspaces.capabilities import APPLICATIONS, CAPABILITIES, PERSONAL, Capabilities
from workspaces.guards import BUNDLES_OF_ROLE
from workspaces.models import WorkSpace
from workspaces.resolve import LAUNCHING_ROLES

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROLES = list(Membership.Role.values)


def row(title):
    """A line of the table in docs/roles.md: {role: cell}."""
    for line in (DOCS / "roles.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == title:
            return dict(zip(ROLES, cells[1:], strict=True))
    raise AssertionError(f"docs/roles.md has no line {title!r}")


def cell(role, own, others):
    wide = "all" if role == "admin" else "own, team's"
    return wide if role in others else "own" if role in own else "no"


def test_the_diagram_and_the_table_of_actions_are_those_of_the_code():
    text = (DOCS / "lifecycle.md").read_text()
    assert lifecycle_doc.moves() in text
    assert lifecycle_doc.table() in text
    assert lifecycle_doc.actions() in text


@pytest.mark.parametrize("action", sorted(permissions._OWN.keys() - {"launch"}))
def test_the_roles_of_each_action_are_those_of_the_code(action):
    expected = {role: cell(role, permissions._OWN[action], permissions._OTHERS) for role in ROLES}
    assert row(action) == expected


def test_the_roles_that_launch_draft_and_publish_are_those_of_the_code():
    assert row("launch") == {role: cell(role, LAUNCHING_ROLES, permissions._OTHERS) for role in ROLES}
    for title, roles in (("draft a blueprint", DRAFTING), ("publish, retire a blueprint", PUBLISHING)):
        said = {role: "all" if role == "admin" else "team's" if role in roles else "no" for role in ROLES}
        assert row(title) == said


def test_the_bundles_of_each_role_are_those_of_the_code():
    named = {role: {part.strip() for part in text.split(",")} - {"none"} for role, text in row("bundles").items()}
    assert named == {role: set(BUNDLES_OF_ROLE[role]) for role in ROLES}


def test_what_each_service_can_is_that_of_the_code():
    text = (DOCS / "decisions" / "0004-applications.md").read_text()
    for flag in fields(Capabilities):
        said = ["yes" if getattr(each, flag.name) else "no" for each in (PERSONAL, APPLICATIONS)]
        assert f"| {flag.name.replace('_', ' ')} | {said[0]} | {said[1]} |" in text, flag.name
    assert CAPABILITIES.keys() == set(WorkSpace.ServiceType.values)
