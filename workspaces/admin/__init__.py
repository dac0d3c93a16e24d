"""The console's pages of this room."""

from workspaces.admin.machines import ProviderAccountAdmin, StateChangeAdmin, WorkSpaceAdmin

__all__ = ["ProviderAccountAdmin", "StateChangeAdmin", "WorkSpaceAdmin"]
