"""Refusals of a sign-in that are pages, and leave their entry in the audit log as the problem they are."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from forge.api.errors import Denied, Problem


class AccountEnded(Denied):
    code = "account_ended"
    title = "The account is switched off or has ended"


def refusal_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The page that says why, with the problem on it for the audit log."""
    response = render(request, "account/refused.html", {"problem": problem}, status=problem.status)
    response.problem = problem  # type: ignore[attr-defined]
    return response
