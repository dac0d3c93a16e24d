"""Asking again what AWS, or our own rate limit, has put off: for whoever looks at whole accounts.

Operations rest in their queue instead. A job that began anew at every page that was put off would never come to the end
of a large account: of 800 pages hardly all are answered at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from forge.operations.backoff import delay
from workspaces.aws.faults import Throttled

FIRST, LONGEST = timedelta(seconds=1), timedelta(seconds=16)
"""The pauses double from the first to the longest, each spread over its upper half."""

MOST_SECONDS, EARNED_SECONDS = 60.0, 0.2
"""What a run may pause in all, and what it earns back, up to that, with each call that is answered."""

T = TypeVar("T")


class Patience:
    """The pauses of one run, whatever it calls: so one that AWS does not answer ends soon, and one that is put off here
    and there comes to its end however many calls it takes. An open circuit is not waited for."""

    def __init__(self) -> None:
        self.left = MOST_SECONDS

    def of(self, call: Callable[[], T]) -> T:
        """The answer of a call of which a Throttled one has had no effect; raises it when no pause is left."""
        retrying = Retrying(
            retry=retry_if_exception_type(Throttled),
            wait=_pause,
            stop=lambda state: state.upcoming_sleep > self.left,
            sleep=self._rest,
            reraise=True,
        )
        answer = retrying(call)
        self.left = min(MOST_SECONDS, self.left + EARNED_SECONDS)
        return answer

    def _rest(self, seconds: float) -> None:
        self.left -= seconds
        sleep(seconds)


def _pause(state: RetryCallState) -> float:
    spread = random.random()  # noqa: S311 - it only disperses a crowd
    return delay(state.attempt_number, first=FIRST, cap=LONGEST, fraction=spread).total_seconds()
