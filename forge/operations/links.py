"""What the console says of an operation that it has queued."""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html

from forge.adminkit.links import link
from forge.operations.models import Operation


def with_link(words: str, operation: Operation) -> str:
    """Words of a message, and a link to the page that says how far it is."""
    page = reverse("admin:operations_operation_change", args=[operation.pk])
    return format_html("{} {}", words, link(page, "Follow it"))
