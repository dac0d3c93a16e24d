"""What the templates of the console's lists ask for."""

from __future__ import annotations

from typing import Any

from django import template

from forge.console.hints import HINTS

register = template.Library()


@register.filter
def hint(opts: Any) -> str:
    """What an empty list of this model says."""
    return HINTS.get(opts.label_lower, "")
