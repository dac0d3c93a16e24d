"""The inputs of WorkSpaces for machines."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, Structure, Text

_DIRECTORY_ID = Text(pattern="^(d-[0-9a-f]{8,63}$)|(wsd-[0-9a-z]{8,63}$)", minimum=10, maximum=65)
_USER_NAME = Text(minimum=1, maximum=63)
_BUNDLE_ID = Text(pattern="^wsb-[0-9a-z]{8,63}$")
_RUNNING_MODE = Text(values=("AUTO_STOP", "ALWAYS_ON", "MANUAL"))
_COMPUTE = Text(
    values=(
        "VALUE",
        "STANDARD",
        "PERFORMANCE",
        "POWER",
        "GRAPHICS",
        "POWERPRO",
        "GENERALPURPOSE_4XLARGE",
        "GENERALPURPOSE_8XLARGE",
        "GRAPHICSPRO",
        "GRAPHICS_G4DN",
        "GRAPHICSPRO_G4DN",
        "GRAPHICS_G6_XLARGE",
        "GRAPHICS_G6_2XLARGE",
        "GRAPHICS_G6_4XLARGE",
        "GRAPHICS_G6_8XLARGE",
        "GRAPHICS_G6_16XLARGE",
        "GRAPHICS_GR6_4XLARGE",
        "GRAPHICS_GR6_8XLARGE",
        "GRAPHICS_G6F_LARGE",
        "GRAPHICS_G6F_XLARGE",
        "GRAPHICS_G6F_2XLARGE",
        "GRAPHICS_G6F_4XLARGE",
        "GRAPHICS_GR6F_4XLARGE",
        "GRAPHICS_G7_2XLARGE",
        "GRAPHICS_G7_4XLARGE",
        "GRAPHICS_G7_8XLARGE",
        "GRAPHICS_G7_12XLARGE",
    )
)
_PROTOCOL = Text(values=("PCOIP", "WSP"))
_OPERATING_SYSTEM_NAME = Text(
    values=(
        "AMAZON_LINUX_2",
        "UBUNTU_18_04",
        "UBUNTU_20_04",
        "UBUNTU_22_04",
        "UNKNOWN",
        "WINDOWS_10",
        "WINDOWS_11",
        "WINDOWS_7",
        "WINDOWS_SERVER_2016",
        "WINDOWS_SERVER_2019",
        "WINDOWS_SERVER_2022",
        "WINDOWS_SERVER_2025",
        "RHEL_8",
        "ROCKY_8",
        "UBUNTU_24_04",
        "RHEL_9",
        "ROCKY_9",
        "UBUNTU_26_04",
        "RHEL_10",
        "ROCKY_10",
    )
)
_AGA_MODE_FOR_WORK_SPACE_ENUM = Text(values=("ENABLED_AUTO", "DISABLED", "INHERITED"))
_AGA_PREFERRED_PROTOCOL_FOR_WORK_SPACE = Text(values=("TCP", "NONE", "INHERITED"))
_WORKSPACE_PROPERTIES = Structure(
    {
        "RunningMode": _RUNNING_MODE,
        "RunningModeAutoStopTimeoutInMinutes": Integer(),
        "RootVolumeSizeGib": Integer(),
        "UserVolumeSizeGib": Integer(),
        "ComputeTypeName": _COMPUTE,
        "Protocols": ListOf(_PROTOCOL),
        "OperatingSystemName": _OPERATING_SYSTEM_NAME,
        "GlobalAccelerator": Structure(
            {"Mode": _AGA_MODE_FOR_WORK_SPACE_ENUM, "PreferredProtocol": _AGA_PREFERRED_PROTOCOL_FOR_WORK_SPACE},
            required=("Mode",),
        ),
        "NestedVirtualizationEnabled": Boolean(),
    }
)
_WORKSPACE_NAME = Text(pattern="^[a-zA-Z0-9_()][a-zA-Z0-9_.()-]{1,63}$")
_WORKSPACE_ID = Text(pattern="^ws-[0-9a-z]{8,63}$")
_WORKSPACE_ID_LIST = ListOf(_WORKSPACE_ID, minimum=1, maximum=25)
_PAGINATION_TOKEN = Text(minimum=1, maximum=2048)
_DATA_REPLICATION = Text(values=("NO_REPLICATION", "PRIMARY_AS_SOURCE"))
_TARGET_WORKSPACE_STATE = Text(values=("AVAILABLE", "ADMIN_MAINTENANCE"))

MACHINES = {
    "CreateWorkspaces": Structure(
        {
            "Workspaces": ListOf(
                Structure(
                    {
                        "DirectoryId": _DIRECTORY_ID,
                        "UserName": _USER_NAME,
                        "BundleId": _BUNDLE_ID,
                        "VolumeEncryptionKey": Text(),
                        "UserVolumeEncryptionEnabled": Boolean(),
                        "RootVolumeEncryptionEnabled": Boolean(),
                        "WorkspaceProperties": _WORKSPACE_PROPERTIES,
                        "Tags": ListOf(
                            Structure(
                                {"Key": Text(minimum=1, maximum=127), "Value": Text(maximum=255)}, required=("Key",)
                            )
                        ),
                        "WorkspaceName": _WORKSPACE_NAME,
                        "Ipv6Address": Text(
                            pattern=(
                                "^(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){"
                                "0,6}::[0-9a-fA-F]{1,4}$"
                            )
                        ),
                    },
                    required=("DirectoryId", "UserName", "BundleId"),
                ),
                minimum=1,
                maximum=25,
            )
        },
        required=("Workspaces",),
    ),
    "DescribeWorkspaces": Structure(
        {
            "WorkspaceIds": _WORKSPACE_ID_LIST,
            "DirectoryId": _DIRECTORY_ID,
            "UserName": _USER_NAME,
            "BundleId": _BUNDLE_ID,
            "Limit": Integer(minimum=1, maximum=25),
            "NextToken": _PAGINATION_TOKEN,
            "WorkspaceName": _WORKSPACE_NAME,
        }
    ),
    "StartWorkspaces": Structure(
        {"StartWorkspaceRequests": ListOf(Structure({"WorkspaceId": _WORKSPACE_ID}), minimum=1, maximum=25)},
        required=("StartWorkspaceRequests",),
    ),
    "StopWorkspaces": Structure(
        {"StopWorkspaceRequests": ListOf(Structure({"WorkspaceId": _WORKSPACE_ID}), minimum=1, maximum=25)},
        required=("StopWorkspaceRequests",),
    ),
    "RebootWorkspaces": Structure(
        {
            "RebootWorkspaceRequests": ListOf(
                Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",)), minimum=1, maximum=25
            )
        },
        required=("RebootWorkspaceRequests",),
    ),
    "RebuildWorkspaces": Structure(
        {
            "RebuildWorkspaceRequests": ListOf(
                Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",)), minimum=1, maximum=1
            )
        },
        required=("RebuildWorkspaceRequests",),
    ),
    "RestoreWorkspace": Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",)),
    "TerminateWorkspaces": Structure(
        {
            "TerminateWorkspaceRequests": ListOf(
                Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",)), minimum=1, maximum=25
            )
        },
        required=("TerminateWorkspaceRequests",),
    ),
    "ModifyWorkspaceProperties": Structure(
        {
            "WorkspaceId": _WORKSPACE_ID,
            "WorkspaceProperties": _WORKSPACE_PROPERTIES,
            "DataReplication": _DATA_REPLICATION,
        },
        required=("WorkspaceId",),
    ),
    "ModifyWorkspaceState": Structure(
        {"WorkspaceId": _WORKSPACE_ID, "WorkspaceState": _TARGET_WORKSPACE_STATE},
        required=("WorkspaceId", "WorkspaceState"),
    ),
    "DescribeWorkspaceSnapshots": Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",)),
    "DescribeWorkspacesConnectionStatus": Structure(
        {"WorkspaceIds": _WORKSPACE_ID_LIST, "NextToken": _PAGINATION_TOKEN}
    ),
}
