"""Refusals of services as the console tells them."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from forge.api.errors import PreconditionFailed, Problem

CHANGED_MEANWHILE = "It was changed meanwhile; look at it again. Nothing of this was done."


def sentence_of(problem: Problem) -> str:
    """A problem as one line for a message: what, the figures, which fields, and what to do about it."""
    if isinstance(problem, PreconditionFailed):
        return CHANGED_MEANWHILE
    if problem.errors:
        named = ((error.get("field") or error.get("parameter") or "", error["message"]) for error in problem.errors)
        return " ".join([f"{problem.detail.rstrip('.')}.", *(_said_of(name, message) for name, message in named)])
    extra = {} if problem.are_figures_told else problem.extra
    untold = ((name, value) for name, value in extra.items() if _is_news(value, problem.detail))
    figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in untold)
    parts = [problem.detail.rstrip("."), figures[:1].upper() + figures[1:], advice_of(problem).rstrip(".")]
    return ". ".join(part for part in parts if part) + "."


def advice_of(problem: Problem) -> str:
    """What a person may do about a problem; empty where the advice is for programs, which send fields and headers."""
    if problem.retry_after is not None:
        return f"Try again in {_span(problem.retry_after)}."
    if problem.advice and problem.suggested_action == type(problem).suggested_action:
        return problem.advice  # what was said of this very case is the better advice
    if _FOR_PROGRAMS.search(problem.suggested_action):
        return ""
    return problem.suggested_action.replace("`", "")


_FOR_PROGRAMS = re.compile(r"^Send |\b(?:GET|POST|Retry-After|If-Match)\b|\bheader\b|named in errors")


def _span(seconds: int) -> str:
    """A wait as people say it, never shorter than it is."""
    if seconds <= 90:
        return f"{max(seconds, 1)} second{'s' if seconds > 1 else ''}"
    minutes = -(-seconds // 60)
    return f"{minutes} minutes" if minutes <= 90 else f"{-(-minutes // 60)} hours"


def _said_of(name: str, message: str) -> str:
    return f"{name.replace('_', ' ')}: {message}" if name else message


def _is_news(value: Any, detail: str) -> bool:
    """True for a figure that fits into a sentence and is no word of the one before.

    Ids of rows tell people nothing, nor does that something is true, or is not there.
    """
    if value is None or isinstance(value, bool | dict | list | tuple | set | uuid.UUID) or len(text := str(value)) > 80:
        return False
    is_told = re.search(rf"(?<![\w.,]){re.escape(text)}(?![.,]?\w)", detail, re.IGNORECASE)
    return not is_told and not _ID.fullmatch(text)


_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def refused(response: HttpResponse, problem: Problem) -> HttpResponse:
    """The answer, with what it says left on it for the audit log."""
    response.problem = problem  # type: ignore[attr-defined]
    return response


def refused_with_message(request: HttpRequest, problem: Problem, address: str) -> HttpResponse:
    """To `address`, with the refusal as a message."""
    messages.error(request, sentence_of(problem))
    return refused(HttpResponseRedirect(address), problem)
