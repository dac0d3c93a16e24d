"""A demo of its own for a test: the real processes, reached by nothing but HTTP and the files that they write."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.db.embedded.processes import spawn

ROOT = Path(__file__).resolve().parents[2]
_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|TMPDIR|TZ|LANG|LC_\w+|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON\w+|COV_\w+|COVERAGE_\w+"
    r"|(?:https?|no|all)_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|FORGE_PG_BIN",
    re.IGNORECASE,
)
"""What a demo keeps of a test run's environment: the machine's own. The run's settings are not the demo's."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class Api:
    """The API with one token."""

    def __init__(self, base_url: str, token: str) -> None:
        self._base_url, self._token = base_url, token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        request = urllib.request.Request(
            path if path.startswith("http") else f"{self._base_url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, dict(response.headers), _json(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), _json(error.read()))


class Browser:
    """The console as a browser without scripts sees it: cookies, forms, and an error for any status from 400 on."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        cookies = urllib.request.HTTPCookieProcessor()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def sign_in(self, email: str, password: str) -> str:
        """The page that follows."""
        [token] = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get("/admin/login/"))[:1]
        form = {"csrfmiddlewaretoken": token, "username": email, "password": password, "next": "/admin/"}
        return self._open("/admin/login/", urllib.parse.urlencode(form).encode())

    def get(self, path: str) -> str:
        return self._open(path)

    def _open(self, path: str, form: bytes | None = None) -> str:
        with self._opener.open(f"{self._base_url}{path}", form, timeout=30) as response:
            return response.read().decode(errors="replace")


class Demo:
    """`with Demo(folder) as demo:` starts `python -m forge.demo` and waits until it says where everything is."""

    def __init__(self, home: Path, *, within_seconds: float = 400) -> None:
        self.home, self._within = home, within_seconds
        self.environment = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        self.environment |= {"FORGE_HOME": str(home), "FORGE_DEMO_PORT": "0"}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Demo:
        command, log = [sys.executable, "-m", "forge.demo"], self.home / "demo.out"
        self._process = spawn(command, log=log, env=self.environment, cwd=ROOT)
        eventually(self.is_ready, within_seconds=self._within)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)

    @property
    def facts(self) -> dict[str, Any]:
        """What `demo.json` says."""
        return json.loads((self.home / "demo.json").read_text())

    def user(self, **wanted: Any) -> dict[str, Any]:
        """The first printed sign-in with these facts."""
        users = self.facts["users"]
        return next(user for user in users if all(user[name] == value for name, value in wanted.items()))

    def api(self, **wanted: Any) -> Api:
        return Api(self.facts["base_url"], self.user(**wanted)["api_token"])

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A management command, as somebody beside the running demo calls it, with these variables set."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment | variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def is_ready(self) -> bool:
        """Whether it says where it is; AssertionError where it ended instead."""
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError((self.home / "demo.out").read_text()[-4000:])
        return (self.home / "demo.json").exists()


def eventually(look: Callable[[], Any], *, within_seconds: float) -> Any:
    """The first truthy answer of `look`, asked twice a second; AssertionError when there is none in time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {within_seconds} s; last answer: {look()!r}")


def ended(operation: dict[str, Any]) -> dict[str, Any] | None:
    """The operation, once nothing more will come of it."""
    return operation if operation["status"] in ("succeeded", "failed", "cancelled") else None


def _json(body: bytes) -> Any:
    return json.loads(body) if body else None
