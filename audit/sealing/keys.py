"""The keys of this installation: the one that signs, those that vouch for what was signed, and the log's name."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.sealing.signing import SigningKey
from audit.verifier.notes import NoteError, VerifierKey, is_name


def signing_key() -> SigningKey | None:
    """The key of FORGE_AUDIT_SIGNING_KEY, None where there is none; raises ImproperlyConfigured for a bad one."""
    if not settings.FORGE_AUDIT_SIGNING_KEY.strip():
        return None
    try:
        return SigningKey.load(settings.FORGE_AUDIT_SIGNING_KEY)
    except NoteError as error:
        raise ImproperlyConfigured(f"FORGE_AUDIT_SIGNING_KEY: {error}") from error


def verifier_keys() -> list[VerifierKey]:
    """The signing key's public half, then FORGE_AUDIT_VERIFIER_KEYS (earlier keys); raises ImproperlyConfigured."""
    key = signing_key()
    keys = [key.verifier(origin_of(1))] if key else []
    try:
        return keys + [VerifierKey.parse(text) for text in settings.FORGE_AUDIT_VERIFIER_KEYS]
    except NoteError as error:
        raise ImproperlyConfigured(f"FORGE_AUDIT_VERIFIER_KEYS: {error}") from error


def origin_of(incarnation: int) -> str:
    """The origin line of the log's checkpoints: the log's name, and which incarnation it is after the first."""
    name = settings.FORGE_AUDIT_ORIGIN
    if not is_name(name):
        raise ImproperlyConfigured(f"FORGE_AUDIT_ORIGIN: {name!r} has white space or a plus sign, or is empty")
    return name if incarnation == 1 else f"{name}/{incarnation}"
