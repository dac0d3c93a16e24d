"""Links in the cells of lists and pages, to be read on light and on dark."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

_LINK = '<a class="text-primary-600 underline dark:text-primary-500" href="{}"{}>{}</a>'


def link(address: str, text: Any, *, download: bool = False) -> str:
    """An <a> to `address`; with `download` the browser saves what is there."""
    return format_html(_LINK, address, " download" if download else "", text)


def two_lines(first: Any, second: Any) -> SafeString:
    """Two facts that belong together in one cell, the second in small letters below; alone where there is none."""
    return format_html('{}<span class="forge-sub">{}</span>', first, second) if second else format_html("{}", first)
