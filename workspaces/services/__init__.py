"""Every change that people make to machines."""

from workspaces.services.control import Accepted, keep_alive, start, stop, terminate
from workspaces.services.launching import LaunchAnswer, launch

__all__ = ["Accepted", "LaunchAnswer", "keep_alive", "launch", "start", "stop", "terminate"]
