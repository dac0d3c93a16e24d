"""Every change that people make to machines."""

from workspaces.services.changing import modify
from workspaces.services.connecting import Access, connect, show_access
from workspaces.services.control import Accepted, start, stop, terminate
from workspaces.services.extending import extend
from workspaces.services.keeping import keep_alive
from workspaces.services.launching import LaunchAnswer, launch
from workspaces.services.leasing import lease
from workspaces.services.many import BulkAnswer, bulk
from workspaces.services.mending import reboot, rebuild, restore
from workspaces.services.moving import Moved, move
from workspaces.services.tagging import Tagged, tag

__all__ = [
    "Accepted",
    "Access",
    "BulkAnswer",
    "LaunchAnswer",
    "Moved",
    "Tagged",
    "bulk",
    "connect",
    "extend",
    "keep_alive",
    "launch",
    "lease",
    "modify",
    "move",
    "reboot",
    "rebuild",
    "restore",
    "show_access",
    "start",
    "stop",
    "tag",
    "terminate",
]
