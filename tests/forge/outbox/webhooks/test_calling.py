"""One call to a receiver that nobody knows, over real sockets."""

import contextlib
import socket
import ssl
import time

import pytest

from forge.outbox.webhooks import calling
from tests.forge.outbox.webhooks.receiver import LOOPBACK, NAME, OK, Receiver, certificate, status

HEADERS = {"webhook-id": "1"}


@pytest.fixture(autouse=True)
def local(settings, monkeypatch):
    settings.FORGE_WEBHOOK_HTTP, settings.FORGE_WEBHOOK_NETWORKS = True, [LOOPBACK]
    monkeypatch.setattr(calling, "READ_SECONDS", 0.4)
    monkeypatch.setattr(calling, "TOTAL_SECONDS", 0.8)


def post(url, body=b"{}"):
    return calling.post(url, headers=HEADERS, body=body)


def call(answer, **facts):
    with Receiver(answer, **facts) as receiver:
        return post(receiver.url), receiver


def trickle(part):
    """Says `part` again and again, each time just before the caller would hear nothing for too long."""

    def talk(connection):
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(part)
                time.sleep(0.1)

    return talk


def test_what_is_sent_arrives_as_it_is():
    answer, receiver = call(OK)
    [taken] = receiver.taken
    assert (answer.status, answer.is_taken, answer.error, answer.excerpt) == (200, True, "", "ok")
    assert taken.line == "POST /in?a=b HTTP/1.1"
    assert taken.body == b"{}"
    shown = {name: taken.headers.get(name) for name in ("host", "content-type", "webhook-id", "user-agent")}
    assert shown == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "webhook-id": "1",
        "user-agent": calling.USER_AGENT,
    }


def test_a_refusal_is_told_with_the_beginning_of_what_it_says():
    answer, _ = call(status("500 No", body=b"\x00broken\n\xff" + b"x" * 5000))
    assert (answer.status, answer.is_taken) == (500, False)
    assert answer.error == "It answered 500."
    assert answer.excerpt.startswith("broken \ufffdxxx")
    assert len(answer.excerpt) == calling.EXCERPT


def test_a_redirect_is_not_followed():
    with Receiver() as elsewhere:
        answer, _ = call(status("302 Found", f"Location: {elsewhere.url}"))
        assert elsewhere.callers == 0
    assert (answer.status, answer.is_taken) == (302, False)
    assert "not followed" in answer.error


def test_an_answer_without_end_is_not_read_to_it():
    said = 0

    def talk(connection):
        nonlocal said
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        while True:
            said += connection.send(b"x" * 65536)

    answer, _ = call(talk)
    assert answer.is_taken
    assert len(answer.excerpt) == calling.EXCERPT
    assert said < 20_000_000  # what the sockets of two ends hold


def test_nothing_is_unpacked():
    bomb = status("200 OK", "Content-Encoding: gzip", body=b"\x1f\x8b\x08not really")
    answer, _ = call(bomb)
    assert answer.is_taken
    assert "not really" in answer.excerpt


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(lambda connection: time.sleep(3), id="says nothing"),
        pytest.param(trickle(b"HTTP/1.1 100 Continue\r\n\r\n"), id="goes on asking"),
        pytest.param(trickle(b"x"), id="never ends its first line"),
        pytest.param(lambda connection: connection.sendall(b"nonsense\r\n\r\n"), id="speaks no HTTP"),
        pytest.param(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500), id="babbles"),
        pytest.param(lambda connection: connection.close(), id="hangs up"),
    ],
)
def test_whoever_gives_no_answer_is_left(talk):
    answer, _ = call(talk)
    assert answer.status is None
    assert answer.error
    assert answer.milliseconds < 3000


def test_a_body_that_trickles_does_not_undo_the_answer():
    def talk(connection):
        connection.sendall(b"HTTP/1.1 204 Gone well\r\nTransfer-Encoding: chunked\r\n\r\n")
        trickle(b"1\r\nx\r\n")(connection)

    answer, _ = call(talk)
    assert (answer.status, answer.is_taken) == (204, True)
    assert answer.milliseconds < 3000


def test_nobody_there_and_a_name_that_nobody_knows_are_told(monkeypatch):
    with Receiver() as gone:
        url = gone.url
    assert "Connection" in post(url).error

    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "cannot be looked up" in post("https://nowhere.example.com/").error


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:10.0.0.1", "10.0.0.1", "::1"])
def test_a_name_that_stands_for_a_private_address_is_not_connected_to(monkeypatch, address):
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: pytest.fail("it was called"))
    answer = post("https://hooks.example.com/")
    assert answer.status is None
    assert answer.error.startswith("Not sent:")


# -- The name, the certificate, and the one look-up --------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A server's TLS for NAME, which we trust, and a resolver that means this machine the first time alone."""
    context, file = certificate(tmp_path)
    monkeypatch.setattr(calling, "trusted", lambda: ssl.create_default_context(cafile=file))
    asked, real = [], socket.getaddrinfo

    def answer(host, port, *args, **kwargs):
        if host == "127.0.0.1":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return context, asked


def test_the_address_that_was_judged_is_called_by_its_name(tls):
    context, asked = tls
    shown = []
    context.sni_callback = lambda sock, name, ctx: shown.append(name)
    answer, receiver = call(OK, tls=context)
    assert answer.is_taken, answer
    assert asked == [NAME]  # a second look-up would have meant another machine
    assert shown == [NAME]
    assert receiver.taken[0].headers["host"] == f"{NAME}:{receiver.port}"


def test_a_certificate_of_another_name_or_of_nobody_we_trust_is_refused(tls, tmp_path, monkeypatch):
    other, file = certificate(tmp_path, name="other.example.com")
    answer, _ = call(OK, tls=other)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.error
    monkeypatch.setattr(calling, "trusted", lambda: ssl.create_default_context(cafile=file))
    tls[1].clear()
    answer, receiver = call(OK, tls=other)
    assert answer.status is None
    assert "doesn't match" in answer.error or "mismatch" in answer.error
    assert not receiver.taken


def test_a_handshake_that_trickles_is_ended(tls):
    answer, _ = call(OK, tls=tls[0], before=trickle(b"\x16\x03\x03\x40\x00"[:1]))
    assert answer.status is None
    assert answer.milliseconds < 3000


def test_the_next_address_is_tried_where_the_first_takes_no_connection(monkeypatch):
    tried, real = [], socket.create_connection

    def connect(address, timeout):
        tried.append(address[0])
        if address[0] == "127.0.0.2":
            raise ConnectionRefusedError
        return real(address, timeout)

    with Receiver() as receiver:
        monkeypatch.setattr(calling.targets, "look_up", lambda target: ["127.0.0.2", "127.0.0.1"])
        monkeypatch.setattr(socket, "create_connection", connect)
        answer = post(receiver.url)
    assert tried == ["127.0.0.2", "127.0.0.1"]
    assert answer.is_taken
