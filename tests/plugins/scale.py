"""How much of a long test is run: `FORGE_SOAK` from 0 (the smallest honest count) to 1 (the full count)."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault, and what hypothesis finds must be repeatable from its output alone.
settings.register_profile(
    "forge", deadline=None, max_examples=50, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("forge")


def count(full: int, quick: int, *, soak: str) -> int:
    """`full` times the share `soak`, but at least `quick`; raises UsageError for what is no share."""
    try:
        share = float(soak)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise pytest.UsageError(f"FORGE_SOAK is {soak!r}; it goes from 0 to 1.")
    return max(quick, round(full * share))


@pytest.fixture(scope="session")
def scale() -> Callable[[int, int], int]:
    """`scale(full, quick)` is the count to run: `quick` at FORGE_SOAK=0, `full` at 1, between them in proportion."""
    soak = os.environ.get("FORGE_SOAK", "0")
    return lambda full, quick: count(full, quick, soak=soak)
