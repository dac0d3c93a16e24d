"""Which operations keep a machine from anything else, and which run beside."""

from __future__ import annotations

from forge.operations.models import Operation, OperationQuerySet

TAG_KIND = "workspace.tag"
BESIDE = (TAG_KIND,)
"""Kinds that touch neither the state nor the configuration: with one open, everything else may begin."""


def under_way() -> OperationQuerySet:
    """Open operations that nothing else may begin beside."""
    return Operation.objects.open().exclude(kind__in=BESIDE)
