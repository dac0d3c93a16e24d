"""`{% doctor %}`: what the doctor found and how to mend it, for the System page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.utils import timezone

from forge.console.doctor import OK, beyond_health

register = template.Library()

LABELS = {"warning": "warning", "fault": "danger"}


@register.inclusion_tag("console/doctor.html", takes_context=True)
def doctor(context: Context) -> dict[str, Any]:
    """Near findings, beside the page's own of health; with `?doctor=far` AWS, mail and sinks too, for operators."""
    request = context["request"]
    is_operator = request.user.is_operator
    far = is_operator and request.GET.get("doctor") == "far"
    found = [one for one in beyond_health(timezone.now(), far=far) if one.status != OK]
    return {
        "diagnoses": [(LABELS[one.status], one) for one in found],
        "may_ask_far": is_operator and not far,
        "far": far,
    }
