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
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/connect")

    def disconnect(self, workspace_id: str) -> dict[str, Any]:
        return self._call("POST", f"machines/{quote(workspace_id, safe='')}/disconnect")

    def advance(self, seconds: float) -> float:
        """Move simulated time forward; returns the new now."""
        return self._call("POST", "clock/advance", {"seconds": seconds})["now"]

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
