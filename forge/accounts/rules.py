"""What may be the slug or the currency of an organization: one rule for services, forms and commands."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

slug_rule = RegexValidator(
    r"^[-a-zA-Z0-9_]{1,63}\Z",
    "Enter a valid slug: 1 to 63 letters, numbers, underscores or hyphens.",
)
currency_rule = RegexValidator(r"^[A-Z]{3}\Z", "Enter an ISO 4217 code of three capital letters, such as USD.")


def holds(rule: RegexValidator, value: str) -> bool:
    """Whether `value` is as the rule says."""
    try:
        rule(value)
    except ValidationError:
        return False
    return True
