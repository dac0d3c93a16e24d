"""The management commands, each with what its own parser says."""

from __future__ import annotations

import argparse
from pathlib import Path

from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from docs.site.text import block, literal, plain, table
from forge.env import BASE_DIR

_OF_DJANGO = {"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color"}
_OF_DJANGO |= {"skip_checks"}


def own() -> dict[str, BaseCommand]:
    """Every command that stands in this repository, by name."""
    rooms = {app.name for app in apps.get_app_configs() if Path(app.path).is_relative_to(BASE_DIR)}
    rooms = {name for name in rooms if ".venv" not in apps.get_app_config(apps_label(name)).path}
    return {name: load_command_class(room, name) for name, room in sorted(get_commands().items()) if room in rooms}


def apps_label(name: str) -> str:
    return next(app.label for app in apps.get_app_configs() if app.name == name)


def page() -> str:
    parts = [
        "# Management commands",
        (
            "Each does what the job of its name does, in the foreground: `--dry-run` changes nothing, `--json`"
            " prints one document, and the exit code is not 0 where it found a fault. Django's own options"
            " (`--verbosity`, `--settings` and the like) hold for all of them and are left out here."
        ),
    ]
    for name, command in own().items():
        parser = command.create_parser("manage.py", name)
        options = [
            action for action in parser._actions if action.dest not in _OF_DJANGO and action.help != argparse.SUPPRESS
        ]
        parts += [f"## {name}", plain(" ".join(str(command.help).split())), block(_usage(name, options))]
        parts.append(table(("Option", "What it does"), [(_names(option), _told(option)) for option in options]))
    return "\n\n".join(parts) + "\n"


def _usage(name: str, options: list[argparse.Action]) -> str:
    words = []
    for option in options:
        word = " ".join(filter(None, [option.option_strings[-1] if option.option_strings else "", _value(option)]))
        words.append(word if option.required else f"[{word}]")
    return f"manage.py {name} " + " ".join(words)


def _value(option: argparse.Action) -> str:
    if option.nargs == 0:
        return ""
    if option.choices:
        return "{" + ",".join(map(str, option.choices)) + "}"
    names = option.metavar if isinstance(option.metavar, str) else None
    return names or option.dest.upper()


def _names(option: argparse.Action) -> str:
    shown = option.option_strings or [option.dest]
    return ", ".join(literal(f"{name} {_value(option)}".strip()) for name in shown)


def _told(option: argparse.Action) -> str:
    text = (
        plain(" ".join(str(option.help or "").split())).replace("%%", "%").replace("%(default)s", str(option.default))
    )
    if option.required:
        return f"{text} (required)".strip()
    if option.nargs != 0 and option.default not in (None, "", []):
        return f"{text} (default {literal(option.default)})".strip()
    return text
