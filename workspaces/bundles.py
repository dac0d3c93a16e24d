"""What each bundle type is: size and included volumes, as AWS lists its WorkSpaces bundles.

The volumes of the graphics bundles, 100 and 100 GB, are second-hand (tables of third parties; AWS's own give none).
A price list in which they stand with others is told by `refresh_prices` and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from blueprints.models import BundleType


@dataclass(frozen=True)
class BundleFacts:
    """vCPUs, memory in GiB, GPU model or None, and the volumes in GB that the price includes."""

    vcpus: int
    memory_gib: int
    gpu: str | None
    root_volume_gb: int
    user_volume_gb: int


BUNDLES: dict[str, BundleFacts] = {
    BundleType.STANDARD: BundleFacts(2, 4, None, 80, 50),
    BundleType.PERFORMANCE: BundleFacts(2, 8, None, 80, 100),
    BundleType.POWER: BundleFacts(4, 16, None, 175, 100),
    BundleType.POWERPRO: BundleFacts(8, 32, None, 175, 100),
    BundleType.GRAPHICS_G4DN: BundleFacts(4, 16, "NVIDIA T4", 100, 100),
    BundleType.GRAPHICSPRO_G4DN: BundleFacts(16, 64, "NVIDIA T4", 100, 100),
}
