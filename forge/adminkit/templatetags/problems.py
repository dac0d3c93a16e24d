"""What a page says of a refusal."""

from __future__ import annotations

from django import template

from forge.adminkit.problems import advice_of

register = template.Library()
register.filter("advice", advice_of)
