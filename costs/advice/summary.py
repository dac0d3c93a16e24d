"""What open advice would save and what accepted advice has saved, of the advice that a person sees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Greatest, Least

from costs.models import Advice, AdviceSaving

_ZERO = Value(Decimal(0))


def summary(advice: QuerySet[Advice]) -> dict[str, Any]:
    """Open savings of a month and realised ones so far, by kind and currency.

    `at_once` is what can be saved together: of several pieces of advice for one machine the largest counts.
    """
    open_ones = advice.filter(status=Advice.Status.OPEN)
    per_machine = open_ones.values("workspace", "currency").annotate(most=Max("saving_amount")).filter(most__gt=0)
    at_once: dict[str, Decimal] = {}
    for currency, most in per_machine.order_by().values_list("currency", "most").iterator(chunk_size=2000):
        at_once[currency] = at_once.get(currency, Decimal(0)) + most
    return {
        "open": _by_kind(open_ones),
        "at_once": [{"currency": name, "saving_amount": amount} for name, amount in sorted(at_once.items())],
        "realised": [
            {
                "kind": row["advice__kind"],
                "currency": row["advice__currency"],
                "advice": row["count"],
                "saved_amount": row["saved"],
                "through": row["last"],
            }
            for row in AdviceSaving.objects.filter(advice__in=advice.values("id"))
            .values("advice__kind", "advice__currency")
            .annotate(count=Count("advice", distinct=True), saved=Sum("saved_amount"), last=Max("through"))
            .order_by("advice__kind", "advice__currency")
        ],
    }


def _by_kind(advice: QuerySet[Advice]) -> list[dict[str, Any]]:
    rows: QuerySet[Any, Any] = advice.values("kind", "currency").annotate(
        count=Count("id"),
        saving=Coalesce(Sum(Greatest("saving_amount", _ZERO)), _ZERO),
        extra=Coalesce(-Sum(Least("saving_amount", _ZERO)), _ZERO),
    )
    return [
        {
            "kind": row["kind"],
            "currency": row["currency"],
            "advice": row["count"],
            "saving_amount": row["saving"],
            "extra_amount": row["extra"],
        }
        for row in rows.order_by("kind", "currency")
    ]
