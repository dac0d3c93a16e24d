"""What a machine was when: the states that it went through and whether its user was connected, for the metrics."""

from array import array
from bisect import bisect_left, bisect_right

STATES = (
    "PENDING",
    "AVAILABLE",
    "IMPAIRED",
    "UNHEALTHY",
    "REBOOTING",
    "STARTING",
    "REBUILDING",
    "RESTORING",
    "MAINTENANCE",
    "ADMIN_MAINTENANCE",
    "TERMINATING",
    "TERMINATED",
    "SUSPENDED",
    "UPDATING",
    "STOPPING",
    "STOPPED",
    "ERROR",
    "GONE",
)
KEPT_SECONDS = 63 * 86_400.0  # as long as CloudWatch keeps points of five minutes
_ITEM_BYTES = 9


class History:
    """Changes in the order of time, nine bytes each; what is older than KEPT_SECONDS is forgotten."""

    __slots__ = ("_codes", "_times")

    def __init__(self, packed: bytes = b"") -> None:
        count = len(packed) // _ITEM_BYTES
        self._times = array("d", packed[: count * 8])
        self._codes = bytearray(packed[count * 8 :])

    def packed(self) -> bytes:
        """What `History(packed)` takes back."""
        return self._times.tobytes() + bytes(self._codes)

    def add(self, when: float, state: str, *, connected: bool) -> None:
        """From `when` on it was so; several changes at one instant leave the last."""
        code = STATES.index(state) * 2 + connected
        if self._times and self._times[-1] >= when:
            self._codes[-1] = code
        elif not self._codes or self._codes[-1] != code:
            self._times.append(when)
            self._codes.append(code)
            self._forget(when - KEPT_SECONDS)

    def at(self, instant: float) -> tuple[str, bool] | None:
        """State and connection at an instant; None before the first change that is remembered."""
        number = bisect_right(self._times, instant) - 1
        if number < 0:
            return None
        return STATES[self._codes[number] // 2], bool(self._codes[number] % 2)

    def _forget(self, before: float) -> None:
        """Drop what ended before an instant, in large pieces because each piece is copied."""
        over = bisect_left(self._times, before) - 1
        if over >= 64:
            del self._times[:over], self._codes[:over]
