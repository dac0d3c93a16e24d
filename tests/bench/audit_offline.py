"""`audit_offline_verify_rows_per_s`: entries per second that the stand-alone verifier checks in a bundle, on one core.

What it does for each is what `python -m audit.verifier` does: unpacks and reads the line, computes both hashes and the
link, spells the line anew from the content and compares, checks each personal value, folds the leaf into the tree.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction
from django.test import override_settings

from audit.actors import Actor, Interface, Kind
from audit.archive import bundles
from audit.sealing.sealer import seal
from audit.sealing.signing import SigningKey
from audit.sealing.sinks import DirectorySink
from audit.services import Entry, record_many
from audit.verifier.checking import check_bundle
from forge.db.ids import uuid7
from tests.audit.support import SIGNING_KEY
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size
from workspaces.actions import WORKSPACE_PROVISION

ENTRIES = {"tiny": 200, "quick": 5_000, "full": 250_000}
BATCH = 5_000
ORIGIN = "forge.bench/audit"


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A log of so many entries in a few lanes, sealed and exported once."""
    count = of_size(size, ENTRIES)
    key = SigningKey.load(SIGNING_KEY).verifier(ORIGIN)
    with (
        tempfile.TemporaryDirectory() as folder,
        override_settings(FORGE_AUDIT_SIGNING_KEY=SIGNING_KEY, FORGE_AUDIT_ORIGIN=ORIGIN),
    ):
        bundle = Path(folder, "bundle")
        for first in range(0, count, BATCH):
            with transaction.atomic():
                record_many(entry(number) for number in range(first, min(first + BATCH, count)))
            seal(sinks=[DirectorySink(Path(folder))])
        with bundles.write(bundle, first=None, until=None) as written:
            facts: dict[str, Any] = written.manifest

        def run() -> Run:
            began = time.perf_counter()
            report = check_bundle(bundle, keys=[key])
            seconds = time.perf_counter() - began
            if report.status != "intact":
                raise UnequalWork(f"{report.status}: {report.undecided or report.findings}")
            return Run(seconds, report.entries)

        def verify() -> dict[str, Any]:
            if facts["entries"] != count:
                raise UnequalWork(f"the bundle holds {facts['entries']} of {count} entries")
            size_on_disk = sum(one.stat().st_size for one in bundle.iterdir())
            return {"entries": count, "checkpoints": facts["checkpoints"], "bundle_bytes": size_on_disk}

        yield Subject(run, verify)


def entry(number: int) -> Entry:
    """A launch, as the service of workspaces records it."""
    person, machine = uuid.UUID(int=number % 2_000), uuid7()
    return Entry(
        actor=Actor(
            kind=Kind.USER,
            interface=Interface.PORTAL,
            user_id=person,
            email=f"person{number % 2_000}@example.com",
            organization_id=uuid.UUID(int=number % 20),
            credential_id=person,
            source_ip="192.0.2.17",
            user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
            correlation_id=uuid7(),
        ),
        action=WORKSPACE_PROVISION,
        description=f"Launch of machine {machine}",
        resource_type="WorkSpace",
        resource_id=str(machine),
        changes={
            "before": None,
            "after": {"bundle_type": "STANDARD", "operating_system": "LINUX", "running_mode": "AUTO_STOP",
                      "region": "us-east-1", "owner_id": str(person), "operation_id": str(uuid7())},
        },
    )  # fmt: skip


BENCHMARK = Figure(
    name="audit_offline_verify_rows_per_s", goal=15_000, unit="rows/s", prepare=prepare, is_rate=True
)  # fmt: skip
