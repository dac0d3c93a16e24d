"""Fonts of a report: Source Sans for Latin, Greek and Cyrillic; further ones only where a name needs them.

They come with the package weblate-fonts (SIL Open Font License) and are embedded as the subset that is used; HarfBuzz
shapes what is not set letter by letter, such as Arabic. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from fontTools.ttLib import TTFont
from fpdf import FPDF

SANS = "sans"

_FOLDER = files("weblate_fonts") / "static" / "weblate_fonts"
_SANS = {"": "source-sans/ttf/SourceSans3-Regular.ttf", "B": "source-sans/ttf/SourceSans3-Semibold.ttf"}
_FURTHER = {
    "world": "kurinto/ttf/KurintoSans-Rg.ttf",  # Arabic, Hebrew, Thai, the scripts of India, and many more
    "japanese": "kurinto/ttf/KurintoSansJP-Rg.ttf",
    "chinese": "kurinto/ttf/KurintoSansSC-Rg.ttf",
    "korean": "kurinto/ttf/KurintoSansKR-Rg.ttf",
}
_KANA = range(0x3040, 0x3100)


def add_fonts(pdf: FPDF, texts: Iterable[str]) -> None:
    """Give `pdf` what it needs to show `texts`; letters that no font has are shown as boxes."""
    for style, path in _SANS.items():
        pdf.add_font(SANS, style, str(_FOLDER / path))
    missing = {ord(letter) for text in texts for letter in text} - _letters(_SANS[""])
    names = list(_FURTHER) if missing.intersection(_KANA) else ["world", "chinese", "japanese", "korean"]
    taken = []
    for name in names:
        if found := missing & _letters(_FURTHER[name]) if missing else None:
            pdf.add_font(name, "", str(_FOLDER / _FURTHER[name]))
            taken.append(name)
            missing -= found
    pdf.set_fallback_fonts(taken, exact_match=False)


def is_plain(text: str) -> bool:
    """Whether the text is set letter by letter in the one font that is always there."""
    return all(ord(letter) in _letters(_SANS[""]) for letter in text)


@cache
def _letters(path: str) -> frozenset[int]:
    """Code points that the font of this package has."""
    with TTFont(str(_FOLDER / path), lazy=True) as font:
        return frozenset(font.getBestCmap())
