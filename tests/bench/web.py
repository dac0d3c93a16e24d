"""A server of the product in a process of its own, and requests to it over one kept connection."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from forge.db.embedded.processes import LOOPBACK, ServerFailed, free_port, spawn, stop, tail, wait_until
from forge.demo.runner import is_healthy
from forge.env import BASE_DIR
from tests.bench.measure import UnequalWork


def asked(client: http.client.HTTPConnection, address: str, token: str) -> bytes:
    """The body of the answer to a GET; raises UnequalWork for any status but 200."""
    client.request("GET", address, headers={"Authorization": f"Bearer {token}"})
    response = client.getresponse()
    body = response.read()
    if response.status != 200:
        raise UnequalWork(f"{address} answered {response.status}: {body[:500]!r}")
    return body


@contextlib.contextmanager
def served() -> Iterator[http.client.HTTPConnection]:
    """A connection to one worker with one thread for requests, on a port of its own."""
    with (
        listening("tests.bench.wsgi", workers=1, threads=1) as port,
        contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=600)) as client,
    ):
        yield client


@contextlib.contextmanager
def listening(application: str, *, workers: int, threads: int) -> Iterator[int]:
    """The port of a gunicorn that serves `application`, with options as the image's command has them."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", application, "--bind", f"{LOOPBACK}:{port}", "--preload"]
    command += ["--workers", str(workers), "--worker-class", "gthread", "--threads", str(threads)]
    command += ["--keep-alive", "60", "--no-control-socket"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gunicorn.log"
        process = spawn(command, log=log, env=dict(os.environ), cwd=BASE_DIR)
        try:
            if not wait_until(lambda: is_healthy(port), process=process, within=120):
                raise ServerFailed(f"The server did not start:\n{tail(log)}")
            yield port
        finally:
            stop(process, within=10)
