"""Which instance type of WorkSpaces Applications is as large as which bundle type, and which system AWS's names mean.

vCPUs, memory and GPU of each pair are the same (AWS: instance families of WorkSpaces Applications, and the hardware of
the WorkSpaces bundles). Instance types that are as large as no bundle are not launched: nobody could say who may have
them, nor what they cost.
"""

from __future__ import annotations

BUNDLE_OF_INSTANCE: dict[str, str] = {
    "stream.standard.medium": "STANDARD",
    "stream.standard.large": "PERFORMANCE",
    "stream.standard.xlarge": "POWER",
    "stream.standard.2xlarge": "POWERPRO",
    "stream.graphics.g4dn.xlarge": "GRAPHICS_G4DN",
    "stream.graphics.g4dn.4xlarge": "GRAPHICSPRO_G4DN",
}
"""By the instance type of a fleet."""


def system_of(name: str) -> str:
    """WINDOWS or LINUX, of AWS's name of an operating system or platform (WINDOWS_SERVER_2022, UBUNTU_22_04, …)."""
    return "WINDOWS" if name.startswith("WINDOWS") else "LINUX"
