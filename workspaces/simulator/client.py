"""A client of the /_control/ endpoints, for tests and the demo."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode


class ControlError(Exception):
    """The simulator refused a control call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """Drives a running simulator from outside, in this process or in another one."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout_seconds
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def health(self) -> dict[str, Any]:
        """`status`, the simulated `now`, `speed`, and how many `machines` exist."""
        return self._call("GET", "health")

    def machines(self, **filters: str) -> list[dict[str, Any]]:
        """All machines ever created, those that are gone as state GONE; filters: account, region, state, …"""
        return self._call("GET", "machines?" + urlencode(filters))["machines"]

    def launches(self) -> list[dict[str, Any]]:
        """Per directory user (lower case) how many machines were `ever` created and how many are `live`."""
        return self._call("GET", "launches")["launches"]

    def connect(self, workspace_id: str) -> dict[str, Any]:
        """The user of a machine logs on."""
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/connect")

    def disconnect(self, workspace_id: str) -> dict[str, Any]:
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/disconnect")

    def appear(self, *, account: str, region: str, workspace: dict[str, Any], protocol: str = "WSP") -> dict[str, Any]:
        """Make a machine behind everybody's back, available at once; `workspace` is as CreateWorkspaces takes it."""
        body = {"account": account, "region": region, "workspace": workspace, "protocol": protocol}
        return self._call("POST", "machines", body)

    def vanish(self, workspace_id: str) -> dict[str, Any]:
        """Let a machine be gone at once."""
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/vanish")

    def set_state(self, workspace_id: str, state: str, **error: str) -> dict[str, Any]:
        """Put a machine into a state; `error_code` and `error_message` are shown with it."""
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/state", {"state": state} | error)

    def advance(self, seconds: float) -> float:
        """Move simulated time forward; returns the new now."""
        return self._call("POST", "clock/advance", {"seconds": seconds})["now"]

    def set_speed(self, speed: float) -> float:
        """Simulated seconds per real second from now on, 0 = only `advance` moves time; returns the now."""
        return self._call("POST", "clock/speed", {"speed": speed})["now"]

    def fault(self, kind: str, **more: Any) -> dict[str, Any]:
        """Let calls go wrong; `faults.KINDS` has the kinds, `count=3` or `rate=0.2` says which calls."""
        return self._call("POST", "faults", {"kind": kind} | more)

    def faults(self) -> list[dict[str, Any]]:
        """The declared faults, each with how many calls it has `struck`."""
        return self._call("GET", "faults")["faults"]

    def withdraw_faults(self, number: int | None = None) -> int:
        """End one fault, or all of them; returns how many."""
        return self._call("DELETE", "faults" if number is None else f"faults/{number}")["withdrawn"]

    def limit(self, *, enabled: bool, clock: str = "real", rates: dict[str, Any] | None = None) -> None:
        """Refuse calls beyond the rate limits; `rates` is `{operation: {"per_second": 2, "burst": 5}}`."""
        self._call("POST", "limits", {"enabled": enabled, "clock": clock, "rates": rates or {}})

    def traffic(self) -> list[dict[str, Any]]:
        """Per account, region and operation: `calls`, `peak_per_second`, and `throttled` by the rate limit."""
        return self._call("GET", "traffic")["traffic"]

    def calls(self, *, account: str, region: str) -> dict[str, Any]:
        """The latest `calls` of a place: service, operation, and `at`, seconds of the machine's steady clock.

        `forgotten` says how many came before them.
        """
        return self._call("GET", f"traffic/{quote(account, safe='')}/{quote(region, safe='')}")

    def forget_traffic(self) -> None:
        """Begin to count anew."""
        self._call("DELETE", "traffic")

    def set_quota(self, *, account: str, region: str, name: str, value: int | None) -> None:
        """Set a quota, None = that of AWS."""
        self._call("POST", "quotas", {"account": account, "region": region, "name": name, "value": value})

    def declare_usage(self, pattern: dict[str, Any] | None, **selectors: str) -> int:
        """Let machines follow a usage pattern; returns for how many existing ones that changes something."""
        return self._call("POST", "usage", {"pattern": pattern} | selectors)["machines"]

    def usage(self) -> list[dict[str, Any]]:
        return self._call("GET", "usage")["rules"]

    def withdraw_usage(self) -> int:
        """End all usage rules."""
        return self._call("DELETE", "usage")["machines"]

    def appear_stack(
        self, *, account: str, region: str, fleet: dict[str, Any], stack: dict[str, Any]
    ) -> dict[str, Any]:
        """Make a fleet that runs at once, and a stack of it, as CreateFleet and CreateStack take them."""
        return self._call("POST", "stacks", {"account": account, "region": region, "fleet": fleet, "stack": stack})

    def open_stream(self, url: str) -> dict[str, Any]:
        """A user opens a streaming URL; returns the session."""
        return self._call("POST", "streaming", {"url": url})

    def leave_stream(self, session_id: str) -> dict[str, Any]:
        return self._call("POST", f"streaming/{quote(session_id, safe='')}/leave")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310
            f"{self._url}/_control/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(error.code, json.load(error)["error"]) from error
