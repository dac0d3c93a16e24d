"""`python -m tests.browser.screenshots`: the pictures of the documents, taken anew of a running demo.

The demo is the one of this checkout (`make demo`), or whose demo.json is named.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image  # comes with fpdf2

from tests.browser.chromium import chromium, visit
from tests.browser.places import PICTURED, go
from tests.e2e.demo import ROOT

COLOURS = 128
"""Of a picture, which is a third of the size then."""
FOLDER = ROOT / "docs/screenshots"


def main(demo: Path) -> None:
    facts = json.loads(demo.read_text())
    admin = next(user for user in facts["users"] if user["role"] == "admin")
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser, visit(browser, facts["base_url"]) as one:
        one.sign_in(admin)
        for name in PICTURED:
            go(one, name)
            shot = Image.open(BytesIO(one.page.screenshot()))
            shot.convert("RGB").quantize(COLOURS).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".forge/demo.json")
