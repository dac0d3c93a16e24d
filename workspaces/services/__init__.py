"""Every change that people make to machines."""

from workspaces.services.control import Accepted, start, stop, terminate
from workspaces.services.extending import extend
from workspaces.services.keeping import keep_alive
from workspaces.services.launching import LaunchAnswer, launch
from workspaces.services.leasing import lease

__all__ = ["Accepted", "LaunchAnswer", "extend", "keep_alive", "launch", "lease", "start", "stop", "terminate"]
