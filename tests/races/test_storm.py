"""2,000 launches in a storm: what AWS loses, refuses and hides, and workers that die, cost no machine, double none.

AWS is the simulator in a process of its own. Of all its calls, looks and changes alike, 20 % are carried out and never
answered (some hang until the client gives up), 20 % are throttled; 10 % of the items of a batch fail, 10 % of new
machines show late, for 2 % there is no room, and 3 % cannot join their domain, which has them ended and made anew.
Workers are forked processes that carry out operations as Celery's do; they are killed at random and replaced.

What is set for the test, all by settings that operators have: time-outs of a second instead of 5 and 30, a lease of 8
seconds instead of 60, and by the simulator's options machines that take 2 seconds to come up. The token bucket has the
product's own rate and burst. The quick form has one account, which two organizations share, everybody in its directory
and no trouble with the domain, and the weather clears up before the last three launches have ended: they would take the
time of all others.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import pytest
from django.utils import timezone

from budgets.guards import BudgetExceeded
from forge.accounts.models import User
from forge.operations.models import Operation
from tests.races.storm import judge, tenants
from tests.races.storm.processes import Workers, simulator
from tests.races.storm.tenants import Crew
from tests.world import IMAGE, actor
from workspaces import services
from workspaces.intents import LaunchSpec
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile
from workspaces.simulator import catalog
from workspaces.simulator.client import Control

RATE, BURST = 5.0, 10
FAULTS = (
    {"kind": "timeout_after", "rate": 0.16},
    {"kind": "timeout_after", "rate": 0.05, "seconds": 2.0},  # of both together, 20.2 %
    {"kind": "throttling", "rate": 0.20},
    {"kind": "late_visibility", "rate": 0.10, "seconds": 5.0},
    {"kind": "capacity", "operation": "CreateWorkspaces", "rate": 0.02},
    {"kind": "partial_failure", "rate": 0.10},  # of what there is room for
    {"kind": "domain_join_failure", "rate": 0.03},
)
SETTINGS = {
    "FORGE_AWS_CONNECT_TIMEOUT": 1.0,
    "FORGE_AWS_READ_TIMEOUT": 1.0,
    "FORGE_OPERATION_LEASE_SECONDS": 8,
    "FORGE_AWS_CALLS_PER_SECOND": RATE,
    "FORGE_AWS_CALL_BURST": BURST,
}
Wish = tuple[User, LaunchSpec]


class Wishes:
    """Who asks for what, in the order of asking: `all`, and among them so many of each that get no machine.

    The `poor` have a budget that admits nothing, the `absent` are not in the directory, and the `taken` have a machine
    there that was made past Forge.
    """

    def __init__(
        self,
        crews: Sequence[Crew],
        count: int,
        chance: random.Random,
        *,
        poor: int,
        taken: int,
        absent: int,
        now: datetime,
    ) -> None:
        self._crew = crews[-1]
        self.poor = [self._crew.hire() for _ in range(poor)]
        self.taken = [self._crew.hire() for _ in range(taken)]
        self.absent = [self._crew.hire(directory_username=f"nobody-{number}") for number in range(absent)]
        for user in self.poor:
            tenants.take_all_money(user, now)
        helped = (crews[number % len(crews)] for number in range(count - poor - taken - absent))
        self.all = [(user, self._crew.spec()) for user in (*self.poor, *self.absent, *self.taken)]
        self.all += [(crew.hire(), crew.any_spec(chance)) for crew in helped]
        chance.shuffle(self.all)

    def take_beforehand(self, control: Control) -> set[str]:
        """Make the machines of the `taken` in AWS; their ids."""
        account = self._crew.accounts[0]
        bundle_id = catalog.bundle_id(account.region, IMAGE, "STANDARD")
        item = {"DirectoryId": account.directory_id, "BundleId": bundle_id}
        return {
            control.appear(
                account=account.account,
                region=account.region,
                workspace=item | {"UserName": user.directory_username},
            )["workspace_id"]
            for user in self.taken
        }


@pytest.mark.soak
@pytest.mark.timeout(2400)
@pytest.mark.django_db(transaction=True)
def test_every_launch_of_a_storm_ends_with_one_machine_or_a_reason(scale, settings, tmp_path):
    count, in_the_storm, workers_count = scale(2_000, 12), scale(2_000, 9), scale(10, 4)
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(2**32))
    tell(f"STORM_SEED={seed}")
    chance = random.Random(seed)
    now = timezone.now()
    wide, narrow = {"organizations": 4, "accounts": 4, "regions": 2}, {"organizations": 2, "accounts": 1, "regions": 1}
    crews = tenants.build(**wide if count >= 100 else narrow, now=now)
    wishes = Wishes(crews, count, chance, poor=scale(20, 1), taken=scale(20, 1), absent=scale(20, 0), now=now)
    with simulator(PENDING=2.0, TERMINATING=1.0, TERMINATED=60.0) as url:
        control = Control(url, timeout_seconds=60)
        strangers = wishes.take_beforehand(control)
        for number, fault in enumerate(FAULTS[: scale(len(FAULTS), len(FAULTS) - 1)]):
            control.fault(**fault, seed=seed + number)
        for name, value in SETTINGS.items():
            setattr(settings, name, value)
        settings.AWS_ENDPOINT_URL = url
        environment = {name: str(value) for name, value in SETTINGS.items()} | {"AWS_ENDPOINT_URL": url}
        with Workers(workers_count, environment, tmp_path) as workers:
            answers = weather(workers, wishes.all, chance, stragglers=count - in_the_storm)
            struck = control.faults()
            control.withdraw_faults()
            wait_for_the_rest()
            seconds = time.monotonic() - workers.began
        outcomes = judge.launches_have_a_machine_or_a_reason()
        tell(f"{count} asked for in {seconds:.0f} s: {dict(answers)}, then {dict(outcomes)}")
        tell(f"{workers.killed} workers killed; " + ", ".join(f"{one['kind']} {one['struck']}" for one in struck))
        judge.machines_in_aws_are_ours_once(control, strangers)
        judge.money_agrees()
        judge.one_look_found_no_orphan(reconcile(now=timezone.now()), strangers)
        judge.machines_in_aws_are_ours_once(control, strangers)
        callers = workers_count + 1  # a killed worker may leave a call on its way to its successor's
        tell(judge.the_rate_was_kept(control, began=workers.began, rate=RATE, burst=BURST, workers=callers))
    judge.the_log_is_whole()
    assert answers == {"admitted": count - len(wishes.poor), "budget_exceeded": len(wishes.poor)}
    hopeless = WorkSpace.objects.filter(owner__in=[*wishes.taken, *wishes.absent])
    assert Counter(hopeless.values_list("state", flat=True)) == {"FAILED": len(wishes.taken) + len(wishes.absent)}
    helped = answers["admitted"] - len(wishes.taken) - len(wishes.absent)
    without_room = sum(one["struck"] for one in struck if one["kind"] == "capacity")
    assert outcomes["launched"] >= min(count * 3 // 4, helped - without_room)
    assert workers.killed >= scale(20, 1)
    assert all(one["struck"] for one in struck if one["rate"] >= 0.16)


def weather(workers: Workers, wishes: Iterable[Wish], chance: random.Random, *, stragglers: int) -> Counter[str]:
    """Ask for all that is wished and kill workers now and then, until only so many stragglers are open."""
    answers: Counter[str] = Counter()
    kill_at = time.monotonic() + chance.uniform(2, 4)
    for user, spec in wishes:
        try:
            services.launch(actor=actor(user), spec=spec, now=timezone.now())
            answers["admitted"] += 1
        except BudgetExceeded as refusal:
            answers[refusal.code] += 1
        kill_at = kill_when_due(workers, chance, kill_at)
    while Operation.objects.open().count() > stragglers:
        kill_at = kill_when_due(workers, chance, kill_at)
        time.sleep(0.1)
    return answers


def kill_when_due(workers: Workers, chance: random.Random, kill_at: float) -> float:
    """When the next one is to be killed, after perhaps killing one now."""
    if time.monotonic() < kill_at:
        return kill_at
    workers.kill_one(chance)
    return time.monotonic() + chance.uniform(1, 5)


def wait_for_the_rest() -> None:
    while Operation.objects.open().exists():
        time.sleep(0.1)


def tell(line: str) -> None:
    """Into the output of the test, which pytest shows with -s or when it fails."""
    sys.stdout.write(f"{line}\n")
