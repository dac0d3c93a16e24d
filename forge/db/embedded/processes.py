"""What running a server as a child takes: a port, a user, a folder it can reach, an end with its parent."""

import contextlib
import ctypes
import hashlib
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1


class ServerFailed(Exception):
    """A server did not start; the message ends with what it wrote to its log."""


@dataclass(frozen=True)
class RunAs:
    """The user a child runs as; `None` ids mean the user we are."""

    uid: int | None = None
    gid: int | None = None

    def popen_arguments(self) -> dict:
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def unprivileged() -> RunAs:
    """Ourselves, or as root `postgres` or `nobody`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return RunAs()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return RunAs(entry.pw_uid, entry.pw_gid)
    raise ServerFailed("PostgreSQL does not run as root, and this system has neither a user postgres nor nobody.")


def reachable_by_others(path: Path) -> bool:
    """Whether every folder down to `path` lets any user pass."""
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents) if folder.is_dir())


def outside_folder(checkout: Path) -> Path:
    """A folder of this checkout's own that other users can pass through, for a checkout that only root can read.

    Raises ServerFailed when somebody else has put a folder there.
    """
    digest = hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:12]
    # its owner is checked; kept over reboots, unlike /tmp
    folder = Path("/var/tmp") / f"robco-forge-{digest}"  # noqa: S108  # nosec B108
    folder.mkdir(mode=0o711, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ServerFailed(f"{folder} belongs to somebody else; remove it.")
    folder.chmod(0o711)
    return folder


def temporary_folder(prefix: str) -> Path:
    """A new temporary folder that other users can pass through but not list."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, at once or not at all."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nobody listens there, else a port the system says is free."""
    if preferred and port_is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def remembered_port(file: Path) -> int:
    """The port in `file` while it is free, else a new one that is written there: addresses live longer than servers."""
    try:
        port = free_port(int(file.read_text()))
    except (OSError, ValueError):
        port = free_port()
    file.write_text(str(port))
    return port


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A server that has just ended leaves connections in TIME_WAIT, which do not stop the next one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def end_with_parent(signal_number: int, *, parent: int | None = None) -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel send the child `signal_number` when we end, however we end (Linux only).

    Called directly, with our own `parent`, it binds ourselves.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = parent or os.getpid()

    def in_the_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the kernel knew what to do about it
            os.kill(os.getpid(), signal_number)

    return in_the_child


def spawn(
    command: list[str],
    *,
    log: Path | None,
    run_as: RunAs | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    end_signal: int = signal.SIGTERM,
) -> subprocess.Popen:
    """Start a child in a session of its own (a Ctrl-C at the terminal is ours alone) that ends when we do.

    Its output is appended to `log`, or goes where ours goes when that is None.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        return subprocess.Popen(  # the caller owns the child
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=end_with_parent(end_signal),  # noqa: PLW1509 - calls the kernel and nothing else
            **(run_as or RunAs()).popen_arguments(),
        )


def stop(process: subprocess.Popen, signal_number: int = signal.SIGTERM, *, within: float) -> None:
    """Ask the child to end, and kill its whole session when it has not done so in `within` seconds."""
    if process.poll() is None:
        process.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(within)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(ready: Callable[[], bool], *, process: subprocess.Popen, within: float) -> bool:
    """Whether `ready()` came true in `within` seconds while the child lived."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return True
        time.sleep(0.02)
    return False


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
