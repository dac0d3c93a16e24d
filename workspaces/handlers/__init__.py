"""What carries out operations on machines: one handler per kind, named in FORGE_OPERATION_HANDLERS."""

from workspaces.handlers.adopting import adopt_fleet
from workspaces.handlers.applications import LaunchOfApplications
from workspaces.handlers.changing import Modify
from workspaces.handlers.launching import Launch
from workspaces.handlers.many import Bulk
from workspaces.handlers.mending import Reboot, Rebuild, Restore
from workspaces.handlers.pausing import StopUnlessPaused, TerminateUnlessPaused
from workspaces.handlers.power import Start
from workspaces.handlers.tagging import Tag

__all__ = [
    "adopt_fleet",
    "bulk",
    "launch",
    "modify",
    "reboot",
    "rebuild",
    "restore",
    "start",
    "stop",
    "tag",
    "terminate",
]

bulk = Bulk()
launch = Launch(applications=LaunchOfApplications())
modify = Modify()
reboot = Reboot()
rebuild = Rebuild()
restore = Restore()
start = Start()
stop = StopUnlessPaused()
tag = Tag()
terminate = TerminateUnlessPaused()
