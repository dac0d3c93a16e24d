"""Every change that people make to machines."""

from workspaces.services.connecting import Access, connect, show_access
from workspaces.services.control import Accepted, start, stop, terminate, terminate_due
from workspaces.services.keeping import keep_alive
from workspaces.services.launching import LaunchAnswer, launch

__all__ = [
    "Accepted",
    "Access",
    "LaunchAnswer",
    "connect",
    "keep_alive",
    "launch",
    "show_access",
    "start",
    "stop",
    "terminate",
    "terminate_due",
]
