"""The rules of money, each as a plain loop over hours with exact fractions; README.md numbers the readings."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from cases import PRICES

HOUR = timedelta(hours=1)
MILLION = 1_000_000


# Instants and figures as text


def instant(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def floor_hour(at):
    return at.replace(minute=0, second=0, microsecond=0)


def hour_name(hour):
    return hour.strftime("%Y-%m-%dT%H:%MZ")


def month_name(hour):
    return hour.strftime("%Y-%m")


def micro(amount):
    """Round an exact amount half up to a whole number of millionths."""
    scaled = Fraction(amount) * MILLION
    whole = scaled.numerator // scaled.denominator
    return whole + 1 if scaled - whole >= Fraction(1, 2) else whole


def money(amount):
    millionths = micro(amount)
    return f"{millionths // MILLION}.{millionths % MILLION:06d}"


def cents(amount):
    scaled = Fraction(amount) * 100
    whole = scaled.numerator // scaled.denominator
    if scaled - whole >= Fraction(1, 2):
        whole += 1
    return f"{whole // 100}.{whole % 100:02d}"


def listed(figures):
    """`hour=figure|…`; three or more neighbouring hours with one figure become `first..last=figure`."""
    runs = []
    for hour in sorted(figures):
        if runs and runs[-1][2] == figures[hour] and runs[-1][1] + HOUR == hour:
            runs[-1][1] = hour
        else:
            runs.append([hour, hour, figures[hour]])
    parts = []
    for first, last, figure in runs:
        if last - first >= 2 * HOUR:
            parts.append(f"{hour_name(first)}..{hour_name(last)}={figure}")
        else:
            parts.append(f"{hour_name(first)}={figure}")
            if last != first:
                parts.append(f"{hour_name(last)}={figure}")
    return "|".join(parts)


# Hours (readings 1 to 6)


def known_at(intervals, now):
    """Cut what lies after now, drop what is empty, and close what still runs."""
    seen = []
    for start, end in intervals:
        end = now if end is None or end > now else end
        if start < end:
            seen.append((start, end))
    return sorted(seen)


def begun_hours(start, end):
    """The instants at which session hours of one interval begin."""
    begun, at = [], start
    while at < end:
        begun.append(at)
        at += HOUR
    return begun


def chains(intervals):
    """Join an interval to the one before when it starts inside that one's started hour."""
    joined = []
    for start, end in intervals:
        if joined:
            first, last = joined[-1]
            if start < begun_hours(first, last)[-1] + HOUR:
                joined[-1] = (first, end)
                continue
        joined.append((start, end))
    return joined


def billed(intervals):
    hours = {}
    for start, end in intervals:
        for at in begun_hours(start, end):
            hours[floor_hour(at)] = hours.get(floor_hour(at), 0) + 1
    return hours


# Fees (readings 9 to 14)


def month_bounds(at):
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first
    while after.month == first.month:
        after += timedelta(days=1)
    return first, after


def accrued(fee, hour):
    """What one hour accrues: round(fee n / N) - round(fee (n - 1) / N)."""
    first, after = month_bounds(hour)
    total = (after - first) // HOUR
    n = (hour - first) // HOUR + 1
    return Fraction(micro(fee * n / total) - micro(fee * (n - 1) / total), MILLION)


def rest_after(fee, hour):
    """What the rest of the month accrues after this hour, hour by hour."""
    rest, after = Fraction(0), month_bounds(hour)[1]
    hour += HOUR
    while hour < after:
        rest += accrued(fee, hour)
        hour += HOUR
    return rest


def fee_hours(fee, available, terminated, now):
    """The fee booked in each UTC hour of a stay."""
    booked = {}
    ended = terminated is not None and terminated <= now
    until = terminated if ended else now
    if available is None or available >= until:
        return booked
    hour = floor_hour(available)
    while hour < until:
        booked[hour] = accrued(fee, hour)
        last = hour
        hour += HOUR
    if ended:
        booked[last] += rest_after(fee, last)
    return booked


def by_month(figures):
    months = {}
    for hour, figure in sorted(figures.items()):
        months[month_name(hour)] = months.get(month_name(hour), Fraction(0)) + figure
    return months


def month_list(months, shown):
    return "|".join(f"{month}={shown(amount)}" for month, amount in sorted(months.items()))


# Whole machines (readings 1, 8, 9, 16 to 18)

RUNNING = ("STARTING", "AVAILABLE")


def read_history(history):
    changes = []
    for change in history.split("|"):
        at, state = change.split(" ")
        changes.append((instant(at), state))
    return changes


def running_intervals(changes):
    intervals, since, was_available = [], None, False
    for at, state in changes:
        was_available = was_available or state == "AVAILABLE"
        runs = state in RUNNING and was_available
        if runs and since is None:
            since = at
        if not runs and since is not None:
            intervals.append((since, at))
            since = None
    if since is not None:
        intervals.append((since, None))
    return intervals


def first_of(changes, wanted):
    for at, state in changes:
        if state == wanted:
            return at
    return None


def machine(bundle, mode, history, now):
    fee, hourly = PRICES[bundle, mode]
    fee, hourly = Fraction(fee), Fraction(hourly)
    changes = [(at, state) for at, state in read_history(history) if at <= now]
    fees = fee_hours(fee, first_of(changes, "AVAILABLE"), first_of(changes, "TERMINATED"), now)
    started = billed(chains(known_at(running_intervals(changes), now)))
    hours = started if mode == "AUTO_STOP" else {}
    costs = {hour: fees[hour] + hourly * hours.get(hour, 0) for hour in fees}
    assert all(hour in costs for hour in hours)
    return costs, sum(started.values()), sum(hours.values())


def corrected(mode, history, now, prices):
    """A STANDARD machine whose price is another one since each instant of `prices`: (since, monthly, hourly).

    Each hour has its own price's part of the fee and session hours; the rest of the month is that of the last hour's.
    """

    def at(hour):
        fee, hourly = (Fraction(text) for text in PRICES["STANDARD", mode])
        for since, monthly, per_hour in sorted(prices, key=lambda price: price[0]):
            if since <= hour:
                fee, hourly = monthly, per_hour
        return fee, hourly

    changes = [(when, state) for when, state in read_history(history) if when <= now]
    ended = first_of(changes, "TERMINATED")
    stay = fee_hours(Fraction(0), first_of(changes, "AVAILABLE"), ended, now)
    started = billed(chains(known_at(running_intervals(changes), now))) if mode == "AUTO_STOP" else {}
    costs = {hour: accrued(at(hour)[0], hour) + at(hour)[1] * started.get(hour, 0) for hour in stay}
    if ended is not None:
        costs[max(stay)] += rest_after(at(max(stay))[0], max(stay))
    return costs, sum(started.values())


def storage_hours(fee, history, now):
    """The fee of the storage beyond what is included, booked in each UTC hour of the stay like the machine's."""
    changes = [(at, state) for at, state in read_history(history) if at <= now]
    return fee_hours(fee, first_of(changes, "AVAILABLE"), first_of(changes, "TERMINATED"), now)


# Reservations (readings 19 to 25)


def reservation(bundle, mode, now, period_end, lifetime_end):
    fee, hourly = PRICES[bundle, mode]
    fee, hourly = Fraction(fee), Fraction(hourly)
    bound = min(period_end, lifetime_end)
    fees, hour = Fraction(0), floor_hour(now)
    while hour < bound:
        fees += accrued(fee, hour)
        last = hour
        hour += HOUR
    rest = rest_after(fee, last) if lifetime_end < period_end else Fraction(0)
    left, at = 0, now
    while at < bound:
        left += 1
        at += HOUR
    reserved = min(40, left)
    return bound, fees, left, reserved, hourly, fees + hourly * reserved, rest


def top_up(bundle, mode, now, bound, amount, spent, reserved, remaining):
    fee, hourly = PRICES[bundle, mode]
    fee, hourly = Fraction(fee), Fraction(hourly)
    hour = floor_hour(now) if now == floor_hour(now) else floor_hour(now) + HOUR
    fees = Fraction(0)
    while hour < bound:
        fees += accrued(fee, hour)
        hour += HOUR
    left, at = 0, now
    while at < bound:
        left += 1
        at += HOUR
    threshold, target = fees + hourly * min(8, left), fees + hourly * min(40, left)
    added = Fraction(0)
    if remaining >= threshold:
        outcome = "enough"
    elif spent + reserved + target - remaining <= amount:
        outcome, added = "topped_up", target - remaining
    else:
        outcome = "on_limit"
    return fees, left, threshold, target, outcome, added


# The ledger (readings 26 to 31)


def amounts(text):
    return {part.split("=")[0]: Fraction(part.split("=")[1]) for part in text.split("|")} if text else {}


class Ledger:
    """Budgets as plain numbers; each step is one sentence of the design."""

    def __init__(self):
        self.amount, self.spent, self.reserved, self.remaining, self.marks = {}, {}, {}, {}, {}

    def step(self, operation, name, given):
        return getattr(self, operation)(name, given)

    def open(self, _name, given):
        for budget, amount in given.items():
            self.amount[budget], self.spent[budget], self.reserved[budget] = amount, Fraction(0), Fraction(0)
            self.marks[budget] = set()

    def fits(self, given):
        return all(self.spent[b] + self.reserved[b] + more <= self.amount[b] for b, more in given.items())

    def hold(self, name, given):
        for budget, more in given.items():
            self.reserved[budget] += more
            self.remaining[name, budget] = self.remaining.get((name, budget), Fraction(0)) + more

    def reserve(self, name, given):
        if not self.fits(given):
            return "no"
        self.hold(name, given)
        return "yes"

    def topup(self, name, given):
        return self.reserve(name, given)

    def settle(self, name, given):
        for budget, cost in given.items():
            take = min(cost, self.remaining.get((name, budget), Fraction(0)))
            if take:
                self.remaining[name, budget] -= take
                self.reserved[budget] -= take
            self.spent[budget] += cost

    def release(self, name, _given):
        for held, budget in list(self.remaining):
            if held == name:
                self.reserved[budget] -= self.remaining[name, budget]
                self.remaining[name, budget] = Fraction(0)

    def spend(self, _name, given):
        """What the records of the scope already sum to when a budget is adopted."""
        for budget, sum_of_records in given.items():
            self.spent[budget] = sum_of_records

    def adopt(self, name, given):
        self.hold(name, given)

    def end(self, name, given):
        for budget in given:
            self.reserved[budget] -= self.remaining[name, budget]
            self.remaining[name, budget] = Fraction(0)

    def after(self):
        parts = []
        for budget in sorted(self.amount):
            assert self.spent[budget] >= 0
            assert self.reserved[budget] >= 0
            assert self.reserved[budget] == sum(rest for key, rest in self.remaining.items() if key[1] == budget)
            parts.append(f"{budget}={money(self.spent[budget])}/{money(self.reserved[budget])}")
        return "|".join(parts)

    def fired(self):
        parts = []
        for budget in sorted(self.amount):
            for mark, fraction in (("warning", Fraction(4, 5)), ("limit", Fraction(1))):
                if mark not in self.marks[budget] and self.spent[budget] >= fraction * self.amount[budget]:
                    self.marks[budget].add(mark)
                    parts.append(f"{budget}:{mark}")
        return "|".join(parts)
