"""What AWS offers to stream: the stacks of an account that are marked for an organization, as a catalogue.

A stack is marked by its tag `forge:organization`, whose value is the organization's slug; whoever may tag stacks in the
AWS account decides who gets them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from workspaces.aws.calling import PagedCaller
from workspaces.aws.clients import client_of
from workspaces.aws.faults import NotFound, reading_tags
from workspaces.aws.patience import Patience
from workspaces.aws.shapes import Place
from workspaces.aws.sizes import BUNDLE_OF_INSTANCE, system_of

ORGANIZATION_TAG = "forge:organization"

TRANSFERS = (
    "CLIPBOARD_COPY_FROM_LOCAL_DEVICE",
    "CLIPBOARD_COPY_TO_LOCAL_DEVICE",
    "FILE_UPLOAD",
    "FILE_DOWNLOAD",
    "PRINTING_TO_LOCAL_DEVICE",
)
"""The user settings of a stack by which data passes between a session and the person's own device."""


@dataclass(frozen=True)
class Stack:
    """A stack with its fleet and the applications that can be streamed from it, by their names in AWS.

    `bundle_type` is empty for an instance type that is as large as no bundle, `fleet_state` one of AWS's FleetState.
    """

    name: str
    fleet_name: str
    fleet_type: str
    fleet_state: str
    instance_type: str
    bundle_type: str
    operating_system: str
    application_ids: tuple[str, ...]


class StackCatalogue(PagedCaller):
    """The stacks of one account and region."""

    circuit = "appstream"

    def __init__(
        self, place: Place, *, before_call: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> None:
        super().__init__(place, before_call=before_call, patience=patience)
        self._tagging = client_of(place, settings.AWS_ENDPOINT_URL, "resourcegroupstaggingapi")
        self._client = client_of(place, settings.AWS_ENDPOINT_URL, "appstream")

    def offered_to(self, slug: str) -> list[Stack]:
        """The stacks that are marked for an organization and have a fleet, by name."""
        found = []
        for name in sorted(self._marked(slug)):
            with suppress(NotFound):  # the tags of what was deleted just now are still told
                found.append(self._stack(name))
        return [stack for stack in found if stack is not None]

    def transfers(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The TRANSFERS that are not DISABLED, by stack; what AWS does not show is allowed, as by its default.

        A stack that AWS does not have is left out.
        """
        found: dict[str, tuple[str, ...]] = {}
        for row in self._described(list(names)):
            permissions = {one["Action"]: one["Permission"] for one in row.get("UserSettings", ())}
            found[row["Name"]] = tuple(name for name in TRANSFERS if permissions.get(name) != "DISABLED")
        return found

    def close(self, name: str) -> None:
        """Ask AWS to disable every one of the TRANSFERS of a stack; its other user settings are sent as they are.

        AWS does not say whether UpdateStack leaves alone what it is not sent.
        """
        rows = self._pages("describe_stacks", "Stacks", Names=[name])
        shown = {one["Action"]: one for row in rows for one in row.get("UserSettings", ())}
        wanted = shown | {action: {"Action": action, "Permission": "DISABLED"} for action in TRANSFERS}
        with self._call():
            self._client.update_stack(Name=name, UserSettings=list(wanted.values()))

    def _described(self, names: list[str]) -> list[Mapping[str, Any]]:
        """The stacks of these names that there are: AWS refuses the whole question for one that is not there."""
        if not names:
            return []
        try:
            return list(self._pages("describe_stacks", "Stacks", Names=names))
        except NotFound:
            middle = len(names) // 2
            return self._described(names[:middle]) + self._described(names[middle:]) if middle else []

    def _marked(self, slug: str) -> set[str]:
        filters = [{"Key": ORGANIZATION_TAG, "Values": [slug]}]
        names: set[str] = set()
        token = ""
        while True:
            with reading_tags():
                answer = self._look(
                    self._tagging.get_resources,
                    TagFilters=filters,
                    ResourceTypeFilters=["appstream:stack"],
                    PaginationToken=token,
                )
            names |= {row["ResourceARN"].rpartition("/")[2] for row in answer["ResourceTagMappingList"]}
            token = answer.get("PaginationToken", "")
            if not token:
                return names

    def _stack(self, name: str) -> Stack | None:
        fleets = list(self._pages("list_associated_fleets", "Names", StackName=name))
        fleet = next(iter(self._pages("describe_fleets", "Fleets", Names=fleets[:1])), None) if fleets else None
        if fleet is None:
            return None
        platform, application_ids = self._contents(fleet)
        return Stack(
            name=name,
            fleet_name=fleet["Name"],
            fleet_type=fleet.get("FleetType", ""),
            fleet_state=fleet["State"],
            instance_type=fleet["InstanceType"],
            bundle_type=BUNDLE_OF_INSTANCE.get(fleet["InstanceType"], ""),
            operating_system=system_of(platform),
            application_ids=tuple(sorted(application_ids)),
        )

    def _contents(self, fleet: Mapping[str, Any]) -> tuple[str, set[str]]:
        """Platform and applications: of an Elastic fleet those associated with it, else those of its image."""
        if fleet.get("FleetType") == "ELASTIC":
            joined = self._pages(
                "describe_application_fleet_associations", "ApplicationFleetAssociations", FleetName=fleet["Name"]
            )
            arns = [row["ApplicationArn"] for row in joined]
            rows = list(self._pages("describe_applications", "Applications", Arns=arns)) if arns else []
            return fleet.get("Platform", ""), {row["Name"] for row in rows if row.get("Enabled", True)}
        image = next(iter(self._pages("describe_images", "Images", Names=[fleet["ImageName"]])), None)
        if image is None:
            return "", set()
        return image.get("Platform", ""), {row["Name"] for row in image.get("Applications", ())}
