"""What the fleet of `month_plan.py` costs, hour by hour, summed by everything that costs are grouped by.

`python month.py quick` (or `full`) prints the figures, one line each; the rules are those of `rules.py` and of the
README's readings 35 to 43.
"""

import csv
import hashlib
import sys
from collections import defaultdict
from fractions import Fraction
from functools import cache

import rules
from month_plan import END, PROJECTS, RENAMED, plan, price_list
from rules import HOUR, MILLION, billed, cents, chains, floor_hour, known_at, money, month_name, running_intervals

HEAD = ["month", "dimension", "name", "billed_hours", "compute_cost", "storage_cost", "total_cost", "total_shown"]
DIMENSIONS = ("team", "project", "cost_center", "bundle_type", "region", "running_mode", "user")
MOST_USERS = 10


@cache
def accrued(fee, hour):
    return rules.micro(rules.accrued(fee, hour))


@cache
def rest_after(fee, hour):
    return rules.micro(rules.rest_after(fee, hour))


class Prices:
    def __init__(self):
        self.terms = defaultdict(list)
        for region, system, bundle, mode, since, until, *figures in price_list():
            self.terms[region, system, bundle, mode].append((since, until, tuple(Fraction(one) for one in figures)))

    @cache  # noqa: B019  there is one price list
    def at(self, region, system, bundle, mode, hour):
        """(monthly, hourly, per GB, included GB) in force at the hour."""
        for since, until, figures in self.terms[region, system, bundle, mode]:
            if (since is None or since <= hour) and (until is None or hour < until):
                return figures
        raise LookupError((region, system, bundle, mode, hour))


class Stay:
    """One machine from its first AVAILABLE: which hours it has, and what each of them is priced by."""

    def __init__(self, machine, prices):
        self.machine, self.prices = machine, prices
        available = [at for at, state in machine.history if state == "AVAILABLE"]
        ended = [at for at, state in machine.history if state == "TERMINATED"]
        self.begun = available[0] if available else None
        self.ended = ended[0] if ended else None

    def hours(self):
        """(hour, whether it is the last) of the stay until END."""
        if self.begun is None:
            return
        until = self.ended or END
        hour = floor_hour(self.begun)
        while hour < until:
            yield hour, self.ended is not None and hour + HOUR >= until
            hour += HOUR

    def kind(self, hour):
        """Bundle, mode and GB with which an hour begins; the hour of the launch has those of the launch."""
        found = self.machine.kinds[0]
        for kind in self.machine.kinds:
            if kind[0] <= hour:
                found = kind
        return found[1:]

    def owner(self, hour):
        """Team, project and cost center when the hour began."""
        _, team, project = next(one for one in reversed(self.machine.owners) if one[0] is None or one[0] <= hour)
        center = PROJECTS.get(project) or self.machine.tag
        if (project, center) == (RENAMED[0], PROJECTS[RENAMED[0]]) and hour >= renamed_at(self.machine.fleet):
            center = RENAMED[1]
        return team, project or "", center

    def modes(self, hour):
        """The mode that counts, and the one beside it whose fee is paid too (None = no such)."""
        month = hour.replace(day=1, hour=0)
        first = max(month, floor_hour(self.begun))
        _, mode, _ = self.kind(hour)
        if mode == "AUTO_STOP":
            at = first
            while at < hour:  # AlwaysOn that this month has been paid for
                if self.kind(at)[1] == "ALWAYS_ON":
                    return "ALWAYS_ON", "AUTO_STOP" if self.kind(first)[1] == "AUTO_STOP" else None
                at += HOUR
            return "AUTO_STOP", None
        return "ALWAYS_ON", "AUTO_STOP" if self.kind(first)[1] == "AUTO_STOP" else None

    def costs(self):
        """(hour, bundle, mode, billed hours, compute, storage), amounts in millionths."""
        started = billed(chains(known_at(running_intervals(self.machine.history), END)))
        place, is_changed = (self.machine.region, self.machine.system), len(self.machine.kinds) > 1
        for hour, is_last in self.hours():
            bundle, mode, gb = self.kind(hour)
            mode, beside = self.modes(hour) if is_changed else (mode, None)
            monthly, hourly, per_gb, included = self.prices.at(*place, bundle, mode, hour)
            fees = [monthly]
            if beside:
                fees.append(self.prices.at(*place, bundle, beside, hour)[0])
            storage_fee = per_gb * max(0, gb - included)
            hours = started.get(hour, 0) if mode == "AUTO_STOP" else 0
            compute = hours * rules.micro(hourly) + sum(accrued(fee, hour) for fee in fees)
            storage = accrued(storage_fee, hour)
            if is_last:
                compute += sum(rest_after(fee, hour) for fee in fees)
                storage += rest_after(storage_fee, hour)
            yield hour, bundle, mode, hours, compute, storage


@cache
def renamed_at(fleet):
    return next(wave.at for wave in fleet.waves if wave.renames)


def sums(fleet):
    """(month, dimension, name) → [billed hours, compute, storage]; days and the whole under a month of their own."""
    prices, found = Prices(), defaultdict(lambda: [0, 0, 0])
    for machine in fleet.machines:
        machine.fleet = fleet
        stay, own = Stay(machine, prices), defaultdict(lambda: [0, 0, 0])
        for hour, bundle, mode, *figures in stay.costs():
            key = (month_name(hour), hour.strftime("%Y-%m-%d"), *stay.owner(hour), bundle, machine.region, mode)
            own[key] = [total + figure for total, figure in zip(own[key], figures, strict=True)]
        for (month, day, *names), figures in own.items():
            places = [(month, *pair) for pair in zip(DIMENSIONS, [*names, machine.person], strict=True)]
            for place in [*places, (month, "total", ""), ("all", "total", ""), ("all", "day", day)]:
                found[place] = [total + figure for total, figure in zip(found[place], figures, strict=True)]
    return found


def line(place, hours, compute, storage):
    amounts = [Fraction(one, MILLION) for one in (compute, storage, compute + storage)]
    return [*place, hours, *(money(one) for one in amounts), cents(amounts[-1])]


def month_rows(size):
    """Every sum; of the users of a month the dearest, and a digest of all."""
    found = sums(plan(size))
    yield HEAD
    for place in sorted(found):
        if place[1] != "user":
            yield line(place, *found[place])
    for month in sorted({place[0] for place in found if place[1] == "user"}):
        users = {name: figures for (of, kind, name), figures in found.items() if (of, kind) == (month, "user")}
        dearest = sorted(users, key=lambda name: (-users[name][1] - users[name][2], name))
        for name in dearest[:MOST_USERS]:
            yield line((month, "user", name), *users[name])
        text = "".join(f"{name} {money(Fraction(sum(users[name][1:]), MILLION))}\n" for name in sorted(users))
        yield [month, "users", hashlib.sha256(text.encode()).hexdigest(), len(users), "", "", "", ""]


if __name__ == "__main__":
    csv.writer(sys.stdout, lineterminator="\n").writerows(month_rows(sys.argv[1]))
