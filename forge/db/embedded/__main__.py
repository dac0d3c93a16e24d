"""`python -m forge.db.embedded -- COMMAND…` runs a command with an empty embedded PostgreSQL that lives only as long.

The command finds it in DATABASE_URL (the application's role) and DATABASE_OWNER_URL (the owner's).
"""

import os
import shutil
import subprocess
import sys

from forge.db.embedded.postgres import APP, OWNER, EmbeddedPostgres
from forge.db.embedded.processes import temporary_folder

DATABASE = "forge"


def main(command: list[str]) -> int:
    folder = temporary_folder("forge-embedded-")
    postgres = EmbeddedPostgres(folder / "postgres", database=DATABASE, durable=False)
    try:
        postgres.start()
        urls = {"DATABASE_URL": postgres.url(APP, DATABASE), "DATABASE_OWNER_URL": postgres.url(OWNER, DATABASE)}
        return subprocess.run(command, env=os.environ | urls, check=False).returncode
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] != ["--"] or len(sys.argv) < 3:
        sys.exit("usage: python -m forge.db.embedded -- COMMAND [ARGUMENT…]")
    sys.exit(main(sys.argv[2:]))
