"""The four scopes of a budget: which table each id is of, and where machines and cost records name it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models

from budgets.models import Budget
from forge.accounts.models import Organization, Project, Team, User


@dataclass(frozen=True)
class ScopeFacts:
    """Where a scope is found in the database."""

    model: type[models.Model]
    machine_column: str
    record_column: str

    @property
    def table(self) -> str:
        """Name of the table whose row is locked for adoption."""
        return self.model._meta.db_table


FACTS: dict[str, ScopeFacts] = {
    Budget.Scope.USER: ScopeFacts(User, "owner_id", "user_id"),
    Budget.Scope.TEAM: ScopeFacts(Team, "team_id", "team_id"),
    Budget.Scope.PROJECT: ScopeFacts(Project, "project_id", "project_id"),
    Budget.Scope.ORGANIZATION: ScopeFacts(Organization, "organization_id", "organization_id"),
}
"""In the order in which scope rows are locked."""
