"""Who gets the console's lists of costs as files: finance and admins all, team leads their teams' (docs/roles.md).

What is spent of a budget and left of a reservation are costs, too.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from costs import permissions
from forge.accounts.models import Membership


class ExportsCosts:
    """Mixin of admin classes; `team` is the path to the team that a row is charged to, '' where there is none."""

    team = "team_id"

    def may_export(self, request: HttpRequest) -> bool:
        user: Any = request.user
        leads = (Membership.Role.TEAM_LEAD,) if self.team else ()
        return user.is_operator or user.has_role(*permissions.PRICING, *leads)

    def exported_rows(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Less than a lead sees, in whose list the own costs in other teams are too."""
        teams = permissions.exported_teams(request.user)  # type: ignore[arg-type]
        return queryset if teams is None else queryset.filter(**{f"{self.team}__in": teams})
