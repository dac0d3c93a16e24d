"""The counts of many processes are right together: web workers, one that is killed, and a worker of Celery."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from forge.db.embedded.processes import LOOPBACK, free_port
from forge.env import BASE_DIR

TOKEN = "a-token-of-the-scraper"


@pytest.fixture
def started(tmp_path):
    """Starts a command with the shared folder in its environment; ends all of them afterwards."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    with ExitStack() as stack:

        def start(*command, **variables):
            environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)} | variables
            log = stack.enter_context((tmp_path / f"{command[1]}.log").open("wb"))
            process = subprocess.Popen([sys.executable, "-m", *command], cwd=BASE_DIR, env=environment, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.send_signal, signal.SIGQUIT)  # to both it means: end now
            return process

        yield start


def get(port, path, **headers):
    """The answer, or None while nobody listens."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return None
    finally:
        connection.close()


def wait_for(port, path):
    deadline = time.monotonic() + 60
    while get(port, path) is None:
        assert time.monotonic() < deadline, f"nobody listens on port {port}"
        time.sleep(0.1)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as told:
        return [int(child) for child in told.read().split()]


def test_a_workers_exporter_adds_up_web_workers_even_one_that_was_killed(started):
    web, metrics = free_port(), free_port()
    gunicorn = started(
        "gunicorn", "forge.wsgi", "--bind", f"{LOOPBACK}:{web}", "--workers", "2", "--preload", "--no-control-socket"
    )
    started(
        "celery", "-A", "forge", "worker", "-Q", "a-queue-of-this-test", "-P", "solo", "--without-gossip",
        FORGE_METRICS_PORT=str(metrics), FORGE_METRICS_TOKEN=TOKEN,
    )  # fmt: skip
    wait_for(web, "/no/such/page")
    wait_for(metrics, "/")
    for number in range(40):
        assert get(web, "/healthz") is not None
        if number == 20:
            os.kill(children(gunicorn.pid)[0], signal.SIGKILL)

    status, text = get(metrics, "/metrics", Authorization=f"Bearer {TOKEN}")

    assert status == 200
    assert 'forge_http_requests_total{method="GET",route="/healthz/",status="200"} 40.0' in text
    assert get(metrics, "/metrics", Authorization="Bearer another")[0] == 401
    assert get(metrics, "/metrics")[0] == 401
    assert get(metrics, "/else", Authorization=f"Bearer {TOKEN}")[0] == 404


def test_a_folder_that_is_not_there_stops_the_start_with_one_line(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone")}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "PROMETHEUS_MULTIPROC_DIR" in done.stderr.strip().splitlines()[-1]
