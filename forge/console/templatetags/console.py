"""What the templates of the console's lists ask for."""

from __future__ import annotations

from typing import Any

from django import template

from forge.console.hints import HINTS

register = template.Library()
_WHOLE = "__exact"


@register.filter
def hint(opts: Any) -> str:
    """What an empty list of this model says."""
    return HINTS.get(opts.label_lower, "")


@register.filter
def searched(changelist: Any) -> str:
    """What the search of this list looks for, as one sentence: its own help, or its fields."""
    if changelist.search_help_text:
        return f"This list is searched by: {str(changelist.search_help_text).rstrip('.')}."
    names = [_spoken(str(name)) for name in changelist.search_fields]
    return f"This list is searched by {', '.join(dict.fromkeys(names))}."


def _spoken(field: str) -> str:
    """`id__exact` as "a whole id", `team__slug` as "team slug"."""
    words = field.removesuffix(_WHOLE).replace("__", " ").replace("_", " ").lstrip("^=")
    return f"a whole {words}" if field.endswith(_WHOLE) else words
