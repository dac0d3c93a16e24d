"""What carries out operations on machines: one handler per kind, named in FORGE_OPERATION_HANDLERS."""

from workspaces.handlers.applications import LaunchOfApplications
from workspaces.handlers.launching import Launch
from workspaces.handlers.power import Start, Stop, Terminate

__all__ = ["launch", "start", "stop", "terminate"]

launch = Launch(applications=LaunchOfApplications())
start = Start()
stop = Stop()
terminate = Terminate()
