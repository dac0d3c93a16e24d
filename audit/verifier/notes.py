"""Checkpoints as signed notes: the text, the public keys, and the strict reading of both.

Pure: no Django, no database; the standard library and `cryptography`. Sources: C2SP signed-note (text, signature
lines, key ids; only Ed25519, type 0x01) and C2SP tlog-checkpoint (origin, tree size, root; the key's name is the
origin). Forge writes no extension lines, which the specification advises against, and reads past those of others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .proofs import HASH_BYTES, MOST_LEAVES

ED25519 = b"\x01"
MOST_NOTE_BYTES = 64 * 1024
MOST_SIGNATURES = 100
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME = re.compile(r"[^\s+]{1,255}")


class NoteError(ValueError):
    """The note, its signature or a key is not what it must be; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """The head of the tree at one size."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """From the text of a note; raises NoteError for any other spelling than the canonical one."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise NoteError("a checkpoint has an origin, a size and a root, each on a line of its own")
        origin, size, root = lines[:3]
        if not is_name(origin):
            raise NoteError("the origin is no name")
        if not _SIZE.fullmatch(size) or int(size) > MOST_LEAVES:
            raise NoteError("the size is not a plain whole number")
        hashed = _decode(root, "the root")
        if len(hashed) != HASH_BYTES:
            raise NoteError(f"the root does not have {HASH_BYTES} bytes")
        return cls(origin, int(size), hashed)


@dataclass(frozen=True)
class VerifierKey:
    """A public key under a name; as text `name+id+base64` (a "vkey")."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that name the key in a signature line: a hint, never a proof."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """From its text form; raises NoteError."""
        name, _, rest = text.strip().partition("+")
        hint, _, encoded = rest.partition("+")
        raw = _decode(encoded, "the key")
        if not is_name(name) or raw[:1] != ED25519 or len(raw) != 33:
            raise NoteError("this is no Ed25519 verifier key of the form name+id+base64")
        key = cls(name, raw[1:])
        if hint != key.id.hex():
            raise NoteError("the key does not have the id that stands beside it")
        return key

    def named(self, name: str) -> VerifierKey:
        """The same key for the notes of another origin."""
        return VerifierKey(name, self.public)

    def holds(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(ED25519 + self.public)}"


def read_note(note: str, keys: Iterable[VerifierKey]) -> str:
    """The text of a note that at least one of `keys` signed; raises NoteError.

    Signatures of unknown keys are passed over; a signature under the name and id of a known key must hold, and none
    may stand twice.
    """
    if len(note.encode(errors="surrogatepass")) > MOST_NOTE_BYTES:
        raise NoteError("the note is too long")
    text, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteError("the note has no signatures")
    text += "\n"
    if any(character != "\n" and (ord(character) < 32 or 0xD800 <= ord(character) < 0xE000) for character in note):
        raise NoteError("the note has control characters")
    known = {(key.name, key.id): key for key in keys}
    lines = tail[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise NoteError("the note has too many signatures")
    seen = set()
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        raw = _decode(match[2], "a signature") if match else b""
        if match is None or len(raw) < 5:
            raise NoteError("a signature line is malformed")
        place = (match[1], raw[:4])
        if (key := known.get(place)) is None:
            continue
        if place in seen:
            raise NoteError(f"{key.name} signed twice")
        if not key.holds(text, raw[4:]):
            raise NoteError(f"the signature of {key.name} does not hold")
        seen.add(place)
    if not seen:
        raise NoteError("no known key signed the note")
    return text


def read_checkpoint(note: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that a key under the name of its origin signed; raises NoteError.

    `keys` count whatever their own name is: a key vouches for every origin of the log that it belongs to.
    """
    origin = note.partition("\n")[0]
    if not is_name(origin):
        raise NoteError("the origin is no name")
    return Checkpoint.parse(read_note(note, {key.named(origin) for key in keys}))


def is_name(text: str) -> bool:
    """Whether `text` can name an origin or key: no white space, no plus sign, not empty."""
    return bool(_NAME.fullmatch(text))


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str, what: str) -> bytes:
    """Standard base64 in its one canonical spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not base64") from error
    if _encode(raw) != text:
        raise NoteError(f"{what} is not canonical base64")
    return raw


__all__ = [
    "Checkpoint", "NoteError", "VerifierKey", "is_name", "read_checkpoint", "read_note",
]  # fmt: skip
