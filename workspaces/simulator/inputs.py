"""The input of every operation that the simulator knows; a test compares each line with botocore's own model."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, Structure, Text

BATCH = 25

_WORKSPACE_ID = Text(pattern=r"^ws-[0-9a-z]{8,63}$")
_DIRECTORY_ID = Text(pattern=r"^(d-[0-9a-f]{8,63}$)|(wsd-[0-9a-z]{8,63}$)", minimum=10, maximum=65)
_BUNDLE_ID = Text(pattern=r"^wsb-[0-9a-z]{8,63}$")
_USER_NAME = Text(minimum=1, maximum=63)
_WORKSPACE_NAME = Text(pattern=r"^[a-zA-Z0-9_()][a-zA-Z0-9_.()-]{1,63}$")
_TOKEN = Text(minimum=1, maximum=2048)
_LIMIT = Integer(minimum=1, maximum=BATCH)
_RESOURCE_ID = Text(minimum=1)
_IPV6 = Text(
    pattern=r"^(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6}::[0-9a-fA-F]{1,4}$"
)
_TAGS = ListOf(Structure({"Key": Text(minimum=1, maximum=127), "Value": Text(maximum=255)}, required=("Key",)))
_COMPUTE_TYPES = (
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
_OPERATING_SYSTEMS = (
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
_PROPERTIES = Structure(
    {
        "RunningMode": Text(values=("AUTO_STOP", "ALWAYS_ON", "MANUAL")),
        "RunningModeAutoStopTimeoutInMinutes": Integer(),
        "RootVolumeSizeGib": Integer(),
        "UserVolumeSizeGib": Integer(),
        "ComputeTypeName": Text(values=_COMPUTE_TYPES),
        "Protocols": ListOf(Text(values=("PCOIP", "WSP"))),
        "OperatingSystemName": Text(values=_OPERATING_SYSTEMS),
        "GlobalAccelerator": Structure(
            {
                "Mode": Text(values=("ENABLED_AUTO", "DISABLED", "INHERITED")),
                "PreferredProtocol": Text(values=("TCP", "NONE", "INHERITED")),
            },
            required=("Mode",),
        ),
        "NestedVirtualizationEnabled": Boolean(),
    }
)
_WORKSPACE_REQUEST = Structure(
    {
        "DirectoryId": _DIRECTORY_ID,
        "UserName": _USER_NAME,
        "BundleId": _BUNDLE_ID,
        "VolumeEncryptionKey": Text(),
        "UserVolumeEncryptionEnabled": Boolean(),
        "RootVolumeEncryptionEnabled": Boolean(),
        "WorkspaceProperties": _PROPERTIES,
        "Tags": _TAGS,
        "WorkspaceName": _WORKSPACE_NAME,
        "Ipv6Address": _IPV6,
    },
    required=("DirectoryId", "UserName", "BundleId"),
)
_DIRECTORY_FILTER = Structure(
    {
        "Name": Text(values=("USER_IDENTITY_TYPE", "WORKSPACE_TYPE")),
        "Values": ListOf(Text(pattern=r"^[0-9a-zA-Z\*\.\\/\?-_]{0,64}$"), minimum=1, maximum=BATCH),
    },
    required=("Name", "Values"),
)


def _batch(member: str, *, required_id: bool) -> Structure:
    request = Structure({"WorkspaceId": _WORKSPACE_ID}, required=("WorkspaceId",) if required_id else ())
    return Structure({member: ListOf(request, minimum=1, maximum=BATCH)}, required=(member,))


WORKSPACES = {
    "CreateWorkspaces": Structure(
        {"Workspaces": ListOf(_WORKSPACE_REQUEST, minimum=1, maximum=BATCH)}, required=("Workspaces",)
    ),
    "DescribeWorkspaces": Structure(
        {
            "WorkspaceIds": ListOf(_WORKSPACE_ID, minimum=1, maximum=BATCH),
            "DirectoryId": _DIRECTORY_ID,
            "UserName": _USER_NAME,
            "BundleId": _BUNDLE_ID,
            "Limit": _LIMIT,
            "NextToken": _TOKEN,
            "WorkspaceName": _WORKSPACE_NAME,
        }
    ),
    "StartWorkspaces": _batch("StartWorkspaceRequests", required_id=False),
    "StopWorkspaces": _batch("StopWorkspaceRequests", required_id=False),
    "RebootWorkspaces": _batch("RebootWorkspaceRequests", required_id=True),
    "TerminateWorkspaces": _batch("TerminateWorkspaceRequests", required_id=True),
    "ModifyWorkspaceProperties": Structure(
        {
            "WorkspaceId": _WORKSPACE_ID,
            "WorkspaceProperties": _PROPERTIES,
            "DataReplication": Text(values=("NO_REPLICATION", "PRIMARY_AS_SOURCE")),
        },
        required=("WorkspaceId",),
    ),
    "DescribeWorkspacesConnectionStatus": Structure(
        {"WorkspaceIds": ListOf(_WORKSPACE_ID, minimum=1, maximum=BATCH), "NextToken": _TOKEN}
    ),
    "DescribeWorkspaceBundles": Structure(
        {"BundleIds": ListOf(_BUNDLE_ID, minimum=1, maximum=BATCH), "Owner": Text(), "NextToken": _TOKEN}
    ),
    "DescribeWorkspaceDirectories": Structure(
        {
            "DirectoryIds": ListOf(_DIRECTORY_ID, minimum=1, maximum=BATCH),
            "WorkspaceDirectoryNames": ListOf(
                Text(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.\s-]{1,64}$"), minimum=1, maximum=BATCH
            ),
            "Limit": _LIMIT,
            "NextToken": _TOKEN,
            "Filters": ListOf(_DIRECTORY_FILTER, minimum=1, maximum=BATCH),
        }
    ),
    "CreateTags": Structure({"ResourceId": _RESOURCE_ID, "Tags": _TAGS}, required=("ResourceId", "Tags")),
    "DescribeTags": Structure({"ResourceId": _RESOURCE_ID}, required=("ResourceId",)),
}

_TAG_FILTER = Structure(
    {
        "Key": Text(pattern=r"[\s\S]*", minimum=1, maximum=128),
        "Values": ListOf(Text(pattern=r"[\s\S]*", minimum=0, maximum=256), minimum=0, maximum=20),
    }
)

TAGGING = {
    "GetResources": Structure(
        {
            "PaginationToken": Text(pattern=r"[\s\S]*", minimum=0, maximum=2048),
            "TagFilters": ListOf(_TAG_FILTER, minimum=0, maximum=50),
            "ResourcesPerPage": Integer(),
            "TagsPerPage": Integer(),
            "ResourceTypeFilters": ListOf(Text(pattern=r"[\s\S]*", minimum=0, maximum=256)),
            "IncludeComplianceDetails": Boolean(),
            "ExcludeCompliantResources": Boolean(),
            "ResourceARNList": ListOf(Text(pattern=r"[\s\S]*", minimum=1, maximum=1011), minimum=1, maximum=100),
        }
    ),
}
