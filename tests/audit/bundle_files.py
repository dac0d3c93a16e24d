"""Bundles as a forger has them: any line changed, every hash in the manifest made to fit again."""

import gzip
import hashlib
import json
from datetime import date

from audit import actions, registry
from audit.archive import bundles
from audit.sealing.sealer import seal
from audit.sealing.signing import SigningKey
from audit.verifier import layout
from audit.verifier.checking import check_bundle
from tests.audit.attacker import MONTHS, build
from tests.audit.support import SIGNING_KEY, leave, leave_one

ORIGIN = "forge.test/audit"
KEY = SigningKey.load(SIGNING_KEY).verifier(ORIGIN)
ERASE = registry.register("AUDIT_ERASE", required=("context.reason", "context.month"))


def export(folder, first: date | None = None, until: date | None = None):
    with bundles.write(folder, first=first, until=until) as bundle:
        pass
    return bundle


def lines(folder, name):
    return [json.loads(line) for line in gzip.decompress((folder / name).read_bytes()).splitlines()]


def write_lines(folder, name, values):
    text = "".join(value if isinstance(value, str) else f"{layout.dump(value)}\n" for value in values)
    (folder / name).write_bytes(gzip.compress(text.encode()))
    refit(folder)


def edit(folder, name, change):
    """`change` gets the lines of a file as a list of objects, and changes it."""
    values = lines(folder, name)
    change(values)
    write_lines(folder, name, values)


def manifest(folder):
    return json.loads((folder / layout.MANIFEST).read_text())


def refit(folder, **facts):
    """Make the manifest tell of the files as they are, and of `facts`; and its own hash of it."""
    told = manifest(folder) | facts
    for name in layout.FIXED:
        raw = (folder / name).read_bytes()
        told["files"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    raw = json.dumps(told).encode()
    (folder / layout.MANIFEST).write_bytes(raw)
    (folder / layout.MANIFEST_HASH).write_text(f"{hashlib.sha256(raw).hexdigest()}  {layout.MANIFEST}\n")


def check(folder, **options):
    """The status and the findings' (kind, lane, number)."""
    report = check_bundle(folder, **options)
    return report.status, [(one.kind, one.lane, one.number) for one in report.findings]


def found(folder, **options):
    """The findings of a bundle that must not be intact, with the key that the auditor was told before."""
    status, findings = check(folder, keys=[KEY], **options)
    assert status == "tampered"
    return findings


def number_of(folder, at=3):
    entry = lines(folder, layout.ENTRIES)[at]
    return entry["lane"], entry["lane_seq"]


def make_originals(folder, superuser):
    """Three bundles: `whole`, `month` (the middle one of three), `erased` (its last entry names the two before it)."""
    build(superuser)
    leave(2, action=actions.AUTH_FAILED, context={"identifier": "ann@example.com"})
    # An entry that holds what a careless reader of lines looks for.
    leave_one(changes={"before": {"class_uid": 6003, "content": "x"}, "after": {"class_uid": 6003, "content": 5}},
              context={"lane": 1, "lane_seq": 1, "leaf_index": 1, "log_hash": "x", "timestamp": "x"})  # fmt: skip
    seal()
    export(folder / "whole")
    export(folder / "month", MONTHS[1], MONTHS[1])
    one, two = leave(2, action=actions.AUTH_FAILED, context={"identifier": "bob@example.com"})
    named = {"entries": [[one.entry_id, one.entry_id]], "about": [[two.entry_id, two.entry_id]]}
    leave_one(action=ERASE, context={"reason": "asked", "month": "2026-01", **named})
    seal()
    export(folder / "erased")
