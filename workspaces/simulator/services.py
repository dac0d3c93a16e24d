"""The services that the simulator is: how each is addressed, signed and spoken to, and who answers its operations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workspaces.simulator import cloudwatch, directories, inputs, sts, tagging
from workspaces.simulator import operations as op
from workspaces.simulator.applications import associations, fleets, images, sessions, stacks, users
from workspaces.simulator.applications import tags as application_tags
from workspaces.simulator.create import create_workspaces
from workspaces.simulator.protocols import Json, Protocol, Query
from workspaces.simulator.shape import Structure
from workspaces.simulator.world import Place

Handler = Callable[[Place, float, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Service:
    """`signing_name` is what the credential scope of a call must name."""

    signing_name: str
    protocol: Protocol
    inputs: Mapping[str, Structure]
    handlers: Mapping[str, Handler]


WORKSPACES = Service(
    "workspaces",
    Json(),
    inputs.WORKSPACES,
    {
        "CreateWorkspaces": create_workspaces,
        "DescribeWorkspaces": op.describe_workspaces,
        "StartWorkspaces": op.start_workspaces,
        "StopWorkspaces": op.stop_workspaces,
        "RebootWorkspaces": op.reboot_workspaces,
        "RebuildWorkspaces": op.rebuild_workspaces,
        "RestoreWorkspace": op.restore_workspace,
        "TerminateWorkspaces": op.terminate_workspaces,
        "ModifyWorkspaceProperties": op.modify_workspace_properties,
        "ModifyWorkspaceState": op.modify_workspace_state,
        "DescribeWorkspaceSnapshots": op.describe_workspace_snapshots,
        "DescribeWorkspacesConnectionStatus": op.describe_workspaces_connection_status,
        "DescribeWorkspaceBundles": directories.describe_workspace_bundles,
        "DescribeWorkspaceImages": directories.describe_workspace_images,
        "DescribeWorkspaceDirectories": directories.describe_workspace_directories,
        "ModifySelfservicePermissions": directories.modify_selfservice_permissions,
        "ModifyWorkspaceAccessProperties": directories.modify_workspace_access_properties,
        "ModifyWorkspaceCreationProperties": directories.modify_workspace_creation_properties,
        "ModifyStreamingProperties": directories.modify_streaming_properties,
        "ModifyEndpointEncryptionMode": directories.modify_endpoint_encryption_mode,
        "DescribeAccount": directories.describe_account,
        "CreateTags": tagging.create_tags,
        "DeleteTags": tagging.delete_tags,
        "DescribeTags": tagging.describe_tags,
    },
)

APPLICATIONS = Service(
    "appstream",
    Json(message_member="Message"),
    inputs.APPLICATIONS,
    {
        "CreateFleet": fleets.create_fleet,
        "DescribeFleets": fleets.describe_fleets,
        "StartFleet": fleets.start_fleet,
        "StopFleet": fleets.stop_fleet,
        "UpdateFleet": fleets.update_fleet,
        "DeleteFleet": fleets.delete_fleet,
        "CreateStack": stacks.create_stack,
        "DescribeStacks": stacks.describe_stacks,
        "UpdateStack": stacks.update_stack,
        "DeleteStack": stacks.delete_stack,
        "AssociateFleet": associations.associate_fleet,
        "DisassociateFleet": associations.disassociate_fleet,
        "ListAssociatedFleets": associations.list_associated_fleets,
        "ListAssociatedStacks": associations.list_associated_stacks,
        "DescribeImages": images.describe_images,
        "DescribeApplications": images.describe_applications,
        "AssociateApplicationFleet": associations.associate_application_fleet,
        "DisassociateApplicationFleet": associations.disassociate_application_fleet,
        "DescribeApplicationFleetAssociations": associations.describe_application_fleet_associations,
        "CreateUser": users.create_user,
        "DescribeUsers": users.describe_users,
        "EnableUser": users.enable_user,
        "DisableUser": users.disable_user,
        "DeleteUser": users.delete_user,
        "BatchAssociateUserStack": users.batch_associate_user_stack,
        "BatchDisassociateUserStack": users.batch_disassociate_user_stack,
        "DescribeUserStackAssociations": users.describe_user_stack_associations,
        "CreateStreamingURL": sessions.create_streaming_url,
        "DescribeSessions": sessions.describe_sessions,
        "ExpireSession": sessions.expire_session,
        "TagResource": application_tags.tag_resource,
        "UntagResource": application_tags.untag_resource,
        "ListTagsForResource": application_tags.list_tags_for_resource,
    },
)

TAGGING = Service("tagging", Json(message_member="Message"), inputs.TAGGING, {"GetResources": tagging.get_resources})

CLOUDWATCH = Service(
    "monitoring",
    Json(
        version="1.0",
        is_query_compatible=True,
        renamed={
            "InvalidParameterCombination": "InvalidParameterCombinationException",
            "InvalidParameterValue": "InvalidParameterValueException",
            "MissingParameter": "MissingRequiredParameterException",
            "ValidationError": "ValidationException",
        },
    ),
    inputs.CLOUDWATCH,
    {"GetMetricData": cloudwatch.get_metric_data},
)

STS = Service(
    "sts",
    Query("https://sts.amazonaws.com/doc/2011-06-15/", timestamps=frozenset({"Expiration"})),
    inputs.STS,
    {"AssumeRole": sts.assume_role, "GetCallerIdentity": sts.get_caller_identity},
)

BY_TARGET = {
    "WorkspacesService": WORKSPACES,
    "PhotonAdminProxyService": APPLICATIONS,
    "ResourceGroupsTaggingAPI_20170126": TAGGING,
    "GraniteServiceVersion20100801": CLOUDWATCH,
}
BY_VERSION = {"2011-06-15": STS}
