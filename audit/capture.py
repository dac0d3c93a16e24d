"""Which entry a request owes the log when its view left none, and how it tells of itself.

A view says more by attributes, on the class or (in DRF) as arguments of `@action`:
- `audit_action`: the action type of what it does, or a mapping from the viewset's action name, in the console from
  the button's name, to one; a GET that is denied is ACCESS_DENIED whatever the view does, but for
- `audit_get = True`: a GET that leaves an entry of its own (an export); denied or failed by our fault (5xx), it leaves
  one of that type too;
- `audit_resource`: the resource type; the id is the address's `object_id` (in the console), else its last argument;
- `audit_sign_in = True`: a step of signing in; one that is not accepted is AUTH_FAILED and denied;
- `audit_may_fail = True`: its refusals leave also where their entry cannot be written, for they tell nothing that the
  log has to vouch for (`/metrics`);
- `audit_as_read = True`: a POST that changes nothing (quote, check, a confirmation page) and counts as a GET; set on
  the request it says so of this one alone (a form that showed a price first, a button that was told only to look).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
from django.utils import timezone

from audit import actions
from audit.actors import ADMIN_PREFIX, Actor, Kind, source_address
from audit.entries import DENIED, FAILURE, SUCCESS, Entry
from audit.services import Receipt, append
from audit.trail import Left
from forge.api import denials
from forge.api.errors import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
COUNTED = {401: actions.AUTH_FAILED, 429: actions.RATE_LIMITED}
"""Statuses, and their action types, of which only the first of an address, credential and minute leaves an entry."""

_COUNTED_AS = {action: status for status, action in COUNTED.items()}

FORMS_UNDER = (ADMIN_PREFIX, "/account/")
"""Where pages are that answer a form which they did not accept with the form and status 200."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # an id or slug; anything else in an address may be somebody's name
_DENIED_STATUSES = frozenset({403, 422, *COUNTED})


@dataclass(frozen=True)
class Address:
    """What a request was for, as the URL map and the view say it."""

    view_name: str
    action: str | None
    resource_type: str
    resource_id: str
    is_read: bool
    is_export: bool = False
    is_sign_in: bool = False

    @classmethod
    def of(cls, request: HttpRequest) -> Address:
        match = getattr(request, "resolver_match", None)
        if match is None:
            return cls("", None, "", "", is_read=request.method in SAFE_METHODS)
        view = _View(match.func, (request.method or "").lower())
        is_write = request.method not in SAFE_METHODS
        is_export = not is_write and bool(view.says("audit_get"))
        declared = view.says("audit_action") if is_write or is_export else None
        if isinstance(declared, Mapping):
            declared = declared.get(view.action or match.kwargs.get("name"))
        return cls(
            view_name=match.view_name or match.route,
            action=declared,
            resource_type=view.says("audit_resource") or "",
            resource_id=_resource_id(match),
            is_read=not is_write or _changes_nothing(request, view),
            is_export=is_export,
            is_sign_in=match.view_name == settings.LOGIN_URL or bool(view.says("audit_sign_in")),
        )


class _View:
    """A view function, a class-based view or a viewset, asked for its attributes in one way."""

    def __init__(self, function: Any, method: str) -> None:
        self._function = function
        self._class = getattr(function, "cls", None) or getattr(function, "view_class", None)
        self.action = (getattr(function, "actions", None) or {}).get(method)

    def says(self, name: str) -> Any:
        for source in (getattr(self._function, "initkwargs", None), getattr(self._function, "view_initkwargs", None)):
            if source and name in source:
                return source[name]
        return getattr(self._function, name, None) or getattr(self._class, name, None)


def owed(request: HttpRequest, response: HttpResponseBase, left: list[Left]) -> Entry | None:
    """The entry that the answer still owes, None where DESIGN asks for none or it is there already.

    An answer that refuses needs an entry that is no success: what an earlier transaction of the same request did is
    not the entry of its refusal. The console answers refusals with a page and leaves the problem on the response.
    """
    problem = getattr(response, "problem", None)
    status = problem.status if problem is not None else response.status_code
    if getattr(request, "denial_is_counted", False):
        return None
    if any(status < 400 or one.result != SUCCESS for one in left) or response.has_header("Idempotency-Replayed"):
        return None
    address = Address.of(request)
    result = _result(request, status, problem)
    if address.is_read and result != DENIED and not (address.is_export and status >= 500):
        return None
    action = COUNTED.get(status)
    if address.is_sign_in and (result == DENIED or (status < 400 and result != SUCCESS)):
        action, result = actions.AUTH_FAILED, DENIED
    return _entry(request, address, status, problem, action=action, result=result)


def may_fail(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the answer leaves although its entry cannot be written."""
    match = getattr(request, "resolver_match", None)
    is_refusal = response.status_code in _DENIED_STATUSES and request.method in SAFE_METHODS
    return match is not None and is_refusal and bool(_View(match.func, "get").says("audit_may_fail"))


def _resource_id(match: ResolverMatch) -> str:
    arguments = [*match.args, *match.kwargs.values()]
    last = str(match.kwargs.get("object_id") or (arguments[-1] if arguments else ""))
    return last if _ID.fullmatch(last) else ""


def is_first(request: HttpRequest, action: str) -> bool:
    """Whether an entry of that type is to be written now: always, but for the later ones of a kind that is counted.

    What is told apart beside the address is the credential that was tried, as the authenticator that knows it says
    (`request.credential_tried`): whoever invents credentials makes no entry for each. Must run in the transaction
    that writes the entry.
    """
    status = _COUNTED_AS.get(action)
    if status is None:
        return True
    tried = getattr(request, "credential_tried", "")
    first = denials.note(source_address(request) or "", tried, status, timezone.now())
    request.denial_is_counted = not first  # type: ignore[attr-defined]
    return first


def is_to_be_written(request: HttpRequest, entry: Entry) -> bool:
    """Whether the entry that a request owes is to be written: also of those without a credential only a first one.

    Whoever has no account could else fill the log: they are counted by address, status, result and minute. Must run
    in the transaction that writes the entry.
    """
    if entry.action in _COUNTED_AS or entry.actor.kind is not Kind.ANONYMOUS:
        return is_first(request, entry.action)
    status = int((entry.context or {})["status"])
    return denials.note_nobody(source_address(request) or "", status, entry.result, timezone.now())


def record_refusal(request: HttpRequest, problem: Problem) -> Receipt:
    """Record that `problem` refuses the request, in the transaction that keeps the refusal (an idempotency key)."""
    request = getattr(request, "_request", request)
    address = Address.of(request)
    entry = _entry(request, address, problem.status, problem, action=None, result=problem.audit_result)
    return append(entry)


def _result(request: HttpRequest, status: int, problem: Problem | None) -> str:
    if status < 400:
        # The console answers a form that it did not accept with the form, and one that it did with a redirect.
        is_form = status == 200 and request.path.startswith(FORMS_UNDER) and request.method not in SAFE_METHODS
        return FAILURE if is_form else SUCCESS
    if status in _DENIED_STATUSES:
        return DENIED
    return problem.audit_result if problem is not None else FAILURE


def _entry(
    request: HttpRequest, address: Address, status: int, problem: Problem | None, *, action: str | None, result: str
) -> Entry:
    code = problem.code if problem is not None else None
    where = address.view_name or "an unknown address"
    otherwise = actions.ACCESS_DENIED if result == DENIED else actions.OTHER
    return Entry(
        actor=Actor.of_request(request),
        action=action or address.action or otherwise,
        resource_type=address.resource_type,
        resource_id=address.resource_id,
        result=result,
        description=" ".join(filter(None, (request.method, where, "was answered", str(status), code))),
        context={
            "method": request.method,
            "view": address.view_name,
            "status": status,
            "code": code,
            "request_id": getattr(request, "request_id", None),
        },
    )


def _changes_nothing(request: HttpRequest, view: _View) -> bool:
    """True for a POST that is marked so, and for `?dry_run=true` where the view takes it; elsewhere neither hides."""
    if request.method == "POST" and (view.says("audit_as_read") or getattr(request, "audit_as_read", False)):
        return True
    return request.GET.get("dry_run") == "true" and view.action in (view.says("dry_run_actions") or ())
