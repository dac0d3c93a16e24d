"""The inputs of WorkSpaces for directories, bundles, images and the account."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, Structure, Text

_PAGINATION_TOKEN = Text(minimum=1, maximum=2048)
_DIRECTORY_ID = Text(pattern="^(d-[0-9a-f]{8,63}$)|(wsd-[0-9a-z]{8,63}$)", minimum=10, maximum=65)
_LIMIT = Integer(minimum=1, maximum=25)
_DESCRIBE_WORKSPACE_DIRECTORIES_FILTER_NAME = Text(values=("USER_IDENTITY_TYPE", "WORKSPACE_TYPE"))
_RECONNECT_ENUM = Text(values=("ENABLED", "DISABLED"))
_ACCESS_PROPERTY_VALUE = Text(values=("ALLOW", "DENY"))
_ACCESS_ENDPOINT_TYPE = Text(values=("STREAMING_WSP",))
_INTERNET_FALLBACK_PROTOCOL = Text(values=("PCOIP",))
_STREAMING_EXPERIENCE_PREFERRED_PROTOCOL_ENUM = Text(values=("TCP", "UDP"))
_USER_SETTING_ACTION_ENUM = Text(
    values=(
        "CLIPBOARD_COPY_FROM_LOCAL_DEVICE",
        "CLIPBOARD_COPY_TO_LOCAL_DEVICE",
        "PRINTING_TO_LOCAL_DEVICE",
        "SMART_CARD",
    )
)
_USER_SETTING_PERMISSION_ENUM = Text(values=("ENABLED", "DISABLED"))
_STORAGE_CONNECTOR_TYPE_ENUM = Text(values=("HOME_FOLDER",))
_STORAGE_CONNECTOR_STATUS_ENUM = Text(values=("ENABLED", "DISABLED"))
_AGA_MODE_FOR_DIRECTORY_ENUM = Text(values=("ENABLED_AUTO", "DISABLED"))
_AGA_PREFERRED_PROTOCOL_FOR_DIRECTORY = Text(values=("TCP", "NONE"))
_ENDPOINT_ENCRYPTION_MODE = Text(values=("STANDARD_TLS", "FIPS_VALIDATED"))
_IMAGE_TYPE = Text(values=("OWNED", "SHARED"))

DIRECTORIES = {
    "DescribeWorkspaceBundles": Structure(
        {
            "BundleIds": ListOf(Text(pattern="^wsb-[0-9a-z]{8,63}$"), minimum=1, maximum=25),
            "Owner": Text(),
            "NextToken": _PAGINATION_TOKEN,
        }
    ),
    "DescribeWorkspaceDirectories": Structure(
        {
            "DirectoryIds": ListOf(_DIRECTORY_ID, minimum=1, maximum=25),
            "WorkspaceDirectoryNames": ListOf(
                Text(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.\s-]{1,64}$"), minimum=1, maximum=25
            ),
            "Limit": _LIMIT,
            "NextToken": _PAGINATION_TOKEN,
            "Filters": ListOf(
                Structure(
                    {
                        "Name": _DESCRIBE_WORKSPACE_DIRECTORIES_FILTER_NAME,
                        "Values": ListOf(Text(pattern=r"^[0-9a-zA-Z\*\.\\/\?-_]{0,64}$"), minimum=1, maximum=25),
                    },
                    required=("Name", "Values"),
                ),
                minimum=1,
                maximum=25,
            ),
        }
    ),
    "ModifySelfservicePermissions": Structure(
        {
            "ResourceId": _DIRECTORY_ID,
            "SelfservicePermissions": Structure(
                {
                    "RestartWorkspace": _RECONNECT_ENUM,
                    "IncreaseVolumeSize": _RECONNECT_ENUM,
                    "ChangeComputeType": _RECONNECT_ENUM,
                    "SwitchRunningMode": _RECONNECT_ENUM,
                    "RebuildWorkspace": _RECONNECT_ENUM,
                    "NestedVirtualization": _RECONNECT_ENUM,
                    "EnableEndUserAdvisor": _RECONNECT_ENUM,
                }
            ),
        },
        required=("ResourceId", "SelfservicePermissions"),
    ),
    "ModifyWorkspaceAccessProperties": Structure(
        {
            "ResourceId": _DIRECTORY_ID,
            "WorkspaceAccessProperties": Structure(
                {
                    "DeviceTypeWindows": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeOsx": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeWeb": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeIos": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeAndroid": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeChromeOs": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeZeroClient": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeLinux": _ACCESS_PROPERTY_VALUE,
                    "DeviceTypeWorkSpacesThinClient": _ACCESS_PROPERTY_VALUE,
                    "AccessEndpointConfig": Structure(
                        {
                            "AccessEndpoints": ListOf(
                                Structure(
                                    {
                                        "AccessEndpointType": _ACCESS_ENDPOINT_TYPE,
                                        "VpcEndpointId": Text(pattern=r"^[a-zA-Z0-9\_\-]{1,1000}$"),
                                    }
                                )
                            ),
                            "InternetFallbackProtocols": ListOf(_INTERNET_FALLBACK_PROTOCOL),
                        },
                        required=("AccessEndpoints",),
                    ),
                }
            ),
        },
        required=("ResourceId", "WorkspaceAccessProperties"),
    ),
    "ModifyWorkspaceCreationProperties": Structure(
        {
            "ResourceId": _DIRECTORY_ID,
            "WorkspaceCreationProperties": Structure(
                {
                    "EnableInternetAccess": Boolean(),
                    "DefaultOu": Text(),
                    "CustomSecurityGroupId": Text(pattern="^(sg-([0-9a-f]{8}|[0-9a-f]{17}))$", minimum=11, maximum=20),
                    "UserEnabledAsLocalAdministrator": Boolean(),
                    "EnableMaintenanceMode": Boolean(),
                    "InstanceIamRoleArn": Text(
                        pattern=(
                            "^arn:aws[a-z-]{0,7}:[A-Za-z0-9][A-za-z0-9_/.-]{0,62}:[A-za-z0-9_/.-]{0,63}:[A-za"
                            r"-z0-9_/.-]{0,63}:[A-Za-z0-9][A-Za-z0-9:_/+=,@.\\-]{0,1023}$"
                        )
                    ),
                }
            ),
        },
        required=("ResourceId", "WorkspaceCreationProperties"),
    ),
    "ModifyStreamingProperties": Structure(
        {
            "ResourceId": _DIRECTORY_ID,
            "StreamingProperties": Structure(
                {
                    "StreamingExperiencePreferredProtocol": _STREAMING_EXPERIENCE_PREFERRED_PROTOCOL_ENUM,
                    "UserSettings": ListOf(
                        Structure(
                            {
                                "Action": _USER_SETTING_ACTION_ENUM,
                                "Permission": _USER_SETTING_PERMISSION_ENUM,
                                "MaximumLength": Integer(minimum=0),
                            },
                            required=("Action", "Permission"),
                        ),
                        minimum=1,
                    ),
                    "StorageConnectors": ListOf(
                        Structure(
                            {"ConnectorType": _STORAGE_CONNECTOR_TYPE_ENUM, "Status": _STORAGE_CONNECTOR_STATUS_ENUM},
                            required=("ConnectorType", "Status"),
                        ),
                        minimum=1,
                    ),
                    "GlobalAccelerator": Structure(
                        {
                            "Mode": _AGA_MODE_FOR_DIRECTORY_ENUM,
                            "PreferredProtocol": _AGA_PREFERRED_PROTOCOL_FOR_DIRECTORY,
                        },
                        required=("Mode",),
                    ),
                }
            ),
        },
        required=("ResourceId",),
    ),
    "ModifyEndpointEncryptionMode": Structure(
        {"DirectoryId": _DIRECTORY_ID, "EndpointEncryptionMode": _ENDPOINT_ENCRYPTION_MODE},
        required=("DirectoryId", "EndpointEncryptionMode"),
    ),
    "DescribeWorkspaceImages": Structure(
        {
            "ImageIds": ListOf(Text(pattern="wsi-[0-9a-z]{9,63}$"), minimum=1, maximum=25),
            "ImageType": _IMAGE_TYPE,
            "NextToken": _PAGINATION_TOKEN,
            "MaxResults": _LIMIT,
        }
    ),
    "DescribeAccount": Structure({}),
}
