"""What the documents tell people to run and no test machine can, or never ends: what is looked at instead, and why.

Whatever no line of this table takes is run as it stands.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import yaml
from celery.bin.celery import celery
from django.core.management import get_commands, load_command_class

from forge.env import BASE_DIR
from forge.schedule import TASK_QUEUES

MAKEFILE = (BASE_DIR / "Makefile").read_text()
MANIFESTS = "\n---\n".join(
    path.read_text()
    for path in sorted((BASE_DIR / "ops/kubernetes").rglob("*.yaml"))
    if path.name != "kustomization.yaml"
)


@dataclass(frozen=True)
class Elsewhere:
    """Commands that begin like this are not run, because …; `holds` asserts that one can be right."""

    begins: str
    because: str
    holds: Callable[[list[str]], None]

    def takes(self, command: str) -> bool:
        return re.match(self.begins, command) is not None


def is_a_target(words: list[str]) -> None:
    [target, *assigned] = words[1:]
    assert re.search(rf"^{re.escape(target)}:.*##", MAKEFILE, re.MULTILINE), f"make has no target {target}"
    for name in (word.partition("=")[0] for word in assigned):
        assert f"$({name})" in MAKEFILE, f"the Makefile does not read {name}"


def is_a_program_of_ours(words: list[str]) -> None:
    """What is run inside of an image: a management command that its parser takes, or a module with these options."""
    if "manage.py" in words:
        name, *arguments = words[words.index("manage.py") + 1 :]
        assert name in get_commands(), f"there is no command {name}"
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.called_from_command_line = False  # it raises CommandError then, instead of ending the process
        parser.parse_args(arguments)
    elif "-m" in words:
        module, *arguments = words[words.index("-m") + 1 :]
        assert importlib.util.find_spec(module), f"there is no module {module}"
        usage = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=BASE_DIR, capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        for option in (word for word in arguments if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}\b", usage), f"{module} has no {option}"


def is_ours_for_docker(words: list[str]) -> None:
    is_a_program_of_ours(words)
    for option, name in itertools.pairwise(words):
        if option == "-f":
            assert (BASE_DIR / name).is_file(), name
    if words[1:2] == ["compose"] and "exec" in words:
        services = yaml.safe_load((BASE_DIR / "compose.yaml").read_text())["services"]
        assert words[words.index("exec") + 1] in services
    assert words[1] != "build" or (BASE_DIR / "Dockerfile").is_file()


def is_ours_for_kubernetes(words: list[str]) -> None:
    is_a_program_of_ours(words)
    for option, name in itertools.pairwise(words):
        assert option != "-f" or (BASE_DIR / name).is_file(), name
    objects = {(one["kind"].lower(), one["metadata"]["name"]) for one in yaml.safe_load_all(MANIFESTS) if one}
    for word in words:
        kind, slash, name = word.partition("/")
        if slash and kind in {"job", "deployment"}:
            assert (kind, name) in objects, word
    if "-k" in words:
        assert (BASE_DIR / words[words.index("-k") + 1] / "kustomization.yaml").is_file()


def is_a_process_of_ours(words: list[str]) -> None:
    if "-Q" in words:
        assert set(words[words.index("-Q") + 1].split(",")) <= {queue.name for queue in TASK_QUEUES}
    if "-A" in words:
        at = words.index("-A")
        assert (BASE_DIR / words[at + 1] / "celery.py").is_file()
        [name, *arguments] = words[at + 2 :]
        assert name in celery.commands, f"celery has no command {name}"
        known = {option for parameter in celery.commands[name].params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("-")} <= known
    else:
        assert words[1] == "forge.wsgi"


TABLE = [
    Elsewhere(
        r"make \w", "the demo runs already; the other targets are steps of .ci/run, or take minutes", is_a_target
    ),
    Elsewhere(r"docker ", "no Docker here; tests/ops/test_deployment.py judges the files", is_ours_for_docker),
    Elsewhere(
        r"kubectl ", "no cluster here; tests/ops/test_deployment.py judges the manifests", is_ours_for_kubernetes
    ),
    Elsewhere(
        r"\.venv/bin/(gunicorn|celery) ",
        "it never ends; the demo beside which all else runs has each",
        is_a_process_of_ours,
    ),
]


def of(command: str) -> Elsewhere | None:
    """The line of the table that takes this command."""
    return next((line for line in TABLE if line.takes(command.strip())), None)


def words_of(command: str) -> list[str]:
    return shlex.split(command, comments=True)
