"""Serializer fields that refuse what PostgreSQL or a person cannot read."""

from __future__ import annotations

import unicodedata
from typing import Any

from rest_framework import serializers


class Id(serializers.UUIDField):
    """A UUID as text; numbers and booleans are not taken for one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text in Unicode NFC without control characters; numbers and booleans are not taken for text."""

    default_error_messages = {"control": "Control characters are not taken.", "type": "Not a text."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        text = unicodedata.normalize("NFC", super().to_internal_value(data))
        if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
            self.fail("control")
        return text
