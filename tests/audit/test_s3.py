"""The sink in S3 against moto's server: written once, locked, read by its oldest version, and never waited for long."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import boto3
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from moto.server import ThreadedMotoServer

from audit.models import AuditPublication
from audit.sealing import s3
from audit.sealing.sealer import seal
from audit.sealing.sinks import DirectorySink, S3Sink, SinkConflict, SinkFailed, open_sink
from audit.verifier.notes import Checkpoint
from tests.audit.support import leave, leave_one

ORIGIN = "forge.test/audit"
database = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def checkpoint(size, origin=ORIGIN):
    return Checkpoint(origin, size, bytes(32))


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(moto_url, settings):
    settings.AWS_ENDPOINT_URL_S3 = moto_url
    return boto3.session.Session(region_name="us-east-1").client("s3", endpoint_url=moto_url)


@pytest.fixture
def bucket(client, request):
    """A bucket of its own that locks its objects."""
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


@pytest.fixture
def sink(bucket):
    return S3Sink(f"s3://{bucket}/seals?region=us-east-1&retention_days=30")


PATH = "seals/forge.test%2Faudit/000/000/000/000/000/"


def test_a_note_is_kept_under_its_origin_and_size_and_locked(sink, client, bucket):
    sink.publish(checkpoint(12_345), "note\n")
    (listed,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["Key"] == "seals/forge.test%2Faudit/000/000/000/000/012/345.checkpoint"
    head = client.head_object(Bucket=bucket, Key=listed["Key"])
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key=listed["Key"], VersionId=head["VersionId"])
    assert sink.newest(ORIGIN) == "note\n"
    assert sink.newest("forge.test/audit/2") is None


def test_the_paths_are_those_of_a_directory(sink, bucket, client, tmp_path):
    directory = DirectorySink(tmp_path)
    for size in (1, 999, 10**12):
        sink.publish(checkpoint(size), f"{size}\n")
        directory.publish(checkpoint(size), f"{size}\n")
    keys = [one["Key"].removeprefix("seals/") for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.checkpoint"))


def test_the_newest_is_that_of_the_greatest_size_and_is_found_in_a_few_calls(sink, monkeypatch):
    for size in (7, 1_000_000, 999, 12, 999_999):
        sink.publish(checkpoint(size), f"{size}\n")
    calls = []
    pages = s3._pages
    monkeypatch.setattr(s3, "_pages", lambda *given, **where: (calls.append(where), pages(*given, **where))[1])
    assert sink.newest(ORIGIN) == "1000000\n"
    assert len(calls) == 6
    assert [note for _, note in sink.notes()] == ["7\n", "12\n", "999\n", "999999\n", "1000000\n"]


def test_the_same_note_again_is_no_error_and_another_is_never_written_over_it(sink, client, bucket):
    sink.publish(checkpoint(5), "five\n")
    sink.publish(checkpoint(5), "five\n")
    with pytest.raises(SinkConflict, match="another note for size 5"):
        sink.publish(checkpoint(5), "another five\n")
    assert sink.newest(ORIGIN) == "five\n"
    assert len(client.list_object_versions(Bucket=bucket)["Versions"]) == 1


def test_what_somebody_put_over_it_or_a_delete_marker_counts_for_nothing(sink, client, bucket):
    sink.publish(checkpoint(4), "four\n")
    sink.publish(checkpoint(5), "five\n")
    client.put_object(Bucket=bucket, Key=f"{PATH}005.checkpoint", Body=b"forged\n")
    assert sink.newest(ORIGIN) == "five\n"
    client.delete_object(Bucket=bucket, Key=f"{PATH}005.checkpoint")
    client.delete_object(Bucket=bucket, Key="seals/forge.test%2Faudit/000/000/000/000/001/000.checkpoint")
    assert sink.newest(ORIGIN) == "five\n"
    assert [note for _, note in sink.notes()] == ["four\n", "five\n"]


def test_a_bucket_full_of_something_else_is_told_and_not_read_for_ever(sink, client, bucket, monkeypatch):
    monkeypatch.setattr(s3, "MOST_CALLS", 4)
    for number in range(5):
        client.put_object(Bucket=bucket, Key=f"seals/forge.test%2Faudit/{number}/thing", Body=b"")
    with pytest.raises(SinkFailed, match="full of what is no checkpoint"):
        sink.newest(ORIGIN)


def test_a_bucket_without_object_lock_is_refused(client):
    client.create_bucket(Bucket="without-lock")
    sink = S3Sink("s3://without-lock?region=us-east-1")
    for ask in (lambda: sink.publish(checkpoint(5), "five\n"), lambda: sink.newest(ORIGIN)):
        with pytest.raises(SinkFailed, match="the bucket has no Object Lock"):
            ask()
    assert "Contents" not in client.list_objects_v2(Bucket="without-lock")


def test_a_bucket_that_is_not_there_is_told(client):
    with pytest.raises(SinkFailed, match=r"s3://no-such-bucket/x: .*NoSuchBucket"):
        S3Sink("s3://no-such-bucket/x?region=us-east-1").newest(ORIGIN)


@pytest.mark.parametrize(
    ("address", "prefix", "mode", "days"),
    [
        ("s3://some-bucket", "", "COMPLIANCE", 2557),
        ("s3://some-bucket/a/b/?mode=GOVERNANCE&retention_days=1&region=eu-central-1", "a/b", "GOVERNANCE", 1),
    ],
)
def test_addresses(address, prefix, mode, days):
    sink = open_sink(address)
    assert (sink.bucket, sink.prefix, sink.mode, sink.retention.days) == ("some-bucket", prefix, mode, days)
    assert sink.name == f"s3://some-bucket/{prefix}".rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "s3:", "s3:bucket", "s3://", "s3://B", "s3://bucket?mode=NONE", "s3://bucket?retention_days=0",
        "s3://bucket?retention_days=x", "s3://bucket?key=secret", "s3://user:secret@bucket", "s3://bucket#x",
    ],
)  # fmt: skip
def test_an_address_that_names_none_is_refused(address):
    with pytest.raises(ImproperlyConfigured, match="names no sink"):
        open_sink(address)


@pytest.fixture
def slow(settings, monkeypatch):
    """S3 takes connections, which are returned, and never answers."""
    monkeypatch.setattr(s3, "READ_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.AWS_ENDPOINT_URL_S3 = f"http://127.0.0.1:{server.getsockname()[1]}"
        held: list[socket.socket] = []
        threading.Thread(target=lambda: hold(server, held), daemon=True).start()
        yield held
    for one in held:
        one.close()


def hold(server: socket.socket, held: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):  # closed by the test
        while True:
            held.append(server.accept()[0])


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_s3_that_cannot_be_reached_is_told(settings):
    settings.AWS_ENDPOINT_URL_S3 = closed_port()
    sink = S3Sink("s3://some-bucket?region=us-east-1")
    for ask in (lambda: sink.publish(checkpoint(5), "five\n"), lambda: sink.newest(ORIGIN)):
        with pytest.raises(SinkFailed, match="s3://some-bucket: Could not connect"):
            ask()


def test_s3_that_does_not_answer_is_asked_once_and_given_up(slow):
    sink = S3Sink("s3://some-bucket?region=us-east-1")
    for asked, ask in enumerate((lambda: sink.publish(checkpoint(5), "five\n"), lambda: sink.newest(ORIGIN)), 1):
        with pytest.raises(SinkFailed, match="s3://some-bucket: Read timeout"):
            ask()
        assert len(slow) == asked


@database
def test_two_sinks_of_which_one_is_away_and_catches_up(outside, sink, client, moto_url, settings):
    """The other goes on: entries are sealed, signed and published there meanwhile."""
    both = [sink, DirectorySink(outside)]
    settings.AWS_ENDPOINT_URL_S3 = closed_port()
    for _ in range(3):
        leave_one()
        done = seal(sinks=both)
        assert (done.sealed, done.is_signed, done.published) == (1, True, 1)
        assert (list(done.failures), done.away) == ([sink.name], {sink.name})
    settings.AWS_ENDPOINT_URL_S3 = moto_url
    done = seal(sinks=both)
    assert (done.published, done.failures) == (3, {})
    assert AuditPublication.objects.filter(sink=sink.name).count() == 3
    assert sink.newest(ORIGIN) == DirectorySink(outside).newest(ORIGIN)
    leave_one()
    outside.rename(outside.with_name("away"))  # and the other way round
    done = seal(sinks=both)
    assert (done.is_signed, done.published) == (True, 1)
    assert list(done.failures) == [f"directory:{outside}"]


@database
def test_a_sink_that_does_not_answer_is_waited_for_once_in_a_pass(outside, slow):
    leave(3)
    done = seal(sinks=[S3Sink("s3://some-bucket?region=us-east-1"), DirectorySink(outside)])
    assert (done.is_signed, done.published, len(slow)) == (True, 1, 1)


@database
def test_another_note_for_the_same_size_is_told_and_not_overwritten(outside, sink):
    leave(3)
    seal()
    sink.publish(checkpoint(3), "another history\n")
    done = seal(sinks=[DirectorySink(outside), sink])
    assert "no signatures" in done.failures[sink.name] or "another note" in done.failures[sink.name]
    assert sink.newest(ORIGIN) == "another history\n"


@database
def test_audit_verify_compares_with_a_bucket(outside, sink, superuser, capsys):
    for count in (3, 4):
        leave(count, lane=0)
        seal(sinks=[sink])
    address = f"{sink.name}?region=us-east-1"
    out = StringIO()
    call_command("audit_verify", "--against", address, stdout=out)
    assert "2 compared outside" in out.getvalue()
    superuser("DELETE FROM audit_auditcheckpoint WHERE id = 2")
    superuser('DELETE FROM audit_auditleaf WHERE "index" >= 3')
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", "--against", address, stdout=out)
    assert ended.value.code == 1
    assert "outside_ahead" in out.getvalue()


@database
def test_audit_verify_cannot_decide_against_a_bucket_that_does_not_answer(outside, bucket, settings):
    leave(3)
    seal()
    for address in (f"s3://{bucket}?region=us-east-1", "s3://no-such-bucket?region=us-east-1"):
        with pytest.raises(SystemExit) as ended:
            call_command("audit_verify", "--against", address, stdout=StringIO(), stderr=StringIO())
        assert ended.value.code == 2
