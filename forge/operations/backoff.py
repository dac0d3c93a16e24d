"""How long to let a failing thing rest."""

from datetime import timedelta

_LARGEST_EXPONENT = 32


def delay(failures: int, *, first: timedelta, cap: timedelta, fraction: float) -> timedelta:
    """Doubles from `first` to `cap`; `fraction` in [0, 1) spreads it over the upper half, so that a crowd disperses."""
    exponent = min(max(failures - 1, 0), _LARGEST_EXPONENT)
    full = min(first * 2**exponent, cap)
    return full * (0.5 + fraction / 2)
