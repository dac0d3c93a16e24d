"""One machine of the month: how AWS carries it by itself, and what Forge is told of it (README readings 35 to 39)."""

from datetime import timedelta

# Seconds that AWS takes; the test gives them to the simulator as its `durations`.
DELAYS = {
    "PENDING": 180,
    "STARTING": 75,
    "STOPPING": 75,
    "REBOOTING": 180,
    "MODIFYING": 180,
    "TERMINATING": 75,
    "TERMINATED": 30,
}
NEXT = {"PENDING": "AVAILABLE", "STARTING": "AVAILABLE", "REBOOTING": "AVAILABLE", "STOPPING": "STOPPED"}
SHOWN = {"REBOOTING": "AVAILABLE"}  # a health of a machine that is there

ROOT, USER = "root_volume_gb", "user_volume_gb"
VOLUMES = {"STANDARD": (80, 50), "PERFORMANCE": (80, 100), "POWER": (175, 100), "POWERPRO": (175, 100),
           "GRAPHICS_G4DN": (100, 100)}  # fmt: skip
SIZES = ("STANDARD", "PERFORMANCE", "POWER", "POWERPRO")


def after(at, verb):
    return at + timedelta(seconds=DELAYS[verb])


class Machine:
    """`state`, `until`, `connected` and `idle_since` are AWS's; `history`, `kinds` and `owners` are Forge's."""

    def __init__(self, number, person, facts):
        self.number, self.person = number, person
        self.region, self.system, self.tag = facts["region"], facts["operating_system"], facts["cost_center"]
        self.bundle, self.mode, self.idle_minutes = facts["bundle_type"], facts["running_mode"], facts["idle_minutes"]
        self.root, self.user = VOLUMES[self.bundle]
        self.owners = [(None, facts["team"], facts["project"])]
        self.kinds, self.history = [], []
        self.state, self.until, self.connected = "", None, False
        self.idle_since = self.mode_since = self.resized_at = self.grown_at = None

    # AWS

    def enter(self, state, at):
        self.state, self.until = state, after(at, state) if state in NEXT else None
        if state == "AVAILABLE":
            self.idle_since = at
        elif state != "STARTING":
            self.connected = False

    def carry(self, now):
        """Let everything happen that falls due until now."""
        while True:
            if self.until is not None and self.until <= now:
                self.enter(NEXT[self.state], self.until)
            elif (stops_at := self.stops_at()) is not None and stops_at <= now:
                self.enter("STOPPING", stops_at)
            else:
                return

    def stops_at(self):
        if self.state != "AVAILABLE" or self.mode != "AUTO_STOP" or self.connected:
            return None
        due = self.idle_since + timedelta(minutes=self.idle_minutes)
        return max(due, self.mode_since) if self.mode_since else due

    # Forge

    @property
    def known(self):
        return self.history[-1][1]

    @property
    def lives(self):
        return self.known not in ("TERMINATED", "FAILED")

    def rests_in(self, *states):
        """AWS and Forge agree that it is in one of these."""
        return self.state in states and self.known == self.state and self.until is None

    def told(self, state, at):
        if not self.history or self.known != state:
            self.history.append((at, state))

    def look(self, now):
        self.carry(now)
        if self.known not in ("PENDING", "TERMINATED", "FAILED"):
            self.told(SHOWN.get(self.state, self.state), now)

    def is_now(self, at):
        """What it is, as far as it costs, from this instant on."""
        self.kinds.append((at, self.bundle, self.mode, self.root + self.user))

    # What people do; `at` is when they ask

    def launch(self, at):
        self.told("PENDING", at)
        self.enter("PENDING", at)
        self.carry(after(at, "PENDING"))
        self.told("AVAILABLE", after(at, "PENDING"))
        self.is_now(after(at, "PENDING"))

    def call_off(self, at):
        self.told("PENDING", at)
        self.told("FAILED", at)

    def start(self, at, seen_at):
        """Forge sees at `seen_at` that it is there."""
        self.enter("STARTING", at)
        self.told("STARTING", at)
        self.carry(seen_at)
        self.told("AVAILABLE", seen_at)

    def stop(self, at):
        self.enter("STOPPING", at)
        self.told("STOPPING", at)
        self.carry(after(at, "STOPPING"))
        self.told("STOPPED", after(at, "STOPPING"))

    def terminate(self, at):
        self.state, self.until = "TERMINATED", None
        self.told("TERMINATING", at)
        self.told("TERMINATED", after(at, "TERMINATING"))

    def log_in(self, at):
        if self.state == "STOPPED":
            self.enter("STARTING", at)
        self.connected = True

    def log_off(self, at):
        self.connected, self.idle_since = False, at

    def resize(self, at, bundle):
        if self.state == "AVAILABLE":
            self.enter("REBOOTING", at)
        self.bundle, self.resized_at = bundle, at
        self.changed(at)

    def grow(self, at, volume, gb):
        setattr(self, {ROOT: "root", USER: "user"}[volume], gb)
        self.grown_at = at
        self.changed(at)

    def switch(self, at, mode):
        if mode == "AUTO_STOP":
            self.idle_since = at
        elif self.state == "STOPPED":
            self.enter("STARTING", at)
        self.mode, self.mode_since = mode, at
        self.changed(at)

    def changed(self, at):
        done = after(at, "MODIFYING")
        self.carry(done)
        self.told(SHOWN.get(self.state, self.state), done)
        self.is_now(done)

    def move(self, at, team, project):
        self.owners.append((at, team, project))
