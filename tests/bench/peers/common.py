"""What the sides' settings and processes share."""

from __future__ import annotations

import os
from typing import Any

import environ
from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections


def schema_of(side: str) -> str:
    """Where the side's own tables lie: `with_auditlog` has `bench_with_auditlog`."""
    return f"bench_{side}"


def looking_at(config: dict[str, Any], *schemas: str) -> dict[str, Any]:
    """The database of the configuration, with these schemas in its search path."""
    given = config.get("OPTIONS", {})
    options = f"{given.get('options', '')} -c search_path={','.join(schemas)}".strip()
    return {**config, "OPTIONS": {**given, "options": options}}


def database(side: str) -> dict[str, Any]:
    """A peer's DATABASES: the benchmark's database as its owner, with nothing but the side's own schema."""
    config = environ.Env.db_url_config(os.environ["DATABASE_OWNER_URL"])
    return {DEFAULT_DB_ALIAS: looking_at(dict(config), schema_of(side))}


def make_tables(side: str, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the tables of the side's app, which has no migrations."""
    with connections[using].schema_editor() as editor:
        for model in apps.get_app_config(side).get_models():
            editor.create_model(model)
