"""What the documents tell people to run and no test machine can, or never ends: what is looked at instead, and why.

Whatever no line of this table takes is run as it stands.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import yaml

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


def is_ours_for_docker(words: list[str]) -> None:
    for option, name in itertools.pairwise(words):
        if option == "-f":
            assert (BASE_DIR / name).is_file(), name
    if words[1:2] == ["compose"] and "exec" in words:
        services = yaml.safe_load((BASE_DIR / "compose.yaml").read_text())["services"]
        assert words[words.index("exec") + 1] in services
    assert words[1] != "build" or (BASE_DIR / "Dockerfile").is_file()


def is_ours_for_kubernetes(words: list[str]) -> None:
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
        assert (BASE_DIR / words[words.index("-A") + 1] / "celery.py").is_file()
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
