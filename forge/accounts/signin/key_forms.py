"""Forms of security keys: what is no answer of a key is refused like a wrong key's."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)


def _fitting(check: Callable[[], Any]) -> Any:
    """What `check` gives; raises ValidationError also where the parsers of fido2 find no credential at all."""
    try:
        return check()
    except (AttributeError, LookupError, TypeError, ValueError, struct.error):
        raise get_adapter().validation_error("incorrect_code") from None


class AddKeyForm(AddWebAuthnForm):
    def clean(self) -> dict[str, Any]:
        return _fitting(super().clean)


class KeyForm(AuthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        return _fitting(super().clean_credential)


class KeyAgainForm(ReauthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        return _fitting(super().clean_credential)


class PasskeyForm(LoginWebAuthnForm):
    def clean_credential(self) -> Any:
        return _fitting(super().clean_credential)
