"""A few machines through anything: our states and AWS's agree, no move is illegal, no hour of money is missing."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.workspaces.machine.fleet import Fleet

FULL, SHORT = 120, 6

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True, databases=["default", "owner"])]


def test_whatever_happens_states_agree_moves_are_legal_and_no_hour_is_missing(sky, months, scale):
    """The short form takes the same examples each time; an example of many steps is read, not shrunk, for that takes
    longer than all of them.
    """
    is_short = not scale(FULL, 0)
    run_state_machine_as_test(
        partial(Fleet, sky),
        settings=settings(
            max_examples=scale(FULL, SHORT),
            stateful_step_count=12 if is_short else 40,
            derandomize=is_short,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
