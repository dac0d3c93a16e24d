"""`python -m docs.site FOLDER` builds the documentation there; any warning is a failure.

What stands in docs/ is copied beside the pages that are made from code, because Sphinx reads one tree, and a checkout
should not fill with files that nobody wrote.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import django
from sphinx.cmd.build import build_main

NEEDED = {
    "DEBUG": "true",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "DJANGO_SETTINGS_MODULE": "forge.settings",
}
"""Settings are read, and no database is asked."""

STRICT = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--fresh-env", "--write-all")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pages go")
    parser.add_argument(
        "--source", type=Path, help="a tree for Sphinx to read instead of the one made of docs/ and the code"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="forge-docs-") as made:
        return build(options.source or _source(Path(made) / "source"), options.folder, Path(made) / "doctrees")


def build(source: Path, folder: Path, doctrees: Path) -> int:
    """Have Sphinx build `source` into `folder` with docs/conf.py; not 0 when it warned of anything."""
    configuration = str(Path(__file__).parents[1])
    return build_main([*STRICT, "-b", "html", "-c", configuration, "-d", str(doctrees), str(source), str(folder)])


def _source(folder: Path) -> Path:
    os.environ.update(NEEDED)
    django.setup()
    from docs.site import pages  # noqa: PLC0415  (its parts import models)

    folder.mkdir()
    pages.write(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
