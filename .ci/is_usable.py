"""Exit with 0 if the PostgreSQL of the given address is 15 or newer, lets us be superuser and has 300 connections."""

import sys

import psycopg

with psycopg.connect(sys.argv[1], connect_timeout=3) as connection:
    ((is_superuser, connections),) = connection.execute(
        "SELECT rolsuper, current_setting('max_connections')::int FROM pg_roles WHERE rolname = current_user"
    ).fetchall()
    sys.exit(not (is_superuser and connections >= 300 and connection.info.server_version >= 150000))
