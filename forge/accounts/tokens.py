"""The form of an API token: `forge_<prefix>_<secret>`; only the SHA-256 of the secret is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

PREFIX_LENGTH = 12
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class TokenParts:
    prefix: str
    secret: str

    @property
    def text(self) -> str:
        """What the caller sends after `Bearer`."""
        return f"forge_{self.prefix}_{self.secret}"

    @property
    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, secret_hash: bytes) -> bool:
        """Constant-time comparison with a stored hash."""
        return hmac.compare_digest(self.secret_hash, secret_hash)


def generate() -> TokenParts:
    """A new token with 256 bits of secret."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_LENGTH))
    return TokenParts(prefix=prefix, secret=secrets.token_urlsafe(32))


def parse(text: str) -> TokenParts | None:
    """The parts of a token as sent, or None when it has not the form of one."""
    kind, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if kind != "forge" or len(prefix) != PREFIX_LENGTH or not set(prefix) <= set(_ALPHABET) or not secret:
        return None
    if not secret.isascii():
        return None
    return TokenParts(prefix=prefix, secret=secret)
