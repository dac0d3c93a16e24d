"""The copy of a month in the archive: made whole or not at all, and held against the database and its own hashes.

A folder with the rows as Parquet (`<table>.parquet`), what the table's policy adds (the log: its bundle), and
`manifest.json`: table, month, number of rows, and size and SHA-256 of each file. The SHA-256 of the manifest is what
the audit log keeps.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from audit.archive import files, parquet, places
from audit.archive.parquet import CopyDiffers
from audit.archive.places import Archive, ArchiveFailed
from audit.archive.policies import Policy
from audit.verification.dropped import Dropped
from audit.verification.findings import Finding

FORMAT = "forge-archived-month"
VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Copy:
    """A copy that was found to be right: its folder, its rows and the SHA-256 of its manifest in hexadecimal."""

    folder: Path
    rows: int
    manifest_sha256: str


def make(archive: Archive, policy: Policy, month: date, partition: str) -> Copy:
    """Copy a detached month. A whole copy that is there already, of a run that was killed, is taken if it is right.

    Raises CopyDiffers, ArchiveFailed, FolderExists, and what the policy's `write` and `check` raise.
    """
    folder = archive.folder_of(policy.table, month)
    try:
        if not (folder / MANIFEST).exists():
            with files.fresh(folder) as part:
                rows = parquet.write(part / f"{policy.table}.parquet", policy.source(partition))
                policy.write(month, part)
                _write_manifest(part, policy, month, rows)
        return check(archive, policy, month, partition)
    except OSError as error:
        raise ArchiveFailed(f"{archive.name}: {error}") from error


def check(archive: Archive, policy: Policy, month: date, partition: str, expected: str | None = None) -> Copy:
    """Hold the copy against its manifest, the detached month and `expected`, the manifest's SHA-256 as it was recorded.

    Raises CopyDiffers, ArchiveFailed, and what the policy's `check` raises.
    """
    folder = archive.folder_of(policy.table, month)
    try:
        manifest, hashed = _read_manifest(folder, expected)
        _check_files(folder, policy, manifest)
        rows = parquet.compare(folder / f"{policy.table}.parquet", policy.source(partition))
        if (manifest.get("table"), manifest.get("month"), manifest.get("rows")) != (
            policy.table, f"{month:%Y-%m}", rows,
        ):  # fmt: skip
            raise CopyDiffers(f"{folder / MANIFEST} is not about the {rows} rows of {partition}")
        policy.check(month, folder)
    except OSError as error:
        raise ArchiveFailed(f"{archive.name}: {error}") from error
    return Copy(folder, rows, hashed)


def check_copies(dropped: Dropped) -> tuple[list[Finding], list[str]]:
    """Are the manifests of the copies of all dropped months as the log says, and of as many entries as are gone?

    Findings, and notices of what could not be checked. The copies' other files are not read.
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
            manifest, _ = _read_manifest(archive.folder_of(dropped.table, month), expected)
            rows += manifest["rows"]
        except (ArchiveFailed, OSError) as error:
            return findings, [f"The copies of dropped months could not be looked for: {error}"]
        except CopyDiffers as error:
            findings.append(Finding("archived_month", f"the copy of dropped {month:%Y-%m}: {error}", None))
    if not findings and dropped.ranges == dropped.said and rows != dropped.numbers:
        detail = f"{dropped.numbers} entries are said to be dropped, and the copies hold {rows}"
        findings.append(Finding("archived_month", detail, None))
    return findings, []


def _write_manifest(folder: Path, policy: Policy, month: date, rows: int) -> None:
    names = [name for name in _names(folder) if name not in policy.unfixed]
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "table": policy.table,
        "month": f"{month:%Y-%m}",
        "rows": rows,
        "files": {name: _facts(folder / name) for name in names},
    }
    with files.hashed(folder / MANIFEST) as file:
        file.write((json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())


def _read_manifest(folder: Path, expected: str | None) -> tuple[dict[str, Any], str]:
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


def _check_files(folder: Path, policy: Policy, manifest: dict[str, Any]) -> None:
    present = {name for name in _names(folder) if name not in policy.unfixed}
    for name in sorted(present ^ manifest["files"].keys()):
        raise CopyDiffers(f"{folder / name} is {'not in the manifest' if name in present else 'gone'}")
    for name, facts in sorted(manifest["files"].items()):
        if _facts(folder / name) != facts:
            raise CopyDiffers(f"{folder / name} was changed")


def _names(folder: Path) -> list[str]:
    """Every file below the folder but the manifest, by its path in it."""
    found = [Path(here, name).relative_to(folder) for here, _, names in os.walk(folder) for name in names]
    return sorted(str(path) for path in found if str(path) != MANIFEST)


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
