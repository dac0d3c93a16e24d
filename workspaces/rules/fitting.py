"""Whether a machine that exists fits the ceilings of another team."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from datetime import datetime, timedelta

from forge.accounts.models import Team
from forge.api.errors import Refused
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.rules.deadlines import Ceiling, end_of_lifetime, lifetime_bound
from workspaces.rules.reckoning import facts_of
from workspaces.rules.settings import terms


class BeyondCeilings(Refused):
    code = "beyond_ceilings"
    title = "The machine is past what the team's lifecycle policy allows"
    suggested_action = "Wait until it fits, or ask an admin to change the policy of the team."


def refuse_beyond_ceilings(workspace: WorkSpace, *, team: Team, now: datetime) -> None:
    """Raises BeyondCeilings where the team's policy would stop or end the machine at once, or cut what was promised.

    That is an age that ends it there and not here, or a run, a work lease or a keep-alive beyond a ceiling that is
    smaller than the one that binds now.
    A smaller ceiling that leaves time binds after the move, as it binds a launch.
    """
    moved = copy(workspace)
    moved.team = team
    past = list(_past(workspace, moved, now))
    if past:
        words = "; ".join(f"{what} ({ceiling.source}: at most {_length(ceiling.value)})" for _, what, ceiling in past)
        told = [
            {"ceiling": kind, "most": _length(ceiling.value), "source": ceiling.source} for kind, _, ceiling in past
        ]
        raise BeyondCeilings(f"{words}.", extra={"ceilings": told})


def _past(workspace: WorkSpace, moved: WorkSpace, now: datetime) -> Iterator[tuple[str, str, Ceiling]]:
    """(kind, what is too long, ceiling) of each that stands in the way."""
    facts = facts_of([workspace], now=now)[workspace.id]
    own, new = facts.ceilings, facts_of([moved], now=now)[workspace.id].ceilings
    kept, until = workspace.is_kept_alive(now), workspace.keep_alive_until
    runs = facts.is_auto_stop and facts.state == State.AVAILABLE
    over_at, by = lifetime_bound(facts.created_at, facts.lifetime, new, terms())
    if by is not None and not kept and over_at <= now < end_of_lifetime(facts, terms()):
        yield "lifetime", "it is too old", by
    if new.keep_alive.value < own.keep_alive.value and kept and (until is None or until > now + new.keep_alive.value):
        yield "keep_alive", "it is kept alive for too long", new.keep_alive
    leased = facts.leased_until
    if new.lease.value < own.lease.value and leased is not None and leased > now + new.lease.value:
        yield "lease", "its work lease lasts too long", new.lease
    if new.session.value < own.session.value and runs and facts.runs_since + new.session.value <= now:
        yield "session", "it has run for too long", new.session


def _length(of: timedelta) -> str:
    return f"{of.days} days" if of.days and not of.seconds else f"{of.total_seconds() / 3600:.0f} hours"
