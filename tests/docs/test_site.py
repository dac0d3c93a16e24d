"""The site is built without a network, asks no other host for anything, and its reference is that of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from docs.site import alerts, api, commands, problems, settings, states
from forge.env import BASE_DIR
from tests.ops.test_alerts import ALERTS
from workspaces.lifecycle import TABLE, Event, State

NO_NETWORK = """
import socket
def refuse(*arguments, **named):
    raise OSError("the build asked for a network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
ROOMS = ("forge", "audit", "blueprints", "workspaces", "costs", "budgets")


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the build where nothing can be connected to."""
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FORGE_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-m", "docs.site", str(folder / "site"), *arguments],
        cwd=BASE_DIR, env=environment | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Page(HTMLParser):
    """What a page fetches, where it leads, and which places it has."""

    FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
               "embed": "src", "object": "data", "image": "href", "use": "href"}  # fmt: skip
    LINKS = {
        "stylesheet",
        "icon",
        "shortcut icon",
        "preload",
        "prefetch",
        "preconnect",
        "dns-prefetch",
        "modulepreload",
    }

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.leads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given["id"]} if "id" in given else set()
        if tag == "link" and given.get("rel", "") in self.LINKS:
            self.fetched.append(given.get("href", ""))
        elif tag == "a":
            self.leads.append(given.get("href", ""))
        elif given.get(self.FETCHED.get(tag, "")):
            self.fetched.append(given[self.FETCHED[tag]])
        self.fetched += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.fetched += re.findall(r"url\(([^)]*)\)", given.get("style", ""))


@pytest.mark.whole
@pytest.mark.xdist_group("docs-site")
def test_no_page_asks_another_host_for_anything(site: Path):
    for path in sorted(site.rglob("*.html")):
        for address in Page(path).fetched:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), f"{path.name}: {address}"
            assert not parts.netloc, f"{path.name}: {address}"
            is_there = not parts.path or (path.parent / unquote(parts.path)).is_file()
            assert parts.scheme == "data" or is_there, f"{path.name}: {address}"
    for path in site.rglob("*.css"):
        asked = re.findall(r"""@import\s+["']([^"']*)|url\(["']?([^)"']*)""", path.read_text())
        assert not [one for found in asked for one in found if re.match(r"(https?:)?//", one)], path.name


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="{}"></script>',
        '<link rel="stylesheet" href="{}">',
        '<link rel="preconnect" href="{}">',
        '<link href="{}" rel="icon">',
        '<img alt="" src="{}">',
        '<img alt="" srcset="{} 2x">',
        '<svg><use href="{}"/></svg>',
        '<p style="background: url({})">',
        "<iframe src='{}'></iframe>",
    ],
)
def test_whatever_a_page_fetches_is_seen(tag: str, tmp_path: Path):
    path = tmp_path / "page.html"
    path.write_text(tag.format("https://cdn.example.com/x"))
    assert Page(path).fetched == ["https://cdn.example.com/x"]


@pytest.mark.whole
@pytest.mark.xdist_group("docs-site")
def test_every_link_within_the_site_leads_somewhere(site: Path):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for address in page.leads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].places, f"{path.name}: {address}"


@pytest.mark.whole
@pytest.mark.xdist_group("docs-site")
def test_every_alert_leads_to_its_runbook_and_every_request_has_its_place(site: Path):
    runbooks = Page(site / "runbooks.html").places
    for rule in ALERTS.values():
        page, _, place = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbooks.md"
        assert place in runbooks
    document = yaml.load((BASE_DIR / "docs/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    for path, methods in document["paths"].items():
        for method in methods.keys() & set(api.METHODS):
            [tag] = methods[method]["tags"]
            text = (site / f"reference/made/api-{tag}.html").read_text()
            assert f"{method.upper()} {path}" in text
            for parameter in methods[method].get("parameters", ()):
                assert f">{parameter['name']}<" in text, f"{method} {path} {parameter['name']}"


@pytest.mark.whole
@pytest.mark.xdist_group("docs-site")
def test_the_search_index_is_a_file_of_the_site(site: Path):
    text = (site / "searchindex.js").read_text()
    assert text.startswith("Search.setIndex(")
    assert "quarantin" in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# Page\n\n[there](nowhere.md)\n", "nowhere.md"),
        ("# Page\n\n[there](#no-such-place)\n", "no-such-place"),
        ("# Page\n\n![picture](nothing.png)\n", "nothing.png"),
    ],
)
def test_what_leads_nowhere_fails_the_build(text: str, complaint: str, tmp_path: Path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text(text)
    done = build(tmp_path, "--source", str(source))
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr


def test_the_reference_has_every_command_of_the_code():
    files = {path.stem for path in BASE_DIR.glob("**/management/commands/[a-z]*.py") if ".venv" not in path.parts}
    assert set(commands.own()) == files
    page = commands.page()
    for name, command in commands.own().items():
        assert f"\n## {name}\n" in page
        for option in command.create_parser("manage.py", name)._option_string_actions.values():
            assert option.dest in commands._OF_DJANGO or option.option_strings[-1] in page


def test_the_reference_has_every_setting_that_is_read_and_all_are_explained():
    read = {one.name for one in settings.read()}
    text = (BASE_DIR / "forge/settings.py").read_text()
    assert read >= set(re.findall(r'(?:env\.\w+|_database|rate|networks|folder)\(\s*"([A-Z_]+)"', text))
    assert read <= settings.explained().keys()


def test_the_reference_has_every_code_that_stands_in_the_code():
    files = [path for room in ROOMS for path in (BASE_DIR / room).rglob("*.py") if "simulator" not in path.parts]
    told = {code for _, code in problems.codes()}
    for path in files:
        for name in re.findall(r'^    code = "(\w+)"$', path.read_text(), re.MULTILINE):
            assert name in told, f"{path}: {name}"


def test_the_reference_has_every_figure_that_a_rule_asks_for():
    told = {*alerts.of_the_database(), *alerts.of_processes()}
    text = "\n".join(rule["expr"] for rule in ALERTS.values())
    asked = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"forge_[a-z_]+", text)}
    assert asked <= told


def test_the_drawing_has_every_state_and_every_move_that_is_not_only_seen():
    drawing = states.drawing()
    assert all(f">{state.value}<" in drawing for state in State)
    left = set(TABLE) - set(states.drawn())
    assert {move.event for move in left} == {Event.SEEN}
    assert drawing.count('class="move"') == len(states.drawn())
