"""Compute the worked examples of money in this folder, naively and exactly.

Written from the design's text and README.md alone; nothing here imports the product. `cases.py`, `machines.py` and
`sequences.py` say what happened, `rules.py` what follows from it; `month_plan.py` and `month.py` do so for the month
of a fleet. `python compute.py` writes the CSV files, `python compute.py --check` compares them with what is committed;
names of files after that choose some.
"""

import csv
import io
import sys
from datetime import timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path

import cases
import corrections
import machines
import month
import sequences
import volumes
from rules import (
    HOUR,
    MILLION,
    Ledger,
    amounts,
    billed,
    by_month,
    cents,
    chains,
    corrected,
    fee_hours,
    hour_name,
    instant,
    known_at,
    listed,
    machine,
    money,
    month_list,
    reservation,
    storage_hours,
    top_up,
)

MICROSECOND = timedelta(microseconds=1)


def hours_file():
    yield [
        "case",
        "intervals",
        "now",
        "hours",
        "total_hours",
        "ceiling_hours",
        "hours_if_no_tail",
        "running_seconds",
        "source",
    ]
    for case, text, now_text, source in cases.HOURS:
        now = instant(now_text)
        intervals = []
        for part in text.split("|") if text else []:
            start, end = part.split(";")
            intervals.append((instant(start), instant(end) if end else None))
        seen = known_at(intervals, now)
        hours, alone = billed(chains(seen)), billed(seen)
        microseconds = sum((end - start) // MICROSECOND for start, end in seen)
        ceiling = sum(-(-(end - start) // HOUR) for start, end in seen)
        assert ceiling == sum(alone.values())
        assert sum(hours.values()) <= ceiling
        assert max(hours.values(), default=0) <= 1
        seconds = money(Fraction(microseconds, MILLION))
        total = sum(hours.values())
        yield [case, text, now_text, listed(hours), total, ceiling, listed(alone), seconds, source]


def fees_file():
    yield ["case", "fee", "first_available", "terminated", "now", "selected", "months", "total", "hours", "source"]
    for case, fee, available, terminated, now, selected, source in cases.FEES:
        begin, end = (instant(text) if text else None for text in (available, terminated))
        booked = fee_hours(Fraction(fee), begin, end, instant(now))
        chosen = [instant(text) for text in selected.split("|")] if selected else []
        shown = "|".join(f"{hour_name(hour)}={money(booked.get(hour, 0))}" for hour in chosen)
        months = month_list(by_month(booked), money)
        total = money(sum(booked.values()))
        yield [case, money(Fraction(fee)), available, terminated, now, shown, months, total, len(booked), source]


def machines_file():
    yield [
        "case",
        "bundle_type",
        "running_mode",
        "history",
        "now",
        "records",
        "started_hours",
        "billed_hours",
        "compute_cost",
        "storage_cost",
        "total_cost",
        "total_shown",
        "months",
        "months_shown",
        "source",
    ]
    for case, bundle, mode, history, now, source in machines.MACHINES:
        costs, started, hours = machine(bundle, mode, history, instant(now))
        total, months = sum(costs.values()), by_month(costs)
        yield [
            *(case, bundle, mode, history, now, len(costs), started, hours, money(total), money(0)),
            *(money(total), cents(total), month_list(months, money), month_list(months, cents), source),
        ]


def storage_file():
    yield [
        *("case", "bundle_type", "running_mode", "storage_gb", "included_gb", "per_gb_month", "history", "now"),
        *("compute_cost", "storage_cost", "total_cost", "months", "source"),
    ]
    for case, bundle, mode, gb, included, per_gb, history, now, source in volumes.VOLUMES:
        compute, _, _ = machine(bundle, mode, history, instant(now))
        storage = storage_hours(Fraction(per_gb) * max(0, gb - included), history, instant(now))
        costs = {hour: compute[hour] + storage[hour] for hour in compute}
        sums = [money(sum(figures.values())) for figures in (compute, storage, costs)]
        yield [
            case,
            bundle,
            mode,
            gb,
            included,
            per_gb,
            history,
            now,
            *sums,
            month_list(by_month(costs), money),
            source,
        ]


def reservations_file():
    yield [
        "case",
        "bundle_type",
        "running_mode",
        "now",
        "period_end",
        "lifetime_end",
        "bound",
        "fees",
        "hours_left",
        "hours_reserved",
        "hourly",
        "amount",
        "rest_not_reserved",
        "source",
    ]
    for case, bundle, mode, now, period_end, lifetime_end, source in machines.RESERVATIONS:
        figures = reservation(bundle, mode, instant(now), instant(period_end), instant(lifetime_end))
        bound, fees, left, reserved, hourly, amount, rest = figures
        bound_text = period_end if bound == instant(period_end) else lifetime_end
        yield [
            *(case, bundle, mode, now, period_end, lifetime_end, bound_text, money(fees), left, reserved),
            *(money(hourly), money(amount), money(rest), source),
        ]


def settlements_file():
    yield [
        "case",
        "amount",
        "spent",
        "reserved",
        "remaining",
        "cost",
        "take",
        "remaining_after",
        "reserved_after",
        "spent_after",
        "overrun",
        "source",
    ]
    for case, amount, spent, reserved, remaining, cost, source in sequences.SETTLEMENTS:
        given = [Fraction(text) for text in (amount, spent, reserved, remaining, cost)]
        amount, spent, reserved, remaining, cost = given
        take = min(cost, remaining)
        after = [take, remaining - take, reserved - take, spent + cost, max(Fraction(0), spent + cost - amount)]
        yield [case, *(money(figure) for figure in given + after), source]


def topups_file():
    yield [
        "case",
        "bundle_type",
        "running_mode",
        "now",
        "bound",
        "amount",
        "spent",
        "reserved",
        "remaining",
        "fees_to_come",
        "hours_left",
        "threshold",
        "target",
        "outcome",
        "added",
        "remaining_after",
        "reserved_after",
        "source",
    ]
    for case, bundle, mode, now, bound, amount, spent, reserved, remaining, source in sequences.TOPUPS:
        given = [Fraction(text) for text in (amount, spent, reserved, remaining)]
        fees, left, threshold, target, outcome, added = top_up(bundle, mode, instant(now), instant(bound), *given)
        yield [
            *(case, bundle, mode, now, bound, *(money(figure) for figure in given), money(fees), left),
            *(money(threshold), money(target), outcome, money(added), money(given[3] + added)),
            *(money(given[2] + added), source),
        ]


def corrections_file():
    yield ["case", "running_mode", "history", "prices", "now", "billed_hours", "total_cost", "months", "source"]
    for case, mode, history, text, now, source in corrections.CORRECTIONS:
        prices = []
        for part in text.split("|"):
            since, figures = part.split("=")
            prices.append((instant(since), *(Fraction(figure) for figure in figures.split("/"))))
        costs, hours = corrected(mode, history, instant(now), prices)
        total, months = money(sum(costs.values())), month_list(by_month(costs), money)
        yield [case, mode, history, text, now, hours, total, months, source]


def ledger_file():
    yield ["case", "step", "operation", "reservation", "figures", "admitted", "after", "marks_fired", "source"]
    for case, steps, source in sequences.LEDGER:
        ledger = Ledger()
        for number, (operation, name, figures) in enumerate(steps, start=1):
            admitted = ledger.step(operation, name, amounts(figures)) or ""
            shown = "|".join(f"{budget}={money(figure)}" for budget, figure in amounts(figures).items())
            yield [case, number, operation, name, shown, admitted, ledger.after(), ledger.fired(), source]


FILES = {
    "hours.csv": hours_file,
    "fees.csv": fees_file,
    "machines.csv": machines_file,
    "storage.csv": storage_file,
    "corrections.csv": corrections_file,
    "reservations.csv": reservations_file,
    "settlements.csv": settlements_file,
    "topups.csv": topups_file,
    "ledger.csv": ledger_file,
    "month_quick.csv": partial(month.month_rows, "quick"),
    "month_full.csv": partial(month.month_rows, "full"),
}


def main(arguments):
    here, differs = Path(__file__).parent, False
    chosen = [name for name in arguments if name != "--check"] or list(FILES)
    for name in chosen:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(FILES[name]())
        path = here / name
        if "--check" not in arguments:
            path.write_text(text.getvalue())
            continue
        committed = path.read_text().splitlines() if path.exists() else []
        for number, line in enumerate(text.getvalue().splitlines(), start=1):
            if number > len(committed) or committed[number - 1] != line:
                sys.stdout.write(f"{name} line {number} differs; expected {line}\n")
                differs = True
                break
        else:
            if len(committed) > number:
                sys.stdout.write(f"{name} has {len(committed) - number} lines too many\n")
                differs = True
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
