"""Invented people: every name is a combination of two lists, every address ends in .example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DOMAIN = "robco.example"

_FIRST = (
    "Ada", "Boris", "Chen", "Dalia", "Emeka", "Freja", "Goran", "Hana", "Ivo", "Jun",
    "Katya", "Lamin", "Mei", "Nils", "Oyin", "Petra", "Quentin", "Rosa", "Sami", "Tuva",
)  # fmt: skip
_LAST = ("Arroway", "Bellweather", "Castellan")


@dataclass(frozen=True)
class Person:
    """Somebody of the demo; `team` None holds an organization-wide role, `has_sign_in` is printed by the demo."""

    full_name: str
    role: str
    team: str | None
    has_sign_in: bool = False
    has_machine: bool = False

    @property
    def username(self) -> str:
        return self.full_name.lower().replace(" ", ".")

    @property
    def email(self) -> str:
        return f"{self.username}@{DOMAIN}"


TEAMS = {"platform": "Platform engineering", "data": "Data science", "devices": "Device firmware"}

# Per team: role, how many, how many of them have a machine, how many sign in (the first ones, who have none).
_TEAM_PLAN = {
    "platform": (("team_lead", 1, 0, 1), ("contractor", 3, 1, 1), ("engineer", 14, 11, 2)),
    "data": (("team_lead", 1, 1, 1), ("contractor", 3, 2, 1), ("engineer", 14, 11, 1)),
    "devices": (("team_lead", 1, 1, 1), ("contractor", 3, 2, 0), ("engineer", 14, 11, 1)),
}
_WIDE_PLAN = (("admin", 2), ("finance", 2), ("auditor", 2))


def people() -> list[Person]:
    """The sixty, twelve of them with a sign-in; forty have a machine."""
    names = _names()
    made = [
        Person(next(names), role, None, has_sign_in=number == 0)
        for role, count in _WIDE_PLAN
        for number in range(count)
    ]
    for team, plan in _TEAM_PLAN.items():
        for role, count, machines, sign_ins in plan:
            made += [
                Person(
                    next(names),
                    role,
                    team,
                    has_sign_in=number < sign_ins,
                    has_machine=number >= count - machines,
                )
                for number in range(count)
            ]
    return made


def _names() -> Iterator[str]:
    return (f"{first} {last}" for last in _LAST for first in _FIRST)
