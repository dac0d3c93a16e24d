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

from audit.archive import files
from audit.archive.policies import Policy
from audit.places import Archive, ArchiveFailed, CopyDiffers
from audit.verification.copies import MANIFEST, read_manifest
from forge.db.late import late

parquet = late("audit.archive.parquet")

FORMAT = "forge-archived-month"
VERSION = 1


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
        manifest, hashed = read_manifest(folder, expected)
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
