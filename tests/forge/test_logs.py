"""The log: lines of JSON that say whose they are, and keep what is personal or secret out."""

import io
import json
import logging
import logging.config
import os
import signal
import subprocess
import sys
import time

import pytest
import requests
import structlog
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from rest_framework.response import Response

from forge import logs
from forge.api.scoping import InOwnScope
from forge.env import BASE_DIR
from tests.audit.support import client_of
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.processes import free_port


class Told(InOwnScope):
    def get(self, request):
        logging.getLogger("workspaces.anything").warning("The machine %s is odd.", "ws-1")
        return Response({})


def breaks(request):
    secret = "forge_abc_very-secret"  # noqa: F841  (what a traceback must not show)
    raise RuntimeError("broken")


urlpatterns = [
    path("api/v1/told/", Told.as_view()),
    path("quiet/", lambda request: HttpResponse("")),
    path("breaks/", breaks),
]


@pytest.fixture
def lines():
    """What is written, parsed."""
    structlog.contextvars.clear_contextvars()
    configured = logs.settings(form="json", level="INFO")
    formatter = configured["formatters"]["line"] | {}
    made = formatter.pop("()")(**formatter)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(made)
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_what_is_logged_within_a_request_names_the_request_and_the_person(lines):
    user = MembershipFactory(role="engineer").user
    assert client_of(user).get("/api/v1/told/", HTTP_X_REQUEST_ID="abc-1").status_code == 200
    mine = {line["event"]: line for line in lines() if line.get("request_id") == "abc-1"}
    told = mine["The machine ws-1 is odd."]
    assert (told["level"], told["logger"], told["user_id"]) == ("warning", "workspaces.anything", str(user.pk))
    assert told["timestamp"].endswith("Z")
    finished = mine["request_finished"]
    assert (finished["code"], finished["request"], finished["user_id"]) == (200, "GET /api/v1/told/", str(user.pk))


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_no_line_of_a_request_has_what_was_searched_for_nor_whose_it_was_before(lines):
    structlog.contextvars.bind_contextvars(user_id="left by a request that broke off")
    Client().get("/quiet/?q=ann@example.com", HTTP_X_REQUEST_ID="abc-2", HTTP_X_FORWARDED_FOR="203.0.113.9")
    mine = [line for line in lines() if line.get("request_id") == "abc-2"]
    assert [line["event"] for line in mine] == ["request_started", "request_finished"]
    assert all(line["request"] == "GET /quiet/" and line.get("user_id") is None for line in mine)
    assert "ann@example.com" not in json.dumps(lines())
    assert "203.0.113.9" not in json.dumps(lines())


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_traceback_is_in_one_line_and_shows_no_values(lines):
    Client(raise_request_exception=False).get("/breaks/", HTTP_X_REQUEST_ID="abc-3")
    failed = [line for line in lines() if "exception" in line]
    assert failed
    assert all(line["request_id"] == "abc-3" for line in failed)
    assert "RuntimeError: broken" in failed[0]["exception"]
    assert "very-secret" not in json.dumps(lines())


def test_lines_of_libraries_are_written_from_warnings_on_and_those_of_the_rooms_from_the_level_on(lines):
    for name in ("botocore.anything", "costs.anything"):
        logging.getLogger(name).info("information")
        logging.getLogger(name).warning("warning")
        logging.getLogger(name).debug("detail")
    assert [(line["logger"], line["event"]) for line in lines()] == [
        ("botocore.anything", "warning"),
        ("costs.anything", "information"),
        ("costs.anything", "warning"),
    ]


def test_both_ways_to_log_are_written_alike(lines):
    structlog.get_logger("audit.anything").warning("sealed", size=5)
    logging.getLogger("audit.anything").warning("sealed")
    structured, plain = (line for line in lines() if line.pop("timestamp"))
    assert structured == {"event": "sealed", "size": 5, "level": "warning", "logger": "audit.anything"}
    assert plain == {name: value for name, value in structured.items() if name != "size"}


def test_gunicorns_own_lines_are_json_too_also_after_a_reload_and_a_request_has_its_two(tmp_path):
    environment = os.environ | {
        "DEBUG": "true", "FORGE_LOG_FORMAT": "json", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }  # fmt: skip
    log = tmp_path / "web.log"
    port = free_port()
    arguments = [sys.executable, "-m", "gunicorn", "forge.wsgi", "--bind", f"127.0.0.1:{port}", "--preload"]
    with log.open("wb") as file:
        web = subprocess.Popen(
            [*arguments, "--no-control-socket", "--logger-class", "forge.weblog.Lines"],
            cwd=BASE_DIR,
            env=environment,
            stderr=file,
        )
    try:
        _until(lambda: _said(log, "Booting worker") == 1)
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
        _until(lambda: _said(log, "request_finished") == 1)
        web.send_signal(signal.SIGHUP)
        _until(lambda: _said(log, "Booting worker") == 2)
        web.terminate()
        assert web.wait(timeout=60) == 0
    finally:
        web.kill()
        web.wait()
    written = [json.loads(line) for line in log.read_text().splitlines()]
    own = [line["event"] for line in written if line["logger"] == "gunicorn.error"]
    assert {"Starting", "Listening", "Booting", "Handling", "Hang"} <= {event.split()[0] for event in own}
    assert [line["event"] for line in written if "/healthz" in json.dumps(line)] == [
        "request_started",
        "request_finished",
    ]


def _said(log, words):
    return log.read_text().count(words)


def _until(is_so, within_seconds=120):
    ends = time.monotonic() + within_seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.1)
