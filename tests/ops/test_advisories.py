"""Whether an advisory service answers is seen by what it tells of a version with known weaknesses, by nothing less."""

from __future__ import annotations

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from forge.env import BASE_DIR

KNOWN = [{"id": "PYSEC-0000-1"}]


@pytest.fixture
def advisories():
    return loaded()


def loaded():
    spec = importlib.util.spec_from_file_location("advisories", BASE_DIR / ".ci" / "advisories.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answering():
    """`answering(status, text)` is the address of a server that answers so."""
    servers = []

    def serve(status, text):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.do_POST()

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "found", "code"),
    [(200, KNOWN, 0), (200, [], 1), (404, KNOWN, 1), (502, [], 1)],
)
def test_a_service_that_tells_of_known_weaknesses_answers(advisories, answering, monkeypatch, status, found, code):
    monkeypatch.setattr(advisories, "OSV", answering(status, json.dumps({"vulns": found})))
    assert advisories.main() == code


def test_a_page_of_a_proxy_or_nobody_at_all_is_no_answer(advisories, answering, monkeypatch, capsys):
    monkeypatch.setattr(advisories, "OSV", answering(200, "<html>Please sign in</html>"))
    assert advisories.main() == 1
    monkeypatch.setattr(advisories, "OSV", "http://127.0.0.1:1/")
    assert advisories.main() == 1
    assert "ConnectionError" in capsys.readouterr().out


def test_a_mirror_is_asked_instead_where_the_environment_names_one(answering, monkeypatch):
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", answering(200, json.dumps({"vulns": KNOWN})))
    assert loaded().main() == 0
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:1/")
    assert loaded().main() == 1
