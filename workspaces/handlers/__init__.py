"""What carries out operations on machines: one handler per kind, named in FORGE_OPERATION_HANDLERS."""

from workspaces.handlers.adopting import adopt_fleet
from workspaces.handlers.applications import LaunchOfApplications
from workspaces.handlers.launching import Launch
from workspaces.handlers.power import Start, Stop, Terminate

__all__ = ["adopt_fleet", "launch", "start", "stop", "terminate"]

launch = Launch(applications=LaunchOfApplications())
start = Start()
stop = Stop()
terminate = Terminate()
