"""Runs the simulator alone, as `python -m workspaces.simulator` or `manage.py aws_simulator`."""

import argparse
import signal
import sys
import threading

from workspaces.simulator.machine import DURATIONS
from workspaces.simulator.server import Simulator
from workspaces.simulator.store import StateFileInUseError, StateFileUnknownError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=4599, help="port, 0 = any free one (default %(default)s)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds per real second (default %(default)s)"
    )
    parser.add_argument("--state-file", default=None, help="file that keeps the state over restarts (default: none)")
    parser.add_argument(
        "--duration",
        type=duration,
        action="append",
        default=[],
        metavar="STATE=SECONDS",
        help=f"simulated seconds that a state takes, may be repeated; one of {', '.join(DURATIONS)}",
    )


def duration(text: str) -> tuple[str, float]:
    """Read `PENDING=20`; argparse shows the ValueError as a usage error."""
    state, _, seconds = text.partition("=")
    if state not in DURATIONS or not float(seconds) >= 0:
        raise ValueError(text)
    return state, float(seconds)


def run(
    *,
    host: str,
    port: int,
    speed: float,
    state_file: str | None,
    durations: dict[str, float],
) -> int:
    """Serve until SIGINT or SIGTERM; 1 if it cannot start."""
    simulator = Simulator(host=host, port=port, speed=speed, state_file=state_file, durations=durations)
    finished = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: finished.set())
    try:
        simulator.start()
    except (OSError, ValueError, StateFileInUseError, StateFileUnknownError) as error:
        sys.stderr.write(f"The AWS simulator cannot start: {error}\n")
        return 1
    sys.stdout.write(f"AWS simulator on {simulator.url}\n")
    sys.stdout.flush()  # somebody who reads it through a pipe waits for this line
    finished.wait()
    simulator.stop()
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workspaces.simulator", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    return run(
        host=options.host,
        port=options.port,
        speed=options.speed,
        state_file=options.state_file,
        durations=dict(options.duration),
    )
