"""`python -m forge.demo` runs the demo until Ctrl-C."""

import argparse
import os
import signal
import sys

from forge.db.embedded.processes import end_with_parent
from forge.demo.home import AlreadyRunning, Home
from forge.demo.runner import Demo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m forge.demo", description=__doc__)
    parser.add_argument("--empty", action="store_true", help="start without demo data")
    parser.add_argument("--clean", action="store_true", help="end what an earlier demo left and remove .forge/")
    options = parser.parse_args()
    follow_make()
    try:
        return clean() if options.clean else Demo(with_data=not options.empty).run()
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 1


def clean() -> int:
    home = Home()
    home.open()
    home.end_leftovers()
    home.remove()
    home.close()
    return 0


def follow_make() -> None:
    """Started by make, end when make ends, however it ends."""
    if "MAKELEVEL" in os.environ and (ask_kernel := end_with_parent(signal.SIGTERM, parent=os.getppid())):
        ask_kernel()


sys.exit(main())
