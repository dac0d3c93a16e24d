"""One effect per Idempotency-Key: the one mechanism for every POST that creates or spends.

The key is inserted first, the effect runs in a savepoint, and key, effect and answer commit together, so a crash at
any moment leaves either all of them or none. A twin that comes meanwhile waits at the unique index. A refusal (422)
rolls back to the savepoint; then its answer, key and DENIED audit entry commit together. Only 2xx and 422 are kept:
after any other answer the same key may be used again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import psycopg
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.errors import BadRequest, Conflict, Problem, Refused, problem_response
from forge.api.models import IdempotencyKey
from forge.api.renderers import JSONRenderer
from forge.db.locks import lock_timeout
from forge.db.ports import resolve

KEPT_FOR = timedelta(hours=24)
WAIT_SECONDS = 5.0
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Retry-After")

_CLAIM = """
    INSERT INTO api_idempotencykey
        (organization_id, credential, key, request_hash, headers, body, receipt, created_at, expires_at)
    VALUES (%s, %s, %s, %s, '{}', '', '', %s, %s)
    ON CONFLICT (credential, key) DO UPDATE
        SET organization_id = EXCLUDED.organization_id, request_hash = EXCLUDED.request_hash, status = NULL,
            headers = '{}', body = '', receipt = '', created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
        WHERE api_idempotencykey.expires_at <= EXCLUDED.created_at
    RETURNING id
"""


class InvalidIdempotencyKey(BadRequest):
    code = "invalid_idempotency_key"
    title = "The Idempotency-Key cannot be used"
    suggested_action = "Send 1 to 255 printable ASCII characters, a UUID for example."


class IdempotencyKeyNotTaken(BadRequest):
    code = "idempotency_key_not_taken"
    title = "This answer is given once and cannot be repeated for an Idempotency-Key"
    suggested_action = "Send the request without the Idempotency-Key."


class IdempotencyKeyReused(Refused):
    code = "idempotency_key_reused"
    title = "This Idempotency-Key belongs to another request"
    suggested_action = "Make a new key for each new request, and repeat a request exactly as it was."


class IdempotencyInProgress(Conflict):
    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running"
    suggested_action = "Send it again after the seconds in Retry-After; it will get the first one's answer."
    retryable = True
    retry_after = 1


class _NotKept(Exception):
    """Carries an answer out of the transaction that it must not commit with."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response


def idempotent(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a viewset's method obey Idempotency-Key; without the header, and for dry runs, it works as it is."""

    @wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = None if view.dry_run else key_of(request)
        if key is None:
            return method(view, request, *args, **kwargs)
        return _answer_once(request, key, lambda: method(view, request, *args, **kwargs))

    wrapper.idempotent = True  # type: ignore[attr-defined]  # the OpenAPI schema shows the header
    return wrapper


def key_of(request: Request) -> str | None:
    """The Idempotency-Key that was sent; raises InvalidIdempotencyKey."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidIdempotencyKey("The key is not 1 to 255 printable ASCII characters.")
    return key


def refuse_key(request: Request) -> None:
    """Raise IdempotencyKeyNotTaken where a key is sent to what cannot repeat its answer."""
    if request.headers.get("Idempotency-Key") is not None:
        raise IdempotencyKeyNotTaken("Leave the header out; look into the list before you send it again.")


def purge_idempotency_keys(*, now: datetime, batch: int = 5000) -> dict[str, int]:
    """Delete expired keys, in batches of a transaction each; returns {"deleted": n}."""
    deleted = 0
    while True:
        expired = IdempotencyKey.objects.filter(expires_at__lte=now).order_by("expires_at").values("id")[:batch]
        with transaction.atomic():
            count, _ = IdempotencyKey.objects.filter(id__in=expired.select_for_update(skip_locked=True)).delete()
        deleted += count
        if count < batch:
            return {"deleted": deleted}


def _answer_once(request: Request, key: str, effect: Callable[[], HttpResponse]) -> HttpResponse:
    _ = request.data  # a body that cannot be read is refused before it takes a key
    now = timezone.now()
    user: Any = request.user
    credential = f"token:{request.auth.pk}" if request.auth is not None else f"user:{user.pk}"
    request_hash = _hash(request)
    try:
        with transaction.atomic(durable=True):
            claimed = _claim(user.organization_id, credential, key, request_hash, now)
            if claimed is not None:
                return _run(request, claimed, effect)
            first = IdempotencyKey.objects.filter(credential=credential, key=key).first()
    except _NotKept as exc:
        return exc.response
    if first is None:  # it expired and was purged between the two statements
        raise IdempotencyInProgress()
    if bytes(first.request_hash) != request_hash:
        raise IdempotencyKeyReused("The key was first used with another method, address or body.")
    response = _stored_answer(first)
    response["Idempotency-Replayed"] = "true"
    if first.receipt:
        response["Audit-Receipt"] = first.receipt
    return response


def _hash(request: Request) -> bytes:
    http = request._request
    address = f"{http.method} {http.path.rstrip('/')}?{http.META.get('QUERY_STRING', '')}\n"
    return hashlib.sha256(address.encode() + http.body).digest()


def _claim(organization_id: Any, credential: str, key: str, request_hash: bytes, now: datetime) -> int | None:
    """The id of the row that is now ours, None when the key has its answer; raises IdempotencyInProgress."""
    lock_timeout(WAIT_SECONDS)
    with connection.cursor() as cursor:
        try:
            cursor.execute(_CLAIM, [organization_id, credential, key, request_hash, now, now + KEPT_FOR])
        except OperationalError as exc:
            if isinstance(exc.__cause__, psycopg.errors.LockNotAvailable):
                raise IdempotencyInProgress("It did not finish while this one waited.") from None
            raise
        row = cursor.fetchone()
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    return row[0] if row else None


def _run(request: Request, claimed: int, effect: Callable[[], HttpResponse]) -> HttpResponse:
    """Run the effect in a savepoint and keep its answer; raises _NotKept, or what the effect raises, to undo all."""
    try:
        with transaction.atomic():
            response = _rendered(effect())
    except Problem as problem:
        if problem.status != Refused.status:
            raise
        resolve(settings.FORGE_REFUSAL_RECORDER)(request._request, problem)
        response = problem_response(request._request, problem)
    else:
        if not 200 <= response.status_code < 300:
            raise _NotKept(response)
    IdempotencyKey.objects.filter(id=claimed).update(
        status=response.status_code,
        headers={name: response[name] for name in _KEPT_HEADERS if response.has_header(name)},
        body=response.content.decode(),
        receipt=str(getattr(request._request, "audit_receipt", "") or ""),
    )
    return response


def _rendered(response: HttpResponse) -> HttpResponse:
    """The answer with its bytes made now, inside the transaction, so that a replay repeats them exactly."""
    if not isinstance(response, Response):
        return response
    body = b"" if response.data is None else JSONRenderer().render(response.data)
    rendered = HttpResponse(body, status=response.status_code, content_type="application/json")
    for name, value in response.items():
        if name != "Content-Type":  # DRF sets its own only when it renders
            rendered[name] = value
    return rendered


def _stored_answer(row: IdempotencyKey) -> HttpResponse:
    response = HttpResponse(row.body.encode(), status=row.status)
    for name, value in row.headers.items():
        response[name] = value
    return response
