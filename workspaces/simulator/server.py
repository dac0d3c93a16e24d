"""The HTTP server around a simulated world: `with Simulator(port=0) as simulator: simulator.url`."""

import contextlib
import socket
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workspaces.simulator import control, wire
from workspaces.simulator.client import Control
from workspaces.simulator.clock import Clock
from workspaces.simulator.machine import DURATIONS
from workspaces.simulator.protocols import Answer
from workspaces.simulator.store import Store
from workspaces.simulator.world import World

_LARGEST_BODY = 2 * 1024 * 1024
_STOPS_WITHIN_SECONDS = 0.05


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer must not wait for the client's delayed acknowledgement
    wbufsize = -1  # head and body leave in one packet
    timeout = 120  # an idle keep-alive connection gives its thread back

    server: "_Server"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self._body()
        if body is None:
            return
        world = self.server.world
        if self.path.startswith(control.PREFIX):
            answer = control.answer(world, method, self.path, self.headers, body)
        elif method == "POST" and self.path == "/":
            answer = wire.answer(world, self.headers, body)
        else:
            answer = Answer(404, b'{"error": "AWS calls are POST /."}', {"Content-Type": "application/json"})
        if answer.lost_after_seconds is None:
            self._send(answer)
        else:
            self.server.stopping.wait(answer.lost_after_seconds)
            self.close_connection = True

    def _body(self) -> bytes | None:
        """The request body; None if the request was refused, and the connection with it, as its end is unknown."""
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            self._refuse(411, "A Content-Length is needed.")
            return None
        if int(length) > _LARGEST_BODY:
            self._refuse(413, "The request is too large.")
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True
        self._send(Answer(status, message.encode(), {"Content-Type": "text/plain", "Connection": "close"}))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: several hundred lines a second help nobody."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.world = world
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._hung_up = False
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show what went wrong, unless it is only a client that went away or a call that came after the end."""
        if not self._hung_up and not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End the kept-alive connections, so that a stopped simulator answers nobody."""
        with self._guard:
            self._hung_up = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Simulator:
    """AWS WorkSpaces on a local port: started and stopped by `with`, or by `start()` and `stop()`.

    `speed` is simulated seconds per real second, 0 = time passes only when it is advanced; `start` is the simulated
    second since 1970 at which a simulator without an earlier state begins; `state_file` keeps everything over a
    restart; `durations` replaces some of `machine.DURATIONS` (`machine.INSTANT` makes every change immediate).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        start: float | None = None,
        state_file: str | Path | None = None,
        durations: Mapping[str, float] | None = None,
    ) -> None:
        unknown = set(durations or ()) - set(DURATIONS)
        if unknown:
            raise ValueError(f"No such durations: {sorted(unknown)}; there are {sorted(DURATIONS)}.")
        self._address = (host, port)
        self._speed = speed
        self._start = start
        self._state_file = state_file
        self._durations = dict(DURATIONS) | dict(durations or {})
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return self._running().server_address[1]

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self.port}"

    @property
    def control(self) -> Control:
        """A client of this simulator's control endpoints."""
        return Control(self.url)

    def start(self) -> Self:
        """Open the state and the port and answer in the background."""
        store = Store(self._state_file)
        try:
            clock = Clock(speed=self._speed, before=store.anchor(), start=self._start)
            self._server = _Server(self._address, World(clock=clock, store=store, durations=self._durations))
        except (OSError, ValueError):
            store.close()
            raise
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOPS_WITHIN_SECONDS,), name="aws-simulator", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port, the connections and the state file."""
        server, thread = self._running(), self._thread
        self._server = self._thread = None
        server.stopping.set()
        server.shutdown()
        if thread is not None:
            thread.join()
        server.server_close()
        server.hang_up()
        server.world.close()

    def _running(self) -> _Server:
        if self._server is None:
            raise RuntimeError("The simulator is not running.")
        return self._server

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
