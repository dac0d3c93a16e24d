"""Signatures in the manner of Standard Webhooks: HMAC-SHA256 over id, time and body, by each secret that is valid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    """256 bits that nobody has seen."""
    return secrets.token_bytes(SECRET_BYTES)


def text_of(secret: bytes) -> str:
    """The secret as people are shown it: `whsec_` and base64, as verifiers of Standard Webhooks take it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(*, event_id: str, at: datetime, body: bytes, secrets: Iterable[bytes]) -> dict[str, str]:
    """The three headers; `webhook-signature` holds one signature per secret, separated by spaces."""
    timestamp = str(int(at.timestamp()))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_sign(secret, event_id, timestamp, body) for secret in secrets),
    }


def _sign(secret: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
