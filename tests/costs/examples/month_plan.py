"""What happens in February 2028 to a fleet of so many people, and in the hours around: by a rule with a fixed seed.

`plan("quick")`, or "full", answers the machines, each with what Forge is told of it, and the waves in which it happens;
`python month_plan.py quick` prints what a test needs to let it happen as JSON.
"""

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from cases import PRICES
from month_cloud import DELAYS, ROOT, SIZES, USER, Machine, after

PEOPLE = {"quick": 36, "full": 1600}
"""The full fleet launches more than 2,000 machines."""
SEED = 20280201

BEGIN, END = datetime(2028, 1, 30, 4, tzinfo=UTC), datetime(2028, 3, 1, 14, 20, tzinfo=UTC)
FIRST, NEXT = datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)
REPRICED = datetime(2028, 2, 16, 7, tzinfo=UTC)

REGIONS, SYSTEMS, MODES = ("us-east-1", "eu-central-1"), ("LINUX", "WINDOWS"), ("AUTO_STOP", "ALWAYS_ON")
BUNDLES = (*SIZES, "GRAPHICS_G4DN")
TEAMS = ("airframe", "avionics", "firmware", "simulation", "tools")
PROJECTS = {"bolt": "cc-10", "crane": "cc-20", "drone": "cc-20", "engine": ""}
RENAMED = ("drone", "cc-21")
INCLUDED_GB = {"STANDARD": 130, "PERFORMANCE": 180, "POWER": 275, "POWERPRO": 275, "GRAPHICS_G4DN": 400}

DAYS = (3, 8, 14, 16, 18, 23, 25)
MOVING_DAYS, RENAMING_DAY = (8, 16, 23), 16
UNMETERED = (datetime(2028, 2, 9, tzinfo=UTC), datetime(2028, 2, 16, tzinfo=UTC))
"""A week without metering; moves and the turns of a month are metered in any case."""


def price_list():
    """(region, system, bundle, mode, since, until, monthly, hourly, per GB and month, included GB)."""
    rows = []
    for (bundle, mode), (monthly, hourly) in PRICES.items():
        if bundle not in BUNDLES:
            continue
        for region in REGIONS:
            for system in SYSTEMS:
                fee, rate = Decimal(monthly), Decimal(hourly)
                if system == "WINDOWS":
                    fee, rate = fee + 4, rate + Decimal("0.04") if rate else rate
                per_gb, included = Decimal("0.10"), INCLUDED_GB[bundle]
                if region == "eu-central-1":
                    fee, rate, per_gb = fee * Decimal("1.09"), rate * Decimal("1.09"), Decimal("0.11")
                    included -= 30 if bundle == "STANDARD" else 0
                terms = [(None, None, fee, rate)]
                if (region, bundle) == ("us-east-1", "PERFORMANCE"):
                    terms = [(None, REPRICED, fee, rate), (REPRICED, None, fee + Decimal("1.37"), rate * 2)]
                rows += [(region, system, bundle, mode, *term, per_gb, included) for term in terms]
    return rows


class Wave:
    """What happens at one instant, in this order: a look, metering, moves, what people ask; after `pause` what they
    do then."""

    def __init__(self, at, pause=0):
        self.at, self.pause = at, pause
        self.look = self.meter = self.budgets = False
        self.moves, self.renames, self.asks, self.then = [], [], [], []


class Fleet:
    def __init__(self, size):
        self.size = PEOPLE[size]
        self.chance = random.Random(SEED + self.size).random
        self.waves, self.machines, self.people = [], [], []
        self.changing = 0.05 if size == "full" else 0.12
        for number in range(self.size):
            self.people.append({"name": f"person-{number:04}", "team": self.one_of(TEAMS), "machine": None})

    def one_of(self, items):
        return items[int(self.chance() * len(items))]

    def happens(self, probability):
        return self.chance() < probability

    def minutes(self, least, most):
        return timedelta(seconds=int((least + self.chance() * (most - least)) * 60))

    # Waves

    def wave(self, at, pause=0, look=True):
        wave = Wave(at, pause)
        assert not self.waves or at > self.waves[-1].at + timedelta(seconds=self.waves[-1].pause)
        self.waves.append(wave)
        wave.budgets = self.happens(0.3)
        is_calm = UNMETERED[0] <= at < UNMETERED[1]
        wave.meter = self.happens(0.3) and not is_calm
        wave.look = look
        if look:
            for machine in self.machines:
                machine.look(at)
        return wave

    def live(self):
        return [machine for machine in self.machines if machine.lives]

    def ask(self, wave, verb, machine, *more):
        wave.asks.append([verb, machine.number, *more])

    def then(self, wave, verb, machine):
        wave.then.append([verb, machine.number])
        at = wave.at + timedelta(seconds=wave.pause)
        machine.carry(at)
        {"log_in": machine.log_in, "log_off": machine.log_off}[verb](at)

    def launches(self, at, people):
        wave = self.wave(at, DELAYS["PENDING"], look=False)
        for person in people:
            team = person["team"]
            project = self.one_of((None, *PROJECTS))
            facts = {
                "region": self.one_of(REGIONS),
                "operating_system": self.one_of(SYSTEMS),
                "bundle_type": self.one_of((*BUNDLES, "STANDARD", "STANDARD", "PERFORMANCE")),
                "running_mode": "ALWAYS_ON" if self.happens(0.3) else "AUTO_STOP",
                "idle_minutes": self.one_of((60, 60, 120)),
                "team": team,
                "project": project,
                "cost_center": self.one_of(("", "r-100", "r-200")),
            }
            machine = Machine(len(self.machines), person["name"], facts)
            self.machines.append(machine)
            if self.happens(0.04):
                machine.call_off(at)
                self.ask(wave, "call_off", machine, facts)
                continue
            machine.launch(at)
            self.ask(wave, "launch", machine, facts)
            person["machine"] = machine
            if machine.mode == "AUTO_STOP" and self.happens(0.6):
                self.then(wave, "log_in", machine)

    def morning(self, at):
        wave = self.wave(at, DELAYS["STARTING"])
        for machine in self.live():
            if machine.mode != "AUTO_STOP" or not machine.rests_in("STOPPED") or not self.happens(0.45):
                continue
            if self.happens(0.4):
                machine.start(at, after(at, "STARTING"))
                self.ask(wave, "start", machine)
                if self.happens(0.75):
                    self.then(wave, "log_in", machine)
            else:
                machine.log_in(at)
                self.ask(wave, "log_in", machine)

    def leave(self, wave, *, leaving, stopping, ending=0.0):
        for machine in self.live():
            if not machine.rests_in("AVAILABLE", "STOPPED"):
                continue
            if self.happens(ending):
                machine.terminate(wave.at)
                self.ask(wave, "terminate", machine)
            elif machine.mode == "AUTO_STOP" and machine.state == "AVAILABLE" and self.happens(stopping):
                machine.stop(wave.at)
                self.ask(wave, "stop", machine)
            elif machine.connected and self.happens(leaving):
                machine.log_off(wave.at)
                self.ask(wave, "log_off", machine)

    def changes(self, at):
        """A few machines are modified, each in one thing, as AWS allows it; and who has just stopped one comes back."""
        wave = self.wave(at, DELAYS["MODIFYING"])
        for machine in self.live():
            is_just_stopped = machine.rests_in("STOPPED") and at - machine.history[-1][0] < timedelta(minutes=30)
            if is_just_stopped and machine.mode == "AUTO_STOP" and self.happens(0.6):
                machine.start(at, after(at, "MODIFYING"))
                self.ask(wave, "start", machine)
                self.then(wave, "log_in", machine)
                continue
            if not machine.rests_in("AVAILABLE", "STOPPED") or not self.happens(self.changing):
                continue
            what = self.one_of(("resize", "switch", "grow"))
            if what == "switch":
                mode = MODES[machine.mode == "AUTO_STOP"]
                machine.switch(at, mode)
                self.ask(wave, "modify", machine, {"running_mode": mode})
            elif what == "resize" and machine.bundle in SIZES and self.may_resize(machine, at):
                bundle = self.one_of([size for size in SIZES if size != machine.bundle])
                machine.resize(at, bundle)
                self.ask(wave, "modify", machine, {"bundle_type": bundle})
            elif what == "grow" and machine.grown_at is None and machine.bundle in SIZES:
                grown = {(80, 50): (USER, 100), (175, 100): self.one_of(((ROOT, 300), (USER, 250)))}
                if (machine.root, machine.user) in grown:
                    volume, gb = grown[machine.root, machine.user]
                    machine.grow(at, volume, gb)
                    self.ask(wave, "modify", machine, {volume: gb})

    @staticmethod
    def may_resize(machine, at):
        """AWS waits six hours after the creation, and 30 days between two smaller ones; here each changes once."""
        return machine.resized_at is None and at - machine.history[0][0] > timedelta(hours=7)

    def move(self, wave, share):
        """Machines go over to another team, after what they cost so far was booked."""
        wave.meter = True
        for machine in self.live():
            if machine.rests_in("AVAILABLE", "STOPPED") and self.happens(share):
                team = self.one_of([team for team in TEAMS if team != machine.owners[-1][1]])
                project = self.one_of((None, *PROJECTS))
                machine.move(wave.at, team, project)
                wave.moves.append([machine.number, team, project])

    # Days

    def without_machine(self):
        return [one for one in self.people if one["machine"] is None or not one["machine"].lives]

    def day(self, midnight, *, is_night=False, joining=0.0, ending=0.0):
        """A day of work, or a night that goes over into the next day."""
        start = midnight + (timedelta(hours=17, minutes=20) if is_night else timedelta(hours=5, minutes=20))
        at = start + self.minutes(0, 20)
        self.launches(at, [one for one in self.without_machine() if self.happens(joining)])
        at += self.minutes(20, 40)
        self.morning(at)
        self.wave(at + self.minutes(3, 6))
        self.wave(at + timedelta(minutes=62) + self.minutes(0, 2))
        at += self.minutes(90, 120) if is_night else self.minutes(200, 260)
        noon = self.wave(at, DELAYS["STOPPING"])
        if midnight.month == 2 and midnight.day in MOVING_DAYS and not is_night:
            self.move(noon, 0.15)
        if midnight.month == 2 and midnight.day == RENAMING_DAY:
            noon.meter, noon.renames = True, [RENAMED]
        self.leave(noon, leaving=0.35, stopping=0.15)
        self.changes(at + timedelta(minutes=17))
        self.wave(at + self.minutes(60.3, 63))
        at += timedelta(minutes=80) if is_night else timedelta(hours=5) + self.minutes(0, 60)
        evening = self.wave(at, DELAYS["STOPPING"])
        self.leave(evening, leaving=0.97, stopping=0.1, ending=ending)
        self.wave(at + self.minutes(60.3, 63))
        self.wave(at + self.minutes(121.5, 124))

    def month(self):
        first = BEGIN + self.minutes(30, 50)
        half = self.size // 2
        self.launches(first, self.people[:half])
        self.launches(first + timedelta(hours=5) + self.minutes(0, 30), self.people[half : half + self.size // 5])
        evening = self.wave(first + timedelta(hours=11) + self.minutes(0, 50), DELAYS["STOPPING"])
        self.leave(evening, leaving=1, stopping=0.3)
        self.wave(evening.at + timedelta(minutes=62, seconds=11))
        self.wave(evening.at + timedelta(minutes=123, seconds=7))
        self.day(datetime(2028, 1, 31, tzinfo=UTC), is_night=True, joining=0.1, ending=0.04)
        self.waves[-1].meter = self.waves[-1].budgets = True
        for day in DAYS:
            self.day(datetime(2028, 2, day, tzinfo=UTC), joining=0.25, ending=0.05)
        self.day(datetime(2028, 2, 29, tzinfo=UTC), is_night=True, joining=0.9, ending=0.04)
        self.morning(datetime(2028, 3, 1, 6, 31, 12, tzinfo=UTC))
        last = self.wave(END)
        last.budgets = last.meter = True
        return self


def plan(size):
    fleet = Fleet(size).month()
    verbs = {step[0] for wave in fleet.waves for step in (*wave.asks, *wave.then)}
    returned = sum(
        step[0] == "start" for wave in fleet.waves if wave.pause == DELAYS["MODIFYING"] for step in wave.asks
    )
    assert returned >= 3, returned
    assert verbs == {"launch", "call_off", "start", "stop", "terminate", "log_in", "log_off", "modify"}, verbs
    changes = [step[2] for wave in fleet.waves for step in wave.asks if step[0] == "modify"]
    assert {name for change in changes for name in change} >= {"bundle_type", "running_mode", USER}, changes
    assert {change.get("running_mode") for change in changes} >= set(MODES), changes
    return fleet


def shown(value):
    return value.isoformat() if isinstance(value, datetime) else str(value)


def main(size):
    fleet = plan(size)
    json.dump(
        {
            "begin": BEGIN,
            "end": END,
            "first": FIRST,
            "next": NEXT,
            "delays": DELAYS,
            "regions": REGIONS,
            "systems": SYSTEMS,
            "bundles": BUNDLES,
            "teams": TEAMS,
            "projects": PROJECTS,
            "prices": price_list(),
            "people": [[one["name"], one["team"]] for one in fleet.people],
            "owners": {machine.number: machine.person for machine in fleet.machines},
            "waves": [vars(wave) for wave in fleet.waves],
        },
        sys.stdout,
        default=shown,
    )


if __name__ == "__main__":
    main(sys.argv[1])
