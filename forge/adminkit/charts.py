"""Sums by day as stacked bars, drawn by the Chart.js that comes with Unfold, with the same figures as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f")
"""Okabe and Ito's, which people tell apart who do not see all colours; the last is for what is left."""

MOST = len(_COLORS) - 1
"""Series of their own; the smaller ones are summed up as others."""

OTHERS = "others"
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Chart:
    """`series` are (name, a figure for each of `days`), the largest first; `label` says what is drawn."""

    label: str
    unit: str
    days: Sequence[date]
    series: Sequence[tuple[str, Sequence[Decimal]]]

    @property
    def is_empty(self) -> bool:
        return not any(any(figures) for _, figures in self.series)

    @property
    def total(self) -> Decimal:
        return sum((sum(figures, _NOTHING) for _, figures in self.series), _NOTHING)

    @property
    def rows(self) -> list[tuple[date, list[Decimal], Decimal]]:
        """Day, its figures and their sum, the newest first; days without any are left out."""
        table = [(day, [figures[at] for _, figures in self.series]) for at, day in enumerate(self.days)]
        return [(day, figures, sum(figures, _NOTHING)) for day, figures in reversed(table) if any(figures)]

    @property
    def data(self) -> str:
        """For Chart.js."""
        datasets = [
            {
                "label": name,
                "data": [float(round(figure, 2)) for figure in figures],
                "backgroundColor": _COLORS[min(at, MOST)],
            }
            for at, (name, figures) in enumerate(self.series)
        ]
        return json.dumps({"labels": [f"{day:%b %-d}" for day in self.days], "datasets": datasets})

    @property
    def options(self) -> str:
        axis: dict[str, Any] = {"stacked": True, "grid": {"display": False}}
        return json.dumps(
            {
                "animation": False,
                "responsive": True,
                "maintainAspectRatio": False,
                "interaction": {"mode": "index", "intersect": False},
                "plugins": {"legend": {"display": len(self.series) > 1, "position": "bottom"}},
                "scales": {
                    "x": axis | {"ticks": {"maxRotation": 0, "autoSkipPadding": 16}},
                    "y": {"stacked": True, "title": {"display": True, "text": self.unit}, "grid": {"tickWidth": 0}},
                },
            }
        )


def by_day(
    label: str, unit: str, sums: Mapping[str, Mapping[date, Decimal]], *, first: date, days: int, most: int = MOST
) -> Chart:
    """A chart of `days` days from `first` of each name's sums by day; beyond `most` names the smallest are others."""
    shown = [first + timedelta(days=n) for n in range(days)]
    series = [(name, [of.get(day, _NOTHING) for day in shown]) for name, of in sums.items()]
    series.sort(key=lambda one: (-sum(one[1]), one[0]))
    if len(series) > most:
        rest = [sum(column, _NOTHING) for column in zip(*(figures for _, figures in series[most:]), strict=True)]
        series = [*series[:most], (OTHERS, rest)]
    return Chart(label, unit, shown, series)
