"""`.ci/advisories.py`: status 0 where the advisory service of OSV answers a question about a package that exists.

PIP_AUDIT_OSV_URL, which pip-audit reads too, names a mirror of it for machines that do not reach it. An
answer that is not the service's own (a proxy's page, an index without advisories) is none.
"""

from __future__ import annotations

import os
import sys

import requests

SECONDS = 10
OSV = os.environ.get("PIP_AUDIT_OSV_URL", "https://api.osv.dev/v1/query")


def osv() -> bool:
    question = {"version": "5.2", "package": {"name": "django", "ecosystem": "PyPI"}}
    answer = requests.post(OSV, json=question, timeout=SECONDS)
    return answer.ok and bool(answer.json().get("vulns"))


def main() -> int:
    try:
        is_there = osv()
    except (requests.RequestException, ValueError) as error:
        print(f"{type(error).__name__}: {error}"[:300])
        return 1
    if not is_there:
        print("it tells nothing of a version whose weaknesses are known")
    return 0 if is_there else 1


if __name__ == "__main__":
    sys.exit(main())
