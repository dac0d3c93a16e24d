"""Starts what the environment does not give, migrates, seeds, serves, and says where everything is."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from forge.db.embedded import EmbeddedPostgres, EmbeddedValkey, ServerFailed
from forge.db.embedded.postgres import APP, OWNER, SUPERUSER
from forge.db.embedded.processes import LOOPBACK, free_port, port_is_free, spawn, stop, tail
from forge.demo.children import Command, Family
from forge.demo.home import Home, static_files_stamp
from forge.env import ADDRESSES, BASE_DIR

DATABASE = "forge"
QUEUES = ("seal", "operations", "sweeps", "mail", "webhooks")
FIRST_PORT = 8000

SETTINGS = {
    "DEBUG": "false",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
    # The demo speaks plain http and only to this machine; everything else is as in production.
    "SECURE_SSL_REDIRECT": "false",
    "SECURE_HSTS_SECONDS": "0",
    "SESSION_COOKIE_SECURE": "false",
    "CSRF_COOKIE_SECURE": "false",
    "SILENCED_SYSTEM_CHECKS": "forge.E003",  # cookies over plain http
    "FORGE_MFA_REQUIRED": "false",  # its passwords stand on the terminal
    "FORGE_PRICE_STALE_DAYS": "36500",  # its prices are those that Forge comes with, however old this copy is
}
# AWS takes minutes for these; a demo should be seen within one.
SIMULATED_SECONDS = {"PENDING": 15, "STARTING": 10, "STOPPING": 10, "TERMINATING": 10}
SIMULATED_AWS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Demo:
    """One run of the demo. What the environment gives (a database, Redis, AWS, any setting) is used, not started."""

    def __init__(self, *, with_data: bool = True) -> None:
        self.home = Home()
        self.with_data = with_data
        self.say = _say
        self.family = Family(say=self.say, changed=self.home.remember_children)
        self.env: dict[str, str] = dict(os.environ)
        self.own_env: dict[str, str] = {}
        self.filling: dict[str, str] = {}
        self.serving: dict[str, str] = {}
        self.addresses: dict[str, Any] = {}
        self.commands: list[subprocess.Popen] = []
        self.interrupts = 0
        self.ended = threading.Event()

    def run(self) -> int:
        """Start, serve until SIGINT, SIGTERM or SIGHUP, stop; the status to exit with."""
        began = time.monotonic()
        self.home.open()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupted)
        status = 0
        try:
            if leftovers := self.home.end_leftovers():
                self.say(f"Ended what an earlier demo had left running: {', '.join(leftovers)}.")
            self._start()
            self.say(f"Ready after {time.monotonic() - began:.0f} s.\n")
            self._introduce()
            while not self.ended.wait(0.3):
                self.family.look()
        except _Interrupted:
            pass
        except ServerFailed as error:
            self.say(str(error))
            status = 1
        finally:
            self.home.withdraw()
            self.say("Stopping …")
            self.ended.set()
            self._end_commands()
            self.family.stop()
            self.home.close()
        return status

    # -- The steps -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._setting("SECRET_KEY", self.home.secret_key())
        for name, value in SETTINGS.items():
            self._setting(name, value)
        self._setting("EMAIL_URL", f"filemail://{self.home.folder / 'mail'}")
        if self.home.seeding.exists() and not self.env.get("DATABASE_URL"):
            self.say("An earlier start was cut off while it made the demo data: beginning anew.")
            self.home.forget_data()
        given = self.env.get("DATABASE_URL")
        if not self.env.get("FORGE_AUDIT_SIGNING_KEY"):
            self._setting("FORGE_AUDIT_SIGNING_KEY_FILE", str(self.home.audit_signing_key()))
        if not self.env.get("FORGE_METRICS_TOKEN"):
            self._setting("FORGE_METRICS_TOKEN_FILE", str(self.home.metrics_token()))
        self._setting("FORGE_AUDIT_SINKS", f"directory:{self.home.audit_checkpoints(given)},log:")
        self._setting("FORGE_ARCHIVE", f"directory:{self.home.archive(given)}")
        self._start_database()
        self._start_broker()
        self._start_simulator()
        self._publish_environment()
        with self._step("Schema and static files"):
            finish_static = self._collect_static()
            self._manage("migrate", "--noinput", **self.filling)
            finish_static()
        if self.with_data:
            with self._step("Demo data"):
                if not self.home.users():
                    self.home.seeding.touch()
                self._manage("seed_demo", **self.filling)
                self.home.seeding.unlink(missing_ok=True)
        with self._step("Web, workers and schedule"):
            port = web_port(self.env.get("FORGE_DEMO_PORT"))
            self._setting("FORGE_BASE_URL", f"http://{LOOPBACK}:{port}")
            self._publish_environment()
            self._start_workers()
            self._start_web(port)
        self.home.publish_demo(self.addresses)

    def _start_database(self) -> None:
        if url := self.env.get("DATABASE_URL"):
            self.addresses |= {
                "database_url": url,
                "owner_url": self.env.get("DATABASE_OWNER_URL") or url,
                "superuser_url": None,
            }
            return
        with self._step("PostgreSQL"):
            postgres = EmbeddedPostgres(self.home.postgres, database=DATABASE, log=self.home.log("postgres"))
            self.family.start("PostgreSQL", postgres)
        self.addresses |= {
            "database_url": postgres.url(APP, DATABASE),
            "owner_url": postgres.url(OWNER, DATABASE),
            "superuser_url": postgres.url(SUPERUSER, DATABASE),
        }
        # What a power cut takes of the last second is made again by the next start.
        self.filling["PGOPTIONS"] = "-c synchronous_commit=off"
        self._setting("DATABASE_URL", self.addresses["database_url"])
        self._setting("DATABASE_OWNER_URL", self.addresses["owner_url"])

    def _start_broker(self) -> None:
        if not self.env.get("REDIS_URL"):
            with self._step("Valkey"):
                valkey = EmbeddedValkey(self.home.valkey, log=self.home.log("valkey"))
                self.family.start("Valkey", valkey)
            self._setting("REDIS_URL", valkey.url)
        self.addresses["redis_url"] = self.env["REDIS_URL"]

    def _start_simulator(self) -> None:
        if url := self.env.get("AWS_ENDPOINT_URL"):
            self.addresses["simulator_url"] = url
            return
        port = free_port()
        with self._step("AWS simulator"):
            arguments = [sys.executable, "-m", "workspaces.simulator", "--port", str(port)]
            arguments += ["--state-file", str(self.home.simulator_state)]
            for state, seconds in SIMULATED_SECONDS.items():
                arguments += ["--duration", f"{state}={seconds}"]
            log = self.home.log("simulator")
            self.family.start("AWS simulator", Command(arguments, env=self.env, log=log, ready=lambda: accepts(port)))
        self.filling["FORGE_AWS_CALLS_PER_SECOND"] = "0"  # the simulator counts no calls, and nobody else makes any yet
        self.addresses["simulator_url"] = f"http://{LOOPBACK}:{port}"
        self._setting("AWS_ENDPOINT_URL", self.addresses["simulator_url"])
        for name, value in SIMULATED_AWS.items():
            self._setting(name, value)

    def _start_workers(self) -> None:
        self.serving = self.env | {"PROMETHEUS_MULTIPROC_DIR": str(self.home.counts())}
        celery = [sys.executable, "-m", "celery", "-A", "forge"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        for queue in QUEUES:
            arguments = [*celery, "worker", "-Q", queue, "-n", f"{queue}@demo", "--pool", "solo", *quiet]
            self.family.start(
                f"Worker {queue}", Command(arguments, env=self.serving, log=self.home.log(f"worker-{queue}"))
            )
        beat = [*celery, "beat", "--pidfile=", "-s", str(self.home.folder / "beat-schedule")]
        self.family.start("Beat", Command(beat, env=self.env, log=self.home.log("beat")))

    def _start_web(self, port: int) -> None:
        arguments = [sys.executable, "-m", "gunicorn", "forge.wsgi", "--bind", f"{LOOPBACK}:{port}"]
        arguments += [
            "--workers",
            "2",
            "--threads",
            "4",
            "--preload",
            "--limit-request-line",
            "8190",
            "--no-control-socket",
            "--graceful-timeout",
            "5",
            "--logger-class",
            "forge.weblog.Lines",
        ]
        self.family.start(
            "Web", Command(arguments, env=self.serving, log=self.home.log("web"), ready=lambda: is_healthy(port))
        )
        self.addresses = {"base_url": f"http://{LOOPBACK}:{port}"} | self.addresses

    def _publish_environment(self) -> None:
        """Tell management commands what was set here, and the addresses that were given."""
        given = {name: self.env[name] for name in ADDRESSES if name in self.env}
        self.home.publish_environment(self.own_env | given)

    # -- Tools of the steps ------------------------------------------------------------------------------------------

    def _setting(self, name: str, value: str) -> None:
        """Set what the environment leaves open, for the children and for later management commands."""
        if not self.env.get(name):
            self.env[name] = self.own_env[name] = value

    def _manage(self, *arguments: str, **settings: str) -> None:
        self._finish(arguments[0], self._begin(*arguments, **settings))

    def _begin(self, *arguments: str, **settings: str) -> subprocess.Popen:
        """Start a command; what the environment gives goes before these settings."""
        command, log = [sys.executable, "manage.py", *arguments], self.home.log(arguments[0])
        process = spawn(command, log=log, env=settings | self.env, cwd=BASE_DIR)
        self.commands.append(process)
        return process

    def _finish(self, name: str, process: subprocess.Popen) -> None:
        if process.wait():
            log = self.home.log(name)
            raise ServerFailed(f"manage.py {name} failed; {log} ends with:\n{tail(log)}")

    def _end_commands(self) -> None:
        for process in self.commands:
            stop(process, within=5)

    def _collect_static(self) -> Callable[[], None]:
        """Begin to collect the static files if they are old; the answer waits for the end of it."""
        stamp, current = BASE_DIR / "static" / ".collected", static_files_stamp()
        if stamp.exists() and stamp.read_text() == current:
            return lambda: None
        process = self._begin("collectstatic", "--noinput")

        def finish() -> None:
            self._finish("collectstatic", process)
            stamp.write_text(current)

        return finish

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.say(f"  {name:<28}{time.monotonic() - began:5.1f} s")

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.interrupts += 1
        if self.interrupts == 1 and not self.ended.is_set():
            self.ended.set()
            raise _Interrupted
        if self.interrupts > 1:
            self.family.kill()

    def _introduce(self) -> None:
        base_url = self.addresses["base_url"]
        self.say(f"Forge runs at {base_url}/admin/ (API {base_url}/api/v1/docs). Logs: {self.home.folder / 'logs'}")
        self.say(f"Addresses, sign-ins and API tokens: {self.home.folder / 'demo.json'}\n")
        for user in self.home.users():
            self.say("  {role:<12}{team:<14}{email:<36}{password}".format(**{**user, "team": user.get("team") or "-"}))
        self.say("\nCtrl-C stops everything.")


class _Interrupted(Exception):
    """No error: it unwinds to the place that stops everything."""


def web_port(asked: str | None) -> int:
    """The port asked for (0 = any), else the first free one from 8000 on; raises ServerFailed when it is taken."""
    if not asked:
        return next((port for port in range(FIRST_PORT, FIRST_PORT + 100) if port_is_free(port)), None) or free_port()
    if not asked.isdigit() or int(asked) > 65535 or (int(asked) and not port_is_free(int(asked))):
        raise ServerFailed(f"FORGE_DEMO_PORT={asked} is not a free port.")
    return int(asked) or free_port()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    print(line, flush=True)
