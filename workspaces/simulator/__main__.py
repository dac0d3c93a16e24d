import sys

from workspaces.simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
