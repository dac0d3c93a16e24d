"""The copies of months that retention dropped: are their manifests as the log says?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from audit import places
from audit.places import ArchiveFailed, CopyDiffers
from audit.verification.dropped import Dropped
from audit.verification.findings import Finding

MANIFEST = "manifest.json"


def check_copies(dropped: Dropped) -> tuple[list[Finding], list[str]]:
    """Are the manifests of the copies of all dropped months as the log says, and of as many entries as are gone?

    Findings, and what could not be checked: then nothing but its own word says that these months were dropped rightly.
    The copies' other files are not read.
    """
    if not dropped.months:
        return [], []
    archive = places.configured()
    if archive is None:
        return [], [
            f"The copies of {len(dropped.months)} dropped months were not looked for: FORGE_ARCHIVE is not set."
        ]
    findings: list[Finding] = []
    rows = 0
    for month, expected in sorted(dropped.months.items()):
        try:
            manifest, _ = read_manifest(archive.folder_of(dropped.table, month), expected)
            rows += manifest["rows"]
        except (ArchiveFailed, OSError) as error:
            return findings, [f"The copies of dropped months could not be looked for: {error}"]
        except CopyDiffers as error:
            findings.append(Finding("archived_month", f"the copy of dropped {month:%Y-%m}: {error}", None))
    if not findings and (rows < dropped.numbers or (dropped.ranges == dropped.said and rows != dropped.numbers)):
        detail = f"{dropped.numbers} entries are said to be dropped, and the copies hold {rows}"
        findings.append(Finding("archived_month", detail, None))
    return findings, []


def read_manifest(folder: Path, expected: str | None) -> tuple[dict[str, Any], str]:
    """The manifest of the copy in `folder`, and its SHA-256, which must be `expected`.

    Raises CopyDiffers, OSError.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CopyDiffers(f"{path} is gone")
    data = path.read_bytes()
    hashed = hashlib.sha256(data).hexdigest()
    if expected is not None and hashed != expected:
        raise CopyDiffers(f"{path} was changed: its SHA-256 is {hashed}, not {expected}")
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise CopyDiffers(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict) or "rows" not in manifest:
        raise CopyDiffers(f"{path} is no manifest")
    return manifest, hashed
