"""`python -m audit.verifier BUNDLE`: is an export bundle of the audit log whole? Exit code 0 intact, 1 tampered,
2 cannot decide.

Needs Python 3.11 and `cryptography`, no Forge, no Django, no database: this folder may be copied to another machine
and run there as `python -m verifier BUNDLE`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

from .checking import Receipt, check_bundle
from .findings import Report
from .notes import MOST_NOTE_BYTES, NoteError, VerifierKey

EXIT_CODES = {"intact": 0, "tampered": 1, "undecided": 2}
_RECEIPT = re.compile(r"([0-9]{1,3})-([0-9]{1,14})-([0-9a-f]{64})")


def main(arguments: list[str] | None = None) -> int:
    """Check the bundle that the arguments name, print the result, return the exit code."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    report = check_bundle(
        options.bundle,
        keys=options.key,
        outside=options.checkpoint,
        receipt=options.receipt,
        progress=_progress if sys.stderr.isatty() else None,
    )
    seconds = time.monotonic() - began
    if options.json:
        text = json.dumps(report.as_json() | {"seconds": round(seconds, 3)})
    else:
        text = "\n".join(_lines(report, seconds))
    # What stands in a bundle may be no text at all, and a terminal may not know every letter.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))
    return EXIT_CODES[report.status]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m audit.verifier",
        description="Checks an export bundle of the audit log. Exits 0 intact, 1 tampered, 2 cannot decide.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder that audit_export wrote")
    parser.add_argument(
        "--key", type=_key, action="append", default=[], metavar="NAME+ID+BASE64",
        help="a public key that you trust; may stand several times; default: those in the bundle",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=_note, action="append", default=[], metavar="FILE",
        help="a checkpoint from an outside place, which the leaves must agree with; may stand several times",
    )  # fmt: skip
    parser.add_argument("--receipt", type=_receipt, metavar="R", help="also: is this the entry of the receipt?")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def _key(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except NoteError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _note(path: str) -> str:
    try:
        return Path(path).read_bytes()[: MOST_NOTE_BYTES + 1].decode()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _receipt(text: str) -> Receipt:
    match = _RECEIPT.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("a receipt has the form lane-seq-hex")
    return Receipt(int(match[1]), int(match[2]), bytes.fromhex(match[3]))


def _lines(report: Report, seconds: float) -> list[str]:
    what = (
        f"{report.entries} entries in {report.lanes} lanes, leaves {report.low} to {report.high},"
        f" {report.checkpoints} signed checkpoints of {report.origin or 'nobody'}, {seconds:.1f} s"
    )
    erased = [f"  note: The personal values of {report.erased} entries were erased."] if report.erased else []
    notices = [f"  note: {notice}" for notice in report.notices]
    if report.status == "intact":
        return [f"intact: {what}", *erased, *notices]
    if report.status == "undecided":
        return [f"cannot decide: {report.undecided}", *notices]
    ended = [f"  The check ended early: {report.undecided}"] if report.undecided else []
    more = [f"  and {rest} more"] if (rest := report.wrong - len(report.findings)) else []
    return [f"TAMPERED: {what}", *(f"  {finding}" for finding in report.findings), *more, *ended, *erased, *notices]


def _progress(leaves: int) -> None:
    sys.stderr.write(f"\r{leaves} leaves")


if __name__ == "__main__":
    sys.exit(main())
