"""Runs the simulator alone, as `python -m workspaces.simulator` or `manage.py aws_simulator`."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from workspaces.simulator.client import Control, ControlError
from workspaces.simulator.machine import DURATIONS
from workspaces.simulator.server import Simulator
from workspaces.simulator.store import StateFileInUseError, StateFileUnknownError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=4599, help="port, 0 = any free one (default %(default)s)")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="simulated seconds per real second, 0 = time moves by control calls only (default %(default)s)",
    )
    parser.add_argument(
        "--start",
        type=instant,
        default=None,
        metavar="TIME",
        help="ISO 8601 time with zone at which a simulator without an earlier state begins (default: now)",
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
    parser.add_argument(
        "--fault",
        type=document,
        action="append",
        default=[],
        metavar="JSON",
        help='a fault as POST /_control/faults takes it, may be repeated: {"kind": "throttling", "rate": 0.1}',
    )
    parser.add_argument(
        "--usage",
        type=document,
        action="append",
        default=[],
        metavar="JSON",
        help="a usage rule as POST /_control/usage takes it, may be repeated",
    )
    parser.add_argument(
        "--limits", choices=("off", "real", "simulated"), default="off", help="rate limits, and by which clock"
    )


def instant(text: str) -> float:
    """Read a time; argparse shows the ValueError as a usage error."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.timestamp()


def document(text: str) -> dict[str, Any]:
    """Read a JSON object; argparse shows the ValueError as a usage error."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found


def duration(text: str) -> tuple[str, float]:
    """Read `PENDING=20`; argparse shows the ValueError as a usage error."""
    state, _, seconds = text.partition("=")
    if state not in DURATIONS or not float(seconds) >= 0:
        raise ValueError(text)
    return state, float(seconds)


def run(options: Mapping[str, Any]) -> int:
    """Serve with the options of `add_arguments` until SIGINT or SIGTERM; 1 if it cannot start."""
    simulator = Simulator(
        host=options["host"],
        port=options["port"],
        speed=options["speed"],
        start=options["start"],
        state_file=options["state_file"],
        durations=dict(options["duration"]),
    )
    finished = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: finished.set())
    try:
        simulator.start()
        _prepare(simulator.control, options)
    except (OSError, ValueError, ControlError, StateFileInUseError, StateFileUnknownError) as error:
        sys.stderr.write(f"The AWS simulator cannot start: {error}\n")
        return 1
    sys.stdout.write(f"AWS simulator on {simulator.url}\n")
    sys.stdout.flush()  # somebody who reads it through a pipe waits for this line
    finished.wait()
    simulator.stop()
    return 0


def _prepare(control: Control, options: Mapping[str, Any]) -> None:
    for fault in options["fault"]:
        control.fault(**{"kind": ""} | fault)
    for rule in options["usage"]:
        if "pattern" not in rule:
            raise ValueError("A usage rule needs a pattern, null for none.")
        control.declare_usage(**rule)
    if options["limits"] != "off":
        control.limit(enabled=True, clock=options["limits"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workspaces.simulator", description=__doc__)
    add_arguments(parser)
    return run(vars(parser.parse_args(arguments)))
