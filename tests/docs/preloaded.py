"""Runs `manage.py` in a fork of a process that has imported everything, so that a page of ten commands takes seconds.

`serve(path)` waits at a socket; `client(path, interpreter)` is the text of a program that stands where a reader's
`.venv/bin/python` stands. It hands over its arguments, folder, environment and the three standard files, and ends with
the command's status. What is not `manage.py`, or has settings of its own, it gives to the interpreter itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

SETTINGS = ("FORGE_", "DATABASE_", "REDIS_", "AWS_", "SECRET_", "DEBUG", "ALLOWED_", "EMAIL_", "DJANGO_", "PG")

_CLIENT = """#!{interpreter} -IS
import json, os, socket, sys

SETTINGS = {settings!r}
mine = {{name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}}
if sys.argv[1:2] != ["manage.py"] or mine != {given!r}:
    os.execv({interpreter!r}, [{interpreter!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    asked = json.dumps({{"argv": sys.argv[1:], "cwd": os.getcwd(), "environ": dict(os.environ)}}).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.makefile().read() or 70))
"""


def given(environment: dict[str, str]) -> dict[str, str]:
    """What of an environment decides about settings."""
    return {name: value for name, value in environment.items() if name.startswith(SETTINGS)}


def client(path: Path, interpreter: str, environment: dict[str, str]) -> str:
    return _CLIENT.format(interpreter=interpreter, settings=SETTINGS, given=given(environment), path=str(path))


def serve(path: str) -> None:
    """Answer until the parent ends; each command is a fork, so none sees what another left behind."""
    import django  # noqa: PLC0415  (the client reads this file's constants, and needs no Django)

    os.environ["DJANGO_SETTINGS_MODULE"] = "forge.settings"
    django.setup()
    from django.core.checks import run_checks  # noqa: PLC0415
    from django.core.management import get_commands, load_command_class  # noqa: PLC0415

    for name in ("audit_verify", "export_focus", "import_bill", "doctor", "cost_report", "rollover_partitions"):
        load_command_class(get_commands()[name], name)
    run_checks()  # imports the addresses of the whole house
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        while True:
            asking, _ = listening.accept()
            with asking:
                if os.fork() == 0:
                    listening.close()
                    _run(asking)


def _run(asking: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(asking, 8, 3)
    with asking.makefile("rb") as reading:
        asked = json.loads(reading.read(int.from_bytes(size, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv = asked["argv"]
    status: object = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001  (as the interpreter does with what nobody caught)
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    asking.sendall(str(int(status or 0)).encode())
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
