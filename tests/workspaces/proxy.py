"""A small HTTP proxy in front of the simulator that loses chosen requests, or the answers to them."""

from __future__ import annotations

import http.client
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

Loss = Literal["request", "answer"]


class LossyProxy:
    """`lose("CreateWorkspaces", "answer")` makes the next such call take effect and its caller never hear of it."""

    def __init__(self, upstream: str) -> None:
        self.calls: Counter[str] = Counter()
        self._upstream = urlsplit(upstream)
        self._losses: dict[str, list[Loss]] = defaultdict(list)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target = self.headers["X-Amz-Target"]  # STS names its operation in the form that it is sent
                operation = target.rpartition(".")[2] if target else parse_qs(body.decode())["Action"][0]
                proxy.calls[operation] += 1
                losses = proxy._losses[operation]
                loss = losses.pop(0) if losses else None
                answer = None if loss == "request" else proxy._forward(self.path, dict(self.headers), body)
                if loss is not None or answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "date", "server", "content-length"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def lose(self, operation: str, *losses: Loss) -> None:
        """Lose the next calls of `operation`, one by one."""
        self._losses[operation] += losses

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def _forward(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._upstream.hostname, self._upstream.port, timeout=10)
        try:
            connection.request("POST", path, body, headers | {"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()
