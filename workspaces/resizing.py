"""What of a machine can be changed while it exists, and AWS's own limits on that.

The limits are those of the WorkSpaces administration guide, "Modify a WorkSpace in WorkSpaces Personal": a larger
compute type once in six hours (and not in the first six), a smaller one once every thirty days (a new machine does not
wait for it), no conversion to or from graphics, volumes that only grow, once in six hours, in the pairs of sizes that
AWS sells. They are checked before AWS is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from blueprints.models import BundleType
from forge.api.errors import NothingToChange, Refused

LARGER_EVERY = timedelta(hours=6)
SMALLER_EVERY = timedelta(days=30)
VOLUMES_EVERY = timedelta(hours=6)

CONVERTIBLE = (BundleType.STANDARD, BundleType.PERFORMANCE, BundleType.POWER, BundleType.POWERPRO)
"""Compute types that can be changed into each other, from the smallest to the largest."""

COMPUTE, ROOT, USER = ("bundle_type",), ("root_volume_gb",), ("user_volume_gb",)
MODE = ("running_mode", "auto_stop_timeout_minutes")
ALONE = (COMPUTE, ROOT, USER, MODE)
"""What AWS changes in one go: each of these by itself, the running mode together with its time."""

SMALL_PAIRS = ((80, 10), (80, 50), (80, 100))
ROOT_RANGE, USER_RANGE = (175, 2000), (100, 2000)


class OneChangeAtATime(Refused):
    code = "one_change_at_a_time"
    title = "AWS changes one thing of a machine at a time"
    suggested_action = "Ask for one of the groups named in `groups`, and for the next when that has ended."
    advice = "Change one thing, and the next when that has ended."


class ConversionImpossible(Refused):
    code = "conversion_impossible"
    title = "AWS does not convert between these compute types"
    suggested_action = "Launch a machine of the wanted type, and terminate this one when it is no longer needed."


class VolumesNotOffered(Refused):
    code = "volumes_not_offered"
    title = "AWS does not offer these volumes"


class TooSoon(Refused):
    code = "too_soon"
    title = "AWS allows this change only later"
    suggested_action = "Ask again at the time named in `possible_at`."
    advice = "Ask again when it is possible."


class AutoStopNotApplicable(Refused):
    code = "auto_stop_not_applicable"
    title = "An AlwaysOn machine does not stop by itself"
    suggested_action = "Ask for running_mode AUTO_STOP with it."
    advice = "Ask for AutoStop with it."


class Configured(Protocol):
    """Whatever has the five fields, above all a machine's row."""

    bundle_type: str
    running_mode: str
    auto_stop_timeout_minutes: int
    root_volume_gb: int
    user_volume_gb: int


@dataclass(frozen=True)
class Configuration:
    """The five facts of a machine that a modification may change."""

    bundle_type: str
    running_mode: str
    auto_stop_timeout_minutes: int
    root_volume_gb: int
    user_volume_gb: int

    @classmethod
    def of(cls, machine: Configured) -> Configuration:
        return cls(**{name: getattr(machine, name) for name in NAMES})

    def changed(self, wanted: Mapping[str, Any]) -> Configuration:
        """The same with the fields of `wanted`."""
        return replace(self, **wanted)

    def beside(self, other: Configuration) -> dict[str, Any]:
        """The fields in which it differs from `other`, with its own values."""
        own, others = asdict(self), asdict(other)
        return {name: own[name] for name in NAMES if own[name] != others[name]}

    @property
    def storage_gb(self) -> int:
        return self.root_volume_gb + self.user_volume_gb


NAMES = tuple(field.name for field in fields(Configuration))


@dataclass(frozen=True)
class Past:
    """When the machine came to be (None = not by us, and nobody knows), and when its compute type and its volumes were
    last changed.

    `compute_reduced_at` is the last change to a smaller compute type.
    """

    launched_at: datetime | None
    compute_changed_at: datetime | None = None
    compute_reduced_at: datetime | None = None
    volumes_changed_at: datetime | None = None


def check(before: Configuration, after: Configuration, *, past: Past, now: datetime) -> None:
    """Raises what AWS would refuse: NothingToChange, OneChangeAtATime, AutoStopNotApplicable, ConversionImpossible,
    VolumesNotOffered, TooSoon.
    """
    changes = after.beside(before)
    if not changes:
        raise NothingToChange("Every field is as it is already.")
    touched = [group for group in ALONE if changes.keys() & set(group)]
    if len(touched) > 1:
        groups = [list(group) for group in touched]
        raise OneChangeAtATime(f"{len(groups)} things at once: {', '.join(changes)}.", extra={"groups": groups})
    if "auto_stop_timeout_minutes" in changes and after.running_mode == "ALWAYS_ON":
        raise AutoStopNotApplicable("auto_stop_timeout_minutes is of AUTO_STOP machines.")
    if touched == [COMPUTE]:
        _check_compute(before, after, past=past, now=now)
    elif touched != [MODE]:
        _check_volumes(before, after, past=past, now=now)


def _check_compute(before: Configuration, after: Configuration, *, past: Past, now: datetime) -> None:
    sizes = list(CONVERTIBLE)
    if before.bundle_type not in sizes or after.bundle_type not in sizes:
        raise ConversionImpossible(
            f"{before.bundle_type} cannot become {after.bundle_type}.",
            extra={"convertible": [str(size) for size in sizes]},
        )
    is_larger = sizes.index(BundleType(after.bundle_type)) > sizes.index(BundleType(before.bundle_type))
    if is_larger:
        since = past.compute_changed_at or past.launched_at
        if since is not None:
            _require_rest("a larger compute type", since=since, every=LARGER_EVERY, now=now)
    elif past.compute_reduced_at is not None:
        _require_rest("a smaller compute type", since=past.compute_reduced_at, every=SMALLER_EVERY, now=now)


def _check_volumes(before: Configuration, after: Configuration, *, past: Past, now: datetime) -> None:
    root, user = after.root_volume_gb, after.user_volume_gb
    if root < before.root_volume_gb or user < before.user_volume_gb:
        raise VolumesNotOffered(
            "A volume can only be made larger.",
            extra={"root_volume_gb": before.root_volume_gb, "user_volume_gb": before.user_volume_gb},
        )
    is_large = ROOT_RANGE[0] <= root <= ROOT_RANGE[1] and USER_RANGE[0] <= user <= USER_RANGE[1]
    if not is_large and (root, user) not in SMALL_PAIRS:
        raise VolumesNotOffered(
            f"{root} GB (root) and {user} GB (user) are not sold together.",
            extra={
                "pairs": [list(pair) for pair in SMALL_PAIRS],
                "root_volume_range": list(ROOT_RANGE),
                "user_volume_range": list(USER_RANGE),
            },
        )
    if past.volumes_changed_at is not None:
        _require_rest("a larger volume", since=past.volumes_changed_at, every=VOLUMES_EVERY, now=now)


def _require_rest(what: str, *, since: datetime, every: timedelta, now: datetime) -> None:
    possible_at = since + every
    if now < possible_at:
        raise TooSoon(
            f"AWS allows {what} from {possible_at:%Y-%m-%d %H:%M} UTC on.",
            extra={"possible_at": possible_at, "last_changed_at": since},
        )
