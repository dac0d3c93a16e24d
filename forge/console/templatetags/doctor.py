"""`{% doctor %}`: what the doctor found and how to mend it, for the System page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.utils import timezone

from forge.console.doctor import OK, findings

register = template.Library()

LABELS = {"warning": "warning", "fault": "danger"}


@register.inclusion_tag("console/doctor.html", takes_context=True)
def doctor(context: Context) -> dict[str, Any]:
    """Near findings; with `?doctor=far` those of AWS, mail and sinks too, for operators: they tell of all."""
    request = context["request"]
    is_operator = request.user.is_operator
    far = is_operator and request.GET.get("doctor") == "far"
    found = [one for one in findings(timezone.now(), far=far) if one.status != OK]
    return {
        "diagnoses": [(LABELS[one.status], one) for one in found],
        "may_ask_far": is_operator and not far,
        "far": far,
    }
