"""The inputs of WorkSpaces Applications, `appstream` in the SDK."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, MapOf, Structure, Text

_NAME = Text(pattern="^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}$")
_ARN = Text(
    pattern=(
        r"^arn:aws(?:\-cn|\-iso\-b|\-iso|\-us\-gov)?:[A-Za-z0-9][A-Za-z0-9_/.-]{0,62}:[A-Z"
        r"a-z0-9_/.-]{0,63}:[A-Za-z0-9_/.-]{0,63}:[A-Za-z0-9][A-Za-z0-9:_/+=,@.\\-]{0,1023"
        "}$"
    )
)
_STRING = Text(minimum=1)
_FLEET_TYPE = Text(values=("ALWAYS_ON", "ON_DEMAND", "ELASTIC"))
_COMPUTE_CAPACITY = Structure({"DesiredInstances": Integer(), "DesiredSessions": Integer()})
_VPC_CONFIG = Structure({"SubnetIds": ListOf(_STRING), "SecurityGroupIds": ListOf(_STRING, maximum=5)})
_DESCRIPTION = Text(maximum=256)
_DISPLAY_NAME = Text(maximum=100)
_DOMAIN_JOIN_INFO = Structure({"DirectoryName": Text(), "OrganizationalUnitDistinguishedName": Text(maximum=2000)})
_TAG_KEY = Text(pattern=r"^(^(?!aws:).[\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", minimum=1, maximum=128)
_TAGS = MapOf(_TAG_KEY, Text(pattern=r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", minimum=0, maximum=256), minimum=1, maximum=50)
_STREAM_VIEW = Text(values=("APP", "DESKTOP"))
_PLATFORM_TYPE = Text(
    values=(
        "WINDOWS",
        "WINDOWS_SERVER_2016",
        "WINDOWS_SERVER_2019",
        "WINDOWS_SERVER_2022",
        "WINDOWS_SERVER_2025",
        "WINDOWS_11",
        "AMAZON_LINUX2",
        "RHEL8",
        "ROCKY_LINUX8",
        "UBUNTU_PRO_2404",
    )
)
_USB_DEVICE_FILTER_STRINGS = ListOf(
    Text(
        pattern=(
            r"^((\w*)\s*(\w*)\s*\,\s*(\w*)\s*\,\s*\*?(\w*)\s*\,\s*\*?(\w*)\s*\,\s*\*?\d*\s*\,"
            r"\s*\*?\d*\s*\,\s*[0-1]\s*\,\s*[0-1]\s*)$"
        ),
        minimum=0,
        maximum=100,
    )
)
_S3_LOCATION = Structure(
    {
        "S3Bucket": Text(pattern=r"^[0-9a-z\.\-]*(?<!\.)$", minimum=3, maximum=63),
        "S3Key": Text(minimum=1, maximum=1024),
    },
    required=("S3Bucket",),
)
_VOLUME_CONFIG = Structure({"VolumeSizeInGb": Integer()})
_STRING_LIST = ListOf(_STRING)
_FLEET_ATTRIBUTE = Text(
    values=(
        "VPC_CONFIGURATION",
        "VPC_CONFIGURATION_SECURITY_GROUP_IDS",
        "DOMAIN_JOIN_INFO",
        "IAM_ROLE_ARN",
        "USB_DEVICE_FILTER_STRINGS",
        "SESSION_SCRIPT_S3_LOCATION",
        "MAX_SESSIONS_PER_INSTANCE",
        "VOLUME_CONFIGURATION",
    )
)
_STORAGE_CONNECTOR_TYPE = Text(values=("HOMEFOLDERS", "GOOGLE_DRIVE", "ONE_DRIVE"))
_DOMAIN_LIST = ListOf(Text(minimum=1, maximum=64), maximum=50)
_STORAGE_CONNECTOR_LIST = ListOf(
    Structure(
        {
            "ConnectorType": _STORAGE_CONNECTOR_TYPE,
            "ResourceIdentifier": Text(minimum=1, maximum=2048),
            "Domains": _DOMAIN_LIST,
            "DomainsRequireAdminConsent": _DOMAIN_LIST,
        },
        required=("ConnectorType",),
    )
)
_REDIRECT_URL = Text(maximum=1000)
_FEEDBACK_URL = Text(maximum=1000)
_ACTION = Text(
    values=(
        "CLIPBOARD_COPY_FROM_LOCAL_DEVICE",
        "CLIPBOARD_COPY_TO_LOCAL_DEVICE",
        "FILE_UPLOAD",
        "FILE_DOWNLOAD",
        "PRINTING_TO_LOCAL_DEVICE",
        "DOMAIN_PASSWORD_SIGNIN",
        "DOMAIN_SMART_CARD_SIGNIN",
        "AUTO_TIME_ZONE_REDIRECTION",
        "SMART_CARD_REDIRECTION",
    )
)
_PERMISSION = Text(values=("ENABLED", "DISABLED"))
_USER_SETTING_LIST = ListOf(
    Structure(
        {"Action": _ACTION, "Permission": _PERMISSION, "MaximumLength": Integer()}, required=("Action", "Permission")
    ),
    minimum=1,
)
_APPLICATION_SETTINGS = Structure({"Enabled": Boolean(), "SettingsGroup": Text(maximum=100)}, required=("Enabled",))
_ACCESS_ENDPOINT_TYPE = Text(values=("STREAMING",))
_ACCESS_ENDPOINT_LIST = ListOf(
    Structure({"EndpointType": _ACCESS_ENDPOINT_TYPE, "VpceId": _STRING}, required=("EndpointType",)),
    minimum=1,
    maximum=4,
)
_EMBED_HOST_DOMAINS = ListOf(
    Text(pattern=r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", maximum=128),
    minimum=1,
    maximum=20,
)
_PREFERRED_PROTOCOL = Text(values=("TCP", "UDP"))
_STREAMING_EXPERIENCE_SETTINGS = Structure({"PreferredProtocol": _PREFERRED_PROTOCOL})
_URL_PATTERN_LIST = ListOf(
    Text(pattern=r"^((https?|ftp|sftp)://|mailto:)[^\s,;<>]+$", minimum=1, maximum=2048), minimum=0, maximum=100
)
_CONTENT_REDIRECTION = Structure(
    {
        "HostToClient": Structure(
            {"Enabled": Boolean(), "AllowedUrls": _URL_PATTERN_LIST, "DeniedUrls": _URL_PATTERN_LIST},
            required=("Enabled",),
        )
    }
)
_AGENT_ACTION = Text(values=("COMPUTER_VISION", "COMPUTER_INPUT", "FORWARD_MCP_TOOLS"))
_AGENT_ACCESS_SETTING_LIST = ListOf(
    Structure({"AgentAction": _AGENT_ACTION, "Permission": _PERMISSION}, required=("AgentAction", "Permission")),
    minimum=1,
)
_S3_BUCKET_ARN = Text(pattern=r"^arn:aws(?:\-cn|\-iso\-b|\-iso|\-us\-gov)?:s3:::[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$")
_KMS_KEY_ARN = Text(pattern=r"^arn:aws(?:\-cn|\-iso\-b|\-iso|\-us\-gov)?:kms:[a-z0-9\-]+:\d{12}:key/[A-Za-z0-9\-]+$")
_SCREEN_RESOLUTION = Text(values=("W_1280xH_720",))
_SCREEN_IMAGE_FORMAT = Text(values=("PNG", "JPEG"))
_USER_CONTROL_MODE = Text(values=("VIEW_ONLY", "VIEW_STOP", "DISABLED"))
_STORAGE_CONNECTOR_AUTHENTICATION = Text(values=("FORCE_REAUTHENTICATION", "REUSE_CREDENTIALS"))
_STACK_ATTRIBUTE = Text(
    values=(
        "STORAGE_CONNECTORS",
        "STORAGE_CONNECTOR_HOMEFOLDERS",
        "STORAGE_CONNECTOR_GOOGLE_DRIVE",
        "STORAGE_CONNECTOR_ONE_DRIVE",
        "REDIRECT_URL",
        "FEEDBACK_URL",
        "THEME_NAME",
        "USER_SETTINGS",
        "EMBED_HOST_DOMAINS",
        "IAM_ROLE_ARN",
        "ACCESS_ENDPOINTS",
        "STREAMING_EXPERIENCE_SETTINGS",
        "CONTENT_REDIRECTION",
        "AGENT_ACCESS_CONFIG",
        "STORAGE_CONNECTOR_AUTHENTICATION",
        "AGENT_ACCESS_CONFIG_KMS_KEY_ARN",
    )
)
_USERNAME = Text(pattern=r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", minimum=1, maximum=128)
_MESSAGE_ACTION = Text(values=("SUPPRESS", "RESEND"))
_USER_ATTRIBUTE_VALUE = Text(pattern=r"^[A-Za-z0-9_\-\s]+$", maximum=2048)
_AUTHENTICATION_TYPE = Text(values=("API", "SAML", "USERPOOL", "AWS_AD"))
_USER_STACK_ASSOCIATION_LIST = ListOf(
    Structure(
        {
            "StackName": _STRING,
            "UserName": _USERNAME,
            "AuthenticationType": _AUTHENTICATION_TYPE,
            "SendEmailNotification": Boolean(),
        },
        required=("StackName", "UserName", "AuthenticationType"),
    ),
    minimum=1,
    maximum=25,
)
_ARN_LIST = ListOf(_ARN)
_VISIBILITY_TYPE = Text(values=("PUBLIC", "PRIVATE", "SHARED"))

APPLICATIONS = {
    "CreateFleet": Structure(
        {
            "Name": _NAME,
            "ImageName": _NAME,
            "ImageArn": _ARN,
            "InstanceType": _STRING,
            "FleetType": _FLEET_TYPE,
            "ComputeCapacity": _COMPUTE_CAPACITY,
            "VpcConfig": _VPC_CONFIG,
            "MaxUserDurationInSeconds": Integer(),
            "DisconnectTimeoutInSeconds": Integer(),
            "Description": _DESCRIPTION,
            "DisplayName": _DISPLAY_NAME,
            "EnableDefaultInternetAccess": Boolean(),
            "DomainJoinInfo": _DOMAIN_JOIN_INFO,
            "Tags": _TAGS,
            "IdleDisconnectTimeoutInSeconds": Integer(),
            "IamRoleArn": _ARN,
            "StreamView": _STREAM_VIEW,
            "Platform": _PLATFORM_TYPE,
            "MaxConcurrentSessions": Integer(),
            "UsbDeviceFilterStrings": _USB_DEVICE_FILTER_STRINGS,
            "SessionScriptS3Location": _S3_LOCATION,
            "MaxSessionsPerInstance": Integer(),
            "RootVolumeConfig": _VOLUME_CONFIG,
            "DisableIMDSV1": Boolean(),
        },
        required=("Name", "InstanceType"),
    ),
    "DescribeFleets": Structure({"Names": _STRING_LIST, "NextToken": _STRING}),
    "StartFleet": Structure({"Name": _STRING}, required=("Name",)),
    "StopFleet": Structure({"Name": _STRING}, required=("Name",)),
    "UpdateFleet": Structure(
        {
            "ImageName": _STRING,
            "ImageArn": _ARN,
            "Name": _NAME,
            "InstanceType": _STRING,
            "ComputeCapacity": _COMPUTE_CAPACITY,
            "VpcConfig": _VPC_CONFIG,
            "MaxUserDurationInSeconds": Integer(),
            "DisconnectTimeoutInSeconds": Integer(),
            "DeleteVpcConfig": Boolean(),
            "Description": _DESCRIPTION,
            "DisplayName": _DISPLAY_NAME,
            "EnableDefaultInternetAccess": Boolean(),
            "DomainJoinInfo": _DOMAIN_JOIN_INFO,
            "IdleDisconnectTimeoutInSeconds": Integer(),
            "AttributesToDelete": ListOf(_FLEET_ATTRIBUTE),
            "IamRoleArn": _ARN,
            "StreamView": _STREAM_VIEW,
            "Platform": _PLATFORM_TYPE,
            "MaxConcurrentSessions": Integer(),
            "UsbDeviceFilterStrings": _USB_DEVICE_FILTER_STRINGS,
            "SessionScriptS3Location": _S3_LOCATION,
            "MaxSessionsPerInstance": Integer(),
            "RootVolumeConfig": _VOLUME_CONFIG,
            "DisableIMDSV1": Boolean(),
        }
    ),
    "DeleteFleet": Structure({"Name": _STRING}, required=("Name",)),
    "CreateStack": Structure(
        {
            "Name": _NAME,
            "Description": _DESCRIPTION,
            "DisplayName": _DISPLAY_NAME,
            "StorageConnectors": _STORAGE_CONNECTOR_LIST,
            "RedirectURL": _REDIRECT_URL,
            "FeedbackURL": _FEEDBACK_URL,
            "UserSettings": _USER_SETTING_LIST,
            "ApplicationSettings": _APPLICATION_SETTINGS,
            "Tags": _TAGS,
            "AccessEndpoints": _ACCESS_ENDPOINT_LIST,
            "EmbedHostDomains": _EMBED_HOST_DOMAINS,
            "StreamingExperienceSettings": _STREAMING_EXPERIENCE_SETTINGS,
            "ContentRedirection": _CONTENT_REDIRECTION,
            "AgentAccessConfig": Structure(
                {
                    "Settings": _AGENT_ACCESS_SETTING_LIST,
                    "S3BucketArn": _S3_BUCKET_ARN,
                    "ScreenshotsUploadEnabled": Boolean(),
                    "ReplaySessionEnabled": Boolean(),
                    "KmsKeyArn": _KMS_KEY_ARN,
                    "ScreenResolution": _SCREEN_RESOLUTION,
                    "ScreenImageFormat": _SCREEN_IMAGE_FORMAT,
                    "UserControlMode": _USER_CONTROL_MODE,
                },
                required=("Settings", "ScreenResolution", "ScreenImageFormat"),
            ),
            "StorageConnectorAuthentication": _STORAGE_CONNECTOR_AUTHENTICATION,
        },
        required=("Name",),
    ),
    "DescribeStacks": Structure({"Names": _STRING_LIST, "NextToken": _STRING}),
    "UpdateStack": Structure(
        {
            "DisplayName": _DISPLAY_NAME,
            "Description": _DESCRIPTION,
            "Name": _STRING,
            "StorageConnectors": _STORAGE_CONNECTOR_LIST,
            "DeleteStorageConnectors": Boolean(),
            "RedirectURL": _REDIRECT_URL,
            "FeedbackURL": _FEEDBACK_URL,
            "AttributesToDelete": ListOf(_STACK_ATTRIBUTE),
            "UserSettings": _USER_SETTING_LIST,
            "ApplicationSettings": _APPLICATION_SETTINGS,
            "AccessEndpoints": _ACCESS_ENDPOINT_LIST,
            "EmbedHostDomains": _EMBED_HOST_DOMAINS,
            "StreamingExperienceSettings": _STREAMING_EXPERIENCE_SETTINGS,
            "ContentRedirection": _CONTENT_REDIRECTION,
            "AgentAccessConfig": Structure(
                {
                    "Settings": _AGENT_ACCESS_SETTING_LIST,
                    "S3BucketArn": _S3_BUCKET_ARN,
                    "ScreenshotsUploadEnabled": Boolean(),
                    "ReplaySessionEnabled": Boolean(),
                    "KmsKeyArn": _KMS_KEY_ARN,
                    "ScreenResolution": _SCREEN_RESOLUTION,
                    "ScreenImageFormat": _SCREEN_IMAGE_FORMAT,
                    "UserControlMode": _USER_CONTROL_MODE,
                }
            ),
            "StorageConnectorAuthentication": _STORAGE_CONNECTOR_AUTHENTICATION,
        },
        required=("Name",),
    ),
    "DeleteStack": Structure({"Name": _STRING}, required=("Name",)),
    "AssociateFleet": Structure({"FleetName": _STRING, "StackName": _STRING}, required=("FleetName", "StackName")),
    "DisassociateFleet": Structure({"FleetName": _STRING, "StackName": _STRING}, required=("FleetName", "StackName")),
    "ListAssociatedFleets": Structure({"StackName": _STRING, "NextToken": _STRING}, required=("StackName",)),
    "ListAssociatedStacks": Structure({"FleetName": _STRING, "NextToken": _STRING}, required=("FleetName",)),
    "CreateUser": Structure(
        {
            "UserName": _USERNAME,
            "MessageAction": _MESSAGE_ACTION,
            "FirstName": _USER_ATTRIBUTE_VALUE,
            "LastName": _USER_ATTRIBUTE_VALUE,
            "AuthenticationType": _AUTHENTICATION_TYPE,
        },
        required=("UserName", "AuthenticationType"),
    ),
    "DescribeUsers": Structure(
        {"AuthenticationType": _AUTHENTICATION_TYPE, "MaxResults": Integer(), "NextToken": _STRING},
        required=("AuthenticationType",),
    ),
    "EnableUser": Structure(
        {"UserName": _USERNAME, "AuthenticationType": _AUTHENTICATION_TYPE}, required=("UserName", "AuthenticationType")
    ),
    "DisableUser": Structure(
        {"UserName": _USERNAME, "AuthenticationType": _AUTHENTICATION_TYPE}, required=("UserName", "AuthenticationType")
    ),
    "DeleteUser": Structure(
        {"UserName": _USERNAME, "AuthenticationType": _AUTHENTICATION_TYPE}, required=("UserName", "AuthenticationType")
    ),
    "BatchAssociateUserStack": Structure(
        {"UserStackAssociations": _USER_STACK_ASSOCIATION_LIST}, required=("UserStackAssociations",)
    ),
    "BatchDisassociateUserStack": Structure(
        {"UserStackAssociations": _USER_STACK_ASSOCIATION_LIST}, required=("UserStackAssociations",)
    ),
    "DescribeUserStackAssociations": Structure(
        {
            "StackName": _STRING,
            "UserName": _USERNAME,
            "AuthenticationType": _AUTHENTICATION_TYPE,
            "MaxResults": Integer(minimum=0, maximum=500),
            "NextToken": _STRING,
        }
    ),
    "CreateStreamingURL": Structure(
        {
            "StackName": _STRING,
            "FleetName": _STRING,
            "UserId": Text(pattern=r"[\w+=,.@-]*", minimum=2, maximum=32),
            "ApplicationId": _STRING,
            "Validity": Integer(),
            "SessionContext": _STRING,
        },
        required=("StackName", "FleetName", "UserId"),
    ),
    "DescribeSessions": Structure(
        {
            "StackName": _NAME,
            "FleetName": _NAME,
            "UserId": Text(minimum=2, maximum=128),
            "NextToken": _STRING,
            "Limit": Integer(),
            "AuthenticationType": _AUTHENTICATION_TYPE,
            "InstanceId": _STRING,
        },
        required=("StackName", "FleetName"),
    ),
    "ExpireSession": Structure({"SessionId": _STRING}, required=("SessionId",)),
    "DescribeImages": Structure(
        {
            "Names": _STRING_LIST,
            "Arns": _ARN_LIST,
            "Type": _VISIBILITY_TYPE,
            "NextToken": _STRING,
            "MaxResults": Integer(minimum=0, maximum=25),
        }
    ),
    "DescribeApplications": Structure({"Arns": _ARN_LIST, "NextToken": _STRING, "MaxResults": Integer()}),
    "AssociateApplicationFleet": Structure(
        {"FleetName": _NAME, "ApplicationArn": _ARN}, required=("FleetName", "ApplicationArn")
    ),
    "DisassociateApplicationFleet": Structure(
        {"FleetName": _NAME, "ApplicationArn": _ARN}, required=("FleetName", "ApplicationArn")
    ),
    "DescribeApplicationFleetAssociations": Structure(
        {"FleetName": _NAME, "ApplicationArn": _ARN, "MaxResults": Integer(), "NextToken": _STRING}
    ),
    "TagResource": Structure({"ResourceArn": _ARN, "Tags": _TAGS}, required=("ResourceArn", "Tags")),
    "UntagResource": Structure(
        {"ResourceArn": _ARN, "TagKeys": ListOf(_TAG_KEY, minimum=1, maximum=50)}, required=("ResourceArn", "TagKeys")
    ),
    "ListTagsForResource": Structure({"ResourceArn": _ARN}, required=("ResourceArn",)),
}
