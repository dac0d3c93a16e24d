"""What the templates of the console share: instants and money."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.db.models import DateTimeField

from forge.adminkit import times

register = template.Library()


@register.filter
def moment(at: datetime | str | None) -> str:
    """An instant in the zone of whoever looks, to the second; templates know what is not there as ''."""
    return times.moment(at if isinstance(at, datetime) else None, seconds=True)


@register.filter
def minute(at: datetime) -> str:
    """An instant in the zone of whoever looks, to the minute."""
    return times.moment(at)


@register.filter
def amount(figure: Decimal | None) -> str:
    """Money rounded to cents, without its currency."""
    return "-" if figure is None else f"{figure:,.2f}"


@register.filter
def instant_of(field: Any) -> datetime | None:
    """What a read-only field of a form holds where that is an instant of its model, else None."""
    name, instance = field.field["field"], field.form.instance
    if not isinstance(name, str) or name in field.form.fields:
        return None
    known = {one.name for one in instance._meta.concrete_fields if isinstance(one, DateTimeField)}
    return getattr(instance, name) if name in known else None
