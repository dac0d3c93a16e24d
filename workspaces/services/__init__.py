"""Every change that people make to machines."""

from workspaces.services.control import Accepted, start, stop, terminate, terminate_due
from workspaces.services.keeping import keep_alive
from workspaces.services.launching import LaunchAnswer, launch

__all__ = ["Accepted", "LaunchAnswer", "keep_alive", "launch", "start", "stop", "terminate", "terminate_due"]
