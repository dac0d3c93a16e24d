"""What every simulated region holds from the start: directories, images and bundles with ids that can be computed.

All ids are digests of what they name, so a seed or a test can name a bundle without asking the server:
`bundle_id("us-east-1", "engineering-linux-1", "STANDARD")`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

AMAZON = "AMAZON"
DIRECTORIES_PER_REGION = 2
# Nobody in the directories has a name that starts so: CreateWorkspaces answers ResourceNotFound.User.
ABSENT_USER_PREFIX = "nobody"

_FORBIDDEN_IN_USER_NAMES = set('"/\\[]:;|=,+*?<>')
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BUNDLE_CREATED_AT = 1_735_689_600  # 2025-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class ComputeType:
    """One hardware size and the volumes that its default bundles carry."""

    label: str
    root_gib: int
    user_gib: int


@dataclass(frozen=True, slots=True)
class Image:
    """One operating system image, AWS's own or the customer's."""

    name: str
    label: str
    operating_system: str
    is_amazon: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """One image on one compute type in one region; what CreateWorkspaces asks for."""

    bundle_id: str
    image: Image
    compute_type: str

    @property
    def root_gib(self) -> int:
        return COMPUTE_TYPES[self.compute_type].root_gib

    @property
    def user_gib(self) -> int:
        return COMPUTE_TYPES[self.compute_type].user_gib


# In ascending order of size, which ModifyWorkspaceProperties relies on. AWS's documents give no volumes of the two
# graphics bundles; second-hand tables of the bundles have 100 and 100 GB, which workspaces/bundles.py has too.
COMPUTE_TYPES = {
    "STANDARD": ComputeType("Standard", 80, 50),
    "PERFORMANCE": ComputeType("Performance", 80, 100),
    "POWER": ComputeType("Power", 175, 100),
    "POWERPRO": ComputeType("PowerPro", 175, 100),
    "GRAPHICS_G4DN": ComputeType("Graphics.g4dn", 100, 100),
    "GRAPHICSPRO_G4DN": ComputeType("GraphicsPro.g4dn", 100, 100),
}

IMAGES = {
    image.name: image
    for image in (
        Image("windows-server-2022", "Windows 10 (Server 2022 based)", "WINDOWS_SERVER_2022", True),
        Image("windows-server-2025", "Windows 11 (Server 2025 based)", "WINDOWS_SERVER_2025", True),
        Image("ubuntu-22-04", "Ubuntu 22.04", "UBUNTU_22_04", True),
        Image("ubuntu-24-04", "Ubuntu 24.04", "UBUNTU_24_04", True),
        Image("rocky-9", "Rocky Linux 9", "ROCKY_9", True),
        Image("engineering-linux-1", "Engineering Linux, first image", "UBUNTU_22_04", False),
        Image("engineering-linux-2", "Engineering Linux, second image", "UBUNTU_24_04", False),
        Image("engineering-windows-1", "Engineering Windows, first image", "WINDOWS_SERVER_2022", False),
        Image("engineering-windows-2", "Engineering Windows, second image", "WINDOWS_SERVER_2025", False),
        Image("data-science-linux-1", "Data science Linux, first image", "UBUNTU_22_04", False),
        Image("data-science-linux-2", "Data science Linux, second image", "UBUNTU_24_04", False),
        Image("firmware-linux-1", "Firmware Linux, first image", "ROCKY_9", False),
        Image("design-windows-1", "Design Windows, first image", "WINDOWS_SERVER_2022", False),
    )
}


def bundle_id(region: str, image: str, compute_type: str) -> str:
    """The id of the bundle that puts `image` on `compute_type` in `region`; ValueError for what does not exist."""
    if image not in IMAGES:
        raise ValueError(f"No image {image!r}; there are {', '.join(IMAGES)}.")
    if compute_type not in COMPUTE_TYPES:
        raise ValueError(f"No compute type {compute_type!r}; there are {', '.join(COMPUTE_TYPES)}.")
    return "wsb-" + _base36(f"bundle|{region}|{image}|{compute_type}", 9)


def image_id(region: str, image: str) -> str:
    """The id of an image in `region`; ValueError for one that does not exist."""
    if image not in IMAGES:
        raise ValueError(f"No image {image!r}; there are {', '.join(IMAGES)}.")
    return "wsi-" + _base36(f"image|{region}|{image}", 9)


def directory_id(region: str, number: int = 1) -> str:
    """The id of the directory with that number (1 or 2) in `region`."""
    if not 1 <= number <= DIRECTORIES_PER_REGION:
        raise ValueError(f"A region has directories 1 to {DIRECTORIES_PER_REGION}, not {number}.")
    return "d-" + _digest(f"directory|{region}|{number}")[:10]


def subnet_ids(region: str, number: int = 1) -> tuple[str, str]:
    """The two subnets of a directory."""
    return (_subnet(region, number, "a"), _subnet(region, number, "b"))


@lru_cache(maxsize=64)
def bundles(region: str) -> dict[str, Bundle]:
    """Every bundle of a region by its id, AWS's own first."""
    return {bundle.bundle_id: bundle for bundle in _bundles(region)}


@lru_cache(maxsize=64)
def directory_numbers(region: str) -> dict[str, int]:
    """The region's directory ids with their numbers."""
    return {directory_id(region, number): number for number in range(1, DIRECTORIES_PER_REGION + 1)}


def has_user(name: str) -> bool:
    """Whether the directories know a user: everybody whose name Active Directory allows, but nobody-*."""
    return (
        not name.lower().startswith(ABSENT_USER_PREFIX)
        and name.isprintable()
        and not _FORBIDDEN_IN_USER_NAMES.intersection(name)
    )


def arn(account: str, region: str, resource_id: str) -> str:
    """The ARN of a machine, directory or bundle, or, written as `fleet/name`, of a thing of WorkSpaces Applications."""
    if "/" in resource_id:
        return f"arn:{_partition(region)}:appstream:{region}:{account}:{resource_id}"
    kind = {"ws": "workspace", "d": "directory", "wsb": "workspacebundle"}[resource_id.partition("-")[0]]
    return f"arn:{_partition(region)}:workspaces:{region}:{account}:{kind}/{resource_id}"


def describe_bundle(bundle: Bundle, *, account: str, region: str) -> dict[str, Any]:
    """A WorkspaceBundle; only the customer's own bundles name their image."""
    compute = COMPUTE_TYPES[bundle.compute_type]
    image = bundle.image
    description = {
        "BundleId": bundle.bundle_id,
        "Name": f"{compute.label} with {image.label}",
        "Owner": AMAZON if image.is_amazon else account,
        "Description": f"{image.label} on {compute.label}",
        "RootStorage": {"Capacity": str(compute.root_gib)},
        "UserStorage": {"Capacity": str(compute.user_gib)},
        "ComputeType": {"Name": bundle.compute_type},
        "LastUpdatedTime": _BUNDLE_CREATED_AT,
        "CreationTime": _BUNDLE_CREATED_AT,
        "State": "AVAILABLE",
        "BundleType": "REGULAR",
    }
    return description if image.is_amazon else description | {"ImageId": image_id(region, image.name)}


def describe_image(image: Image, *, account: str, region: str) -> dict[str, Any]:
    """A WorkspaceImage of the customer's own."""
    return {
        "ImageId": image_id(region, image.name),
        "Name": image.name,
        "Description": image.label.replace(",", " -"),
        "OperatingSystem": {"Type": "WINDOWS" if image.operating_system.startswith("WINDOWS") else "LINUX"},
        "State": "AVAILABLE",
        "RequiredTenancy": "DEFAULT",
        "Created": _BUNDLE_CREATED_AT,
        "OwnerAccountId": account,
    }


def describe_directory(number: int, *, account: str, region: str) -> dict[str, Any]:
    """A WorkspaceDirectory: registered, shared tenancy, no internet access, no self-service."""
    is_first = number == 1
    allow, deny = "ALLOW", "DENY"
    return {
        "DirectoryId": directory_id(region, number),
        "Alias": f"robco-{region}-{number}",
        "DirectoryName": f"corp{number}.{region}.robco.example",
        "RegistrationCode": "SLiad+" + _base36(f"registration|{region}|{number}", 6).upper(),
        "SubnetIds": list(subnet_ids(region, number)),
        "DnsIpAddresses": [f"10.{number}.0.10", f"10.{number}.1.10"],
        "CustomerUserName": "forge-connector",
        "IamRoleId": f"arn:{_partition(region)}:iam::{account}:role/workspaces_DefaultRole",
        "DirectoryType": "AD_CONNECTOR" if is_first else "SIMPLE_AD",
        "WorkspaceSecurityGroupId": "sg-" + _digest(f"group|{region}|{number}")[:17],
        "State": "REGISTERED",
        "WorkspaceCreationProperties": {
            "EnableInternetAccess": False,
            "DefaultOu": f"OU=WorkSpaces,DC=corp{number},DC=robco,DC=example",
            "UserEnabledAsLocalAdministrator": False,
            "EnableMaintenanceMode": True,
        },
        "WorkspaceAccessProperties": {
            "DeviceTypeWindows": allow,
            "DeviceTypeOsx": allow,
            "DeviceTypeWeb": allow,
            "DeviceTypeIos": deny,
            "DeviceTypeAndroid": deny,
            "DeviceTypeChromeOs": deny,
            "DeviceTypeZeroClient": deny,
            "DeviceTypeLinux": allow,
        },
        "Tenancy": "SHARED",
        "SelfservicePermissions": dict.fromkeys(
            ("RestartWorkspace", "IncreaseVolumeSize", "ChangeComputeType", "SwitchRunningMode", "RebuildWorkspace"),
            "DISABLED",
        ),
        "SamlProperties": {"Status": "DISABLED", "RelayStateParameterName": "RelayState"},
        "CertificateBasedAuthProperties": {"Status": "DISABLED"},
        "UserIdentityType": "CUSTOMER_MANAGED" if is_first else "AWS_DIRECTORY_SERVICE",
        "WorkspaceType": "PERSONAL",
        "EndpointEncryptionMode": "STANDARD_TLS",
    }


def _bundles(region: str) -> Iterator[Bundle]:
    for image in IMAGES.values():
        for compute_type in COMPUTE_TYPES:
            yield Bundle(bundle_id(region, image.name, compute_type), image, compute_type)


def _subnet(region: str, number: int, zone: str) -> str:
    return "subnet-" + _digest(f"subnet|{region}|{number}|{zone}")[:17]


def _partition(region: str) -> str:
    prefix = region.partition("-")[0]
    if prefix == "cn":
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _base36(text: str, length: int) -> str:
    number = int(_digest(text), 16)
    letters = []
    for _ in range(length):
        number, remainder = divmod(number, 36)
        letters.append(_BASE36[remainder])
    return "".join(letters)
