"""Whether calls that came to a place kept to the token bucket of `workspaces.aws.pace`.

The bucket hands out turns; a call comes some time after its turn, never before, and a worker has one turn at a time.
So two things hold however slow a machine is, and without an allowance in seconds:

- from when the bucket was full, no more calls have come at any moment than `burst + rate * seconds`;
- within any window no more than `burst + rate * seconds`, and one for each worker that had its turn before the window
  and came into it.
"""

from __future__ import annotations

from collections.abc import Sequence


def most_at_once(times: Sequence[float], rate: float) -> float:
    """The smallest burst with which a bucket of `rate` calls a second would have let these calls pass, in order."""
    least, most = float("inf"), 0.0
    for number, at in enumerate(times):
        level = number - rate * at
        least = min(least, level)
        most = max(most, level - least + 1)
    return most


def kept(times: Sequence[float], *, began: float, rate: float, burst: int, workers: int) -> bool:
    """Whether the calls kept to the bucket, which was full at `began`; `times` are in order."""
    from_the_beginning = all(number <= burst + rate * (at - began) for number, at in enumerate(times, start=1))
    return from_the_beginning and most_at_once(times, rate) <= burst + workers
