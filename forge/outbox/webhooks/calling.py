"""One POST to a receiver that nobody knows: to a checked address, once, within limits of time and size.

urllib3 is used at the level of one connection: no pool, no retries, no redirects, no proxies, no decompression. The
name stays the connection's host, so Host, SNI and the certificate's check are those of the name, while the socket goes
to an address that was judged. A deadline ends a receiver that sends a byte now and then, which no time-out of a single
read does. What an answer says beyond its first bytes is never read.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from forge.outbox.webhooks import targets
from forge.outbox.webhooks.targets import Target, TargetRefused

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
TOTAL_SECONDS = 15.0
"""From the connection to the end of the answer."""
MOST_READ = 1024
EXCERPT = 200
LONGEST_ERROR = 300
USER_AGENT = "RobCo-Forge-Webhooks/1"


@dataclass(frozen=True)
class Answer:
    """What came of a call: a status and how the body began, or why there was none."""

    status: int | None
    excerpt: str
    error: str
    milliseconds: int

    @property
    def is_taken(self) -> bool:
        """Whether the receiver said that it has it: a status from 200 to 299."""
        return self.status is not None and 200 <= self.status < 300


class _Checked:
    """Mixin of a connection: its socket goes to one of `addresses`, and `cut` ends it whatever it is doing."""

    addresses: list[str]
    host: str
    port: int
    twin: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made = _connect(self.addresses, self.port)
        # urllib3 keeps no socket that could be closed while it is shaking hands; a second handle of it can.
        self.twin = made.dup()
        self.timer = threading.Timer(TOTAL_SECONDS, self.cut)
        self.timer.daemon = True
        self.timer.start()
        return made

    def cut(self) -> None:
        if self.twin is not None:
            try:
                self.twin.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

    def end(self) -> None:
        if self.twin is not None:
            self.timer.cancel()
            self.twin.close()
        self.close()  # type: ignore[attr-defined]


class _Plain(_Checked, HTTPConnection):
    """Without TLS, where FORGE_WEBHOOK_HTTP allows it."""


class _Secure(_Checked, HTTPSConnection):
    """With the certificates that this machine trusts."""


def post(url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send it; whatever the receiver does becomes an Answer."""
    began = time.monotonic()

    def answer(status: int | None = None, excerpt: str = "", error: str = "") -> Answer:
        return Answer(status, excerpt, error[:LONGEST_ERROR], int(1000 * (time.monotonic() - began)))

    try:
        target = targets.parse(url)
        connection = _connection(target, targets.look_up(target))
    except TargetRefused as refused:
        return answer(error=f"Not sent: {refused}.")
    sent = {"User-Agent": USER_AGENT, "Content-Type": "application/json", "Connection": "close", **headers}
    try:
        connection.request("POST", target.path, body=body, headers=sent, preload_content=False, decode_content=False)
        response = connection.getresponse()
        return answer(response.status, _excerpt(response), _said_of(response.status))
    except (HTTPError, OSError, http.client.HTTPException, ValueError) as error:
        return answer(error=_plain(f"{type(error).__name__}: {error}"))
    finally:
        connection.end()


def trusted() -> ssl.SSLContext:
    """The certificates of this machine, or of SSL_CERT_FILE."""
    return ssl.create_default_context()


def _connection(target: Target, addresses: list[str]) -> _Plain | _Secure:
    connection: _Plain | _Secure
    if target.is_tls:
        connection = _Secure(target.host, target.port, timeout=READ_SECONDS, ssl_context=trusted())
    else:
        connection = _Plain(target.host, target.port, timeout=READ_SECONDS)
    connection.addresses = addresses
    return connection


def _connect(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first of the addresses that takes one; raises the OSError of the last."""
    failed: OSError | None = None
    for one in addresses:
        try:
            made = socket.create_connection((one, port), timeout=CONNECT_SECONDS)
        except OSError as error:
            failed = error
            continue
        made.settimeout(READ_SECONDS)
        return made
    raise failed or OSError("no address")


def _excerpt(response: HTTPResponse) -> str:
    """How the body begins, as one line; what came before it broke off is enough, for the status has come."""
    said = b""
    try:
        while len(said) < MOST_READ and (part := response.read1(MOST_READ - len(said), decode_content=False)):
            said += part
    except (HTTPError, OSError, http.client.HTTPException, ValueError):
        return _plain(said.decode("utf-8", "replace"))[:EXCERPT]
    return _plain(said.decode("utf-8", "replace"))[:EXCERPT]


def _said_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return f"It answered {status}; redirects are not followed." if 300 <= status < 400 else f"It answered {status}."


def _plain(text: str) -> str:
    """`text` as one line without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
