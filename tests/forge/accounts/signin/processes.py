"""Identity providers for the tests, each a process of its own that speaks HTTP on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(arguments, *, ready, log):
    """The process while the block runs; it must answer `ready` within a minute."""
    with Path(log).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, env={**os.environ, "PYTHONWARNINGS": "ignore"}
        )
        try:
            _wait(process, ready, log)
            yield process
        finally:
            process.terminate()
            process.wait(10)


def _wait(process, ready, log):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the provider has ended: {Path(log).read_text()}")
        with contextlib.suppress(requests.ConnectionError):
            requests.get(ready, timeout=5)
            return
        time.sleep(0.05)
    raise AssertionError(f"the provider does not answer: {Path(log).read_text()}")


def path_of(address):
    """What the browser asks Forge for: path and query of an address that a provider sent it to."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
