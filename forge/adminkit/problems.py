"""Refusals of services as the console tells them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from forge.api.errors import Problem


def sentence_of(problem: Problem) -> str:
    """A problem as one line for a message: what, the figures, which fields, and what to do about it."""
    if problem.errors:
        named = ((error.get("field") or error.get("parameter") or "", error["message"]) for error in problem.errors)
        return " ".join([f"{problem.detail.rstrip('.')}.", *(_said_of(name, message) for name, message in named)])
    figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in problem.extra.items() if _short(value))
    parts = [problem.detail.rstrip("."), figures, problem.suggested_action.rstrip(".")]
    return ". ".join(part for part in parts if part) + "."


def _said_of(name: str, message: str) -> str:
    return f"{name.replace('_', ' ')}: {message}" if name else message


def _short(value: Any) -> bool:
    return not isinstance(value, dict | list | tuple | set) and len(str(value)) <= 80


def refused(response: HttpResponse, problem: Problem) -> HttpResponse:
    """The answer, with what it says left on it for the audit log."""
    response.problem = problem  # type: ignore[attr-defined]
    return response


def refused_with_message(request: HttpRequest, problem: Problem, address: str) -> HttpResponse:
    """To `address`, with the refusal as a message."""
    messages.error(request, sentence_of(problem))
    return refused(HttpResponseRedirect(address), problem)
