"""Places outside: a note is written whole, once, and never overwritten; what fails says so."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured

from audit.sealing import sinks
from audit.sealing.sinks import DirectorySink, LogSink, SinkConflict, SinkFailed, notes_in, open_sink
from audit.verifier.notes import Checkpoint

ORIGIN = "forge.test/audit"


def checkpoint(size, origin=ORIGIN):
    return Checkpoint(origin, size, bytes(32))


@pytest.fixture
def sink(tmp_path):
    return DirectorySink(tmp_path)


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_a_note_is_kept_under_its_origin_and_size(sink, tmp_path):
    sink.publish(checkpoint(12_345), "note\n")
    assert files(tmp_path) == [Path("forge.test%2Faudit/000/000/000/000/012/345.checkpoint")]
    assert sink.newest(ORIGIN) == "note\n"
    assert sink.newest("forge.test/audit/2") is None


def test_the_newest_is_that_of_the_greatest_size_whatever_came_last(sink):
    for size in (7, 1_000_000, 999, 12, 999_999):
        sink.publish(checkpoint(size), f"{size}\n")
    assert sink.newest(ORIGIN) == "1000000\n"
    assert [note for _, note in notes_in(sink.folder)] == ["7\n", "12\n", "999\n", "999999\n", "1000000\n"]


def test_folders_that_a_crash_left_empty_are_passed_over(sink, tmp_path):
    sink.publish(checkpoint(5), "five\n")
    sink.path_of(ORIGIN, 10**12).parent.mkdir(parents=True)
    (sink.path_of(ORIGIN, 5).parent / ".006.checkpoint.77").write_text("ha")
    assert sink.newest(ORIGIN) == "five\n"
    assert [note for _, note in notes_in(tmp_path)] == ["five\n"]


def test_the_same_note_again_is_no_error_and_another_is_never_written_over_it(sink, tmp_path):
    sink.publish(checkpoint(5), "five\n")
    sink.publish(checkpoint(5), "five\n")
    with pytest.raises(SinkConflict):
        sink.publish(checkpoint(5), "another five\n")
    assert sink.newest(ORIGIN) == "five\n"
    assert len(files(tmp_path)) == 1


def test_a_disk_that_is_not_there_is_not_made(tmp_path):
    sink = DirectorySink(tmp_path / "unmounted")
    for ask in (lambda: sink.publish(checkpoint(5), "five\n"), lambda: sink.newest(ORIGIN)):
        with pytest.raises(SinkFailed, match="no such folder"):
            ask()
    assert not sink.folder.exists()


@pytest.mark.parametrize("step", ["_write", "fsync", "link"])
def test_a_full_disk_leaves_nothing_half_written(sink, tmp_path, monkeypatch, step):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks if step == "_write" else os, step, full)
    with pytest.raises(SinkFailed, match="No space left"):
        sink.publish(checkpoint(5), "five\n")
    monkeypatch.undo()
    assert files(tmp_path) == []
    sink.publish(checkpoint(5), "five\n")
    assert sink.newest(ORIGIN) == "five\n"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from audit.sealing.sinks import DirectorySink, SinkFailed
from audit.verifier.notes import Checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    DirectorySink(Path(sys.argv[1])).publish(Checkpoint("forge.test/audit", 5, bytes(32)), "five" * 20)
except SinkFailed as error:
    print(error)
"""


def test_a_file_that_may_not_grow_as_on_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "File too large" in done.stdout, done.stderr
    assert files(tmp_path) == []


def test_a_note_reaches_the_disk_before_its_name_does(sink, monkeypatch):
    order, fsync, link = [], os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append(_kind(handle)), fsync(handle)))
    monkeypatch.setattr(os, "link", lambda *names: (order.append("link"), link(*names)))
    sink.publish(checkpoint(5), "five\n")
    assert order[:3] == ["file", "link", "folder"]
    assert set(order[3:]) == {"folder"}


def _kind(handle):
    return "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"


def test_the_log_sink_writes_one_line_and_cannot_be_read():
    with structlog.testing.capture_logs() as lines:
        LogSink().publish(checkpoint(5), "five\n")
    assert [(line["event"], line["origin"], line["size"], line["note"]) for line in lines] == [
        ("audit_checkpoint", ORIGIN, 5, "five\n")
    ]
    with pytest.raises(SinkFailed):
        LogSink().newest(ORIGIN)


def test_addresses_name_sinks(tmp_path):
    assert isinstance(open_sink("log:"), LogSink)
    assert open_sink(f"directory:{tmp_path}").folder == tmp_path


@pytest.mark.parametrize("address", ["", "log", "log:x", "directory:", "directory:relative", "/tmp"])
def test_an_address_that_names_none_is_refused(address):
    with pytest.raises(ImproperlyConfigured, match="names no sink"):
        open_sink(address)
