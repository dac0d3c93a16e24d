"""What stands above the fields on the pages of single rows, where it takes more than the row's own room."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from forge.console.pages.blueprint import blueprint_page
from forge.console.pages.budget import budget_page
from forge.console.pages.machine import machine_page
from forge.console.pages.project import project_page

Opens = Callable[[str], bool]
"""Whether the person may open the list of the model with this label."""

PAGES: dict[str, Callable[[HttpRequest, Any, datetime, Opens], dict[str, Any]]] = {
    "accounts.project": project_page,
    "blueprints.blueprint": blueprint_page,
    "budgets.budget": budget_page,
    "workspaces.workspace": machine_page,
}
"""By the label of the model: (request, row, now, opens) makes the context, with the `template` that shows it."""
