"""The input of every operation that the simulator knows; a test compares each line with botocore's own model."""

from workspaces.simulator.inputs.applications import APPLICATIONS
from workspaces.simulator.inputs.cloudwatch import CLOUDWATCH
from workspaces.simulator.inputs.directories import DIRECTORIES
from workspaces.simulator.inputs.machines import MACHINES
from workspaces.simulator.inputs.sts import STS
from workspaces.simulator.inputs.tags import TAGGING, TAGS

BATCH = 25
WORKSPACES = MACHINES | DIRECTORIES | TAGS

__all__ = ["APPLICATIONS", "BATCH", "CLOUDWATCH", "STS", "TAGGING", "WORKSPACES"]
