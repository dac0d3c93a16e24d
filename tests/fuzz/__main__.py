"""`python -m tests.fuzz [CASES]`: schemathesis against a demo, told by docs/openapi.yaml.

The demo that runs here is asked, else one of its own. As an admin everything but what would lock this admin out; that
as an engineer. Then walks as the admin, from row to row along the links that the document's names imply.
The status is schemathesis's: 1 where an answer was a 5xx, or other than the document says.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.demo import Demo

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOME = ROOT / ".forge" / "fuzz"
OPERATIONS = 154  # about as many as the document has: cases are asked for by the operation
CASES_FOR_A_WALK = 600
"""A walk is over when rows that others changed turn up in it again, after some hundred requests; so there are many."""
SCENARIOS_AT_MOST = 200  # of a walk
LOCKS_OUT = ("/api/v1/tokens/{id}/revoke/", "/api/v1/members/{id}/")


def main(cases: int) -> int:
    each = max(1, cases // OPERATIONS)
    everything = [option for path in LOCKS_OUT for option in ("--exclude-path", path)]
    rest = [option for path in LOCKS_OUT for option in ("--include-path", path)]
    with _demo() as demo:
        url, tokens = demo.facts["base_url"], {user["role"]: user["api_token"] for user in demo.facts["users"]}
        each_alone = ["--phases", "examples,coverage,fuzzing"]
        walks = max(1, cases // CASES_FOR_A_WALK)
        return max(
            _run(url, tokens["admin"], each, [*each_alone, *everything]),
            _run(url, tokens["engineer"], each, [*each_alone, *rest]),
            *(
                _run(url, tokens["admin"], SCENARIOS_AT_MOST, ["--phases", "stateful", *everything])
                for _ in range(walks)
            ),
        )


@contextlib.contextmanager
def _demo() -> Iterator[Demo]:
    running = Demo(ROOT / ".forge")
    if running.is_ready():
        yield running
        return
    # Not below .forge: under root PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="forge-fuzz-") as home:
        Path(home).chmod(0o711)
        with Demo(Path(home)) as own:
            yield own


def _run(url: str, token: str, each: int, options: list[str]) -> int:
    command = [
        _schemathesis(), "--config-file", HERE / "schemathesis.toml", "run", ROOT / "docs" / "openapi.yaml",
        "--url", url, "--header", f"Authorization: Bearer {token}", "--checks", "all", "--max-examples", str(each),
        "--continue-on-failure", "--warnings", "off", "--request-timeout", "60", *options,
    ]  # fmt: skip
    hooks = {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "hooks"}
    return subprocess.run([str(word) for word in command], cwd=HOME, env=os.environ | hooks, check=False).returncode


def _schemathesis() -> Path:
    """The program, in an environment of its own that is made once."""
    program = HOME / "venv" / "bin" / "schemathesis"
    if not program.exists():
        venv.create(HOME / "venv", with_pip=True)
        pip = [HOME / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
    return program


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000))
