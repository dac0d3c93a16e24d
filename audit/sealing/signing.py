"""The private half of a key: what the verifier, which stands alone, must not know how to use."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from audit.verifier.notes import Checkpoint, NoteError, VerifierKey


@dataclass(frozen=True)
class SigningKey:
    """A private Ed25519 key; it signs the notes of any origin under that origin's name."""

    private: Ed25519PrivateKey

    @classmethod
    def load(cls, pem: str) -> SigningKey:
        """From PEM (PKCS #8, without a password), as `openssl genpkey -algorithm ed25519` writes it; or NoteError."""
        try:
            key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
        except (ValueError, TypeError) as error:
            raise NoteError("the signing key is not a private key in PEM without a password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise NoteError("the signing key is not an Ed25519 key")
        return cls(key)

    def verifier(self, name: str) -> VerifierKey:
        return VerifierKey(name, self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note of a checkpoint; the same for the same checkpoint, because Ed25519 is deterministic."""
        text = checkpoint.text()
        if Checkpoint.parse(text) != checkpoint:
            raise NoteError("a checkpoint that does not read back is not signed")
        signature = self.verifier(checkpoint.origin).id + self.private.sign(text.encode())
        return f"{text}\n— {checkpoint.origin} {base64.b64encode(signature).decode()}\n"
