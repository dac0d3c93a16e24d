"""How secrets are kept: encrypted by keys made from SECRET_KEY, so that a copy of the database signs nothing.

SECRET_KEY_FALLBACKS still open what an earlier key has closed.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from forge.outbox.models import Webhook


class SecretUnreadable(Exception):
    """The secret was closed by a SECRET_KEY that this process does not have."""


def close(secret: bytes) -> bytes:
    """The secret as it stands in the row."""
    return _keys().encrypt(secret)


def open_all(webhook: Webhook, *, at: datetime) -> list[bytes]:
    """The secrets that are valid at that time, the newest first; raises SecretUnreadable."""
    kept = [webhook.secret]
    if webhook.former_secret_until is not None and at < webhook.former_secret_until:
        kept.append(webhook.former_secret)
    try:
        return [_keys().decrypt(bytes(one)) for one in kept]
    except InvalidToken as error:
        raise SecretUnreadable("its secret cannot be read with this SECRET_KEY; give it a new one") from error


def _keys() -> MultiFernet:
    return MultiFernet([_key(text) for text in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(text: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=32, person=b"webhooks").digest()))
