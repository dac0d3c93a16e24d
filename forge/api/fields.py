"""Serializer fields that refuse what PostgreSQL or a person cannot read."""

from __future__ import annotations

import unicodedata
from typing import Any

from rest_framework import serializers

_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's embeddings, overrides and isolates: what follows them is read in another order than it stands."""


def has_controls(text: str, *, kept: str = "\n\t") -> bool:
    """Whether control characters, but for those `kept`, or such that turn the order of others are in the text."""
    return any(letter in _TURNS or (unicodedata.category(letter) == "Cc" and letter not in kept) for letter in text)


class Id(serializers.UUIDField):
    """A UUID as text; numbers and booleans are not taken for one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text in Unicode NFC without characters that hide or turn others; numbers and booleans are not taken for text."""

    default_error_messages = {"control": "Control characters are not taken.", "type": "Not a text."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        text = unicodedata.normalize("NFC", super().to_internal_value(data))
        if has_controls(text):
            self.fail("control")
        return text


class Slug(Text, serializers.SlugField):
    """Letters, digits, hyphens and underscores; a number is no slug."""


class Matching(Text, serializers.RegexField):
    """Text of one shape, first argument a regular expression; a number is no text."""
