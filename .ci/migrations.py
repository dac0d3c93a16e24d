"""Migrate the database of DATABASE_OWNER_URL forwards, back to zero and forwards again, and compare the catalogues.

After zero nothing of ours may be left (Django's own record of migrations excepted), and the second way forwards must
end where the first did.
"""

import os
import sys

import django
import psycopg
from django.apps import apps
from django.core.management import call_command

QUERIES = {
    "schema": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'",
    "relation": "SELECT n.nspname, relname, relkind::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE n.nspname !~ '^pg_(toast|temp)'",
    "column": "SELECT table_name::text, column_name::text, data_type::text, column_default, is_nullable::text"
    " FROM information_schema.columns WHERE table_schema = 'public'",
    "type": "SELECT n.nspname, typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace"
    " WHERE n.nspname !~ '^pg_(toast|temp)'",
    "function": "SELECT n.nspname, p.oid::regprocedure::text FROM pg_proc p"
    " JOIN pg_namespace n ON n.oid = pronamespace",
    "trigger": "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal",
    "constraint": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint",
    "index": "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
    " WHERE indrelid::regclass::text !~ '^pg_toast'",
    "extension": "SELECT extname FROM pg_extension",
}


def catalogue() -> set[tuple]:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        found = {(kind, *row) for kind, query in QUERIES.items() for row in connection.execute(query).fetchall()}
    return {item for item in found if not any("django_migrations" in str(part) for part in item)}


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments, interactive=False, verbosity=0)


def complain(title: str, items: set[tuple]) -> int:
    for item in sorted(items, key=str):
        print(f"{title}: {' '.join(str(part) for part in item)}")
    return len(items)


def main() -> int:
    django.setup()
    labels = [
        config.label for config in apps.get_app_configs() if os.path.isdir(os.path.join(config.path, "migrations"))
    ]
    empty = catalogue()
    migrate()
    first = catalogue()
    print(f"forwards: {len(first - empty)} objects in the catalogues")
    for label in reversed(labels):
        migrate(label, "zero")
    faults = complain("left behind by zero", catalogue() - empty)
    migrate()
    second = catalogue()
    faults += complain("only the first time", first - second) + complain("only the second time", second - first)
    print(f"zero and forwards again: {faults} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    sys.path.insert(0, os.getcwd())
    sys.exit(main())
