"""The one face of both services of AWS: what operations and reconcile ask of either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from workspaces.aws.applications import ApplicationsGateway
from workspaces.aws.gateway import Gateway
from workspaces.aws.shapes import Connection, Known, Machine, NewMachine, Place
from workspaces.capabilities import Capabilities


class Provider(Protocol):
    """Machines in one account and region; raises only the family of `workspaces.aws.faults`.

    A machine of WorkSpaces Personal is known by its WorkspaceId, its directory and the user there; one of WorkSpaces
    Applications by `stack/user`, its stack and the user of the user pool.
    """

    capabilities: Capabilities

    def find(self, *, directory_id: str, user_name: str) -> Machine | None:
        """The machine of a user that has not ended."""

    def describe(self, provider_ids: Sequence[str]) -> dict[str, Machine]:
        """The machines with these ids, by id; what is gone is left out."""

    def look(self, known: Known) -> Machine | None:
        """One machine; None only when AWS surely has none."""

    def has_place(self, directory_id: str) -> bool:
        """Whether AWS shows the directory, or stack, in which machines stand: then it was asked in the right place."""

    def account_number(self) -> str:
        """The number of the AWS account that answers, whatever account it should be."""

    def connections(self, provider_ids: Sequence[str]) -> dict[str, Connection]:
        """Who is connected, by id."""

    def create(self, wanted: NewMachine) -> Machine:
        """Ask for a machine; harmless to repeat after a look."""

    def start(self, provider_id: str) -> None:
        """Ask a stopped machine to start."""

    def stop(self, provider_id: str) -> None:
        """Ask a running machine to stop."""

    def terminate(self, provider_id: str) -> None:
        """Ask for the end of a machine and all that is in it."""


def provider_of(
    service_type: str, place: Place, *, before_call: Callable[[], None] = lambda: None
) -> Gateway | ApplicationsGateway:
    """The gateway of a service in a place; `before_call` is called before each call, which may be slow."""
    gateways: dict[str, type[Gateway | ApplicationsGateway]] = {
        "WORKSPACES_PERSONAL": Gateway,
        "WORKSPACES_APPLICATIONS": ApplicationsGateway,
    }
    return gateways[service_type](place, before_call=before_call)
