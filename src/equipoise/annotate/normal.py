"""Captions as words are compared (NFKC, no case, plain apostrophes), with the way back to the raw text; scripts."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

APOSTROPHES = "’‘ʼ′´`＇‛"
HYPHENS = "‐‑−－﹣"
INVISIBLE = "\u00ad\u200c\u200d\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Soft hyphens, joiners and marks of direction: nothing to see, and no end of a word."""

SCRIPTS = {"Han": ("CJK", "IDEOGRAPHIC"), "Hiragana": ("HIRAGANA",), "Katakana": ("KATAKANA", "KATAKANA-HIRAGANA")}
OTHERS = (
    "Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati", "Gurmukhi",
    "Hangul", "Hebrew", "Kannada", "Khmer", "Lao", "Latin", "Malayalam", "Mongolian", "Myanmar", "Oriya", "Sinhala",
    "Tamil", "Telugu", "Thai", "Tibetan",
)  # fmt: skip
SCRIPTS |= {name: (name.upper(),) for name in OTHERS}
_PLAIN_APOSTROPHE = str.maketrans({"`": "'"})
_JAMO = re.compile(r"[\u1160-\u11ff]")


@dataclass(frozen=True)
class Normal:
    """A text as it is compared.

    Attributes
    ----------
    text : str
    starts, ends : sequence of int or None
        For each character, where in the raw text it came from; None where the two texts have the same places.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the places in the raw text of ``text[start:end]``, which is not empty."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


@lru_cache(maxsize=65536)
def _folded(unit: str) -> str:
    """Return a character with the marks that follow it, folded."""
    if len(unit) == 1:
        if unit in APOSTROPHES:
            return "'"
        if unit in HYPHENS:
            return "-"
        if unit in INVISIBLE:
            return ""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", unit).casefold())


@lru_cache(maxsize=65536)
def _continues(character: str) -> bool:
    """Whether a character belongs to the one before it: a mark, a half-width voicing sign, a vowel of Hangul."""
    first = unicodedata.normalize("NFKC", character)[:1]
    return bool(first and unicodedata.combining(first)) or bool(_JAMO.match(character))


def normal(raw: str) -> Normal:
    """Return a text as it is compared.

    Each character is taken with the marks that follow it, put into NFKC and stripped of case; curly apostrophes and
    typographic hyphens become plain ones; soft hyphens, joiners and marks of direction go.
    """
    if raw.isascii():
        return Normal(raw.lower().translate(_PLAIN_APOSTROPHE))
    units: list[str] = []
    places: list[int] = []
    for place, character in enumerate(raw):
        if units and character > "\x7f" and _continues(character):
            units[-1] += character
        else:
            units.append(character)
            places.append(place)
    pieces = [_folded(unit) for unit in units]
    text = "".join(pieces)
    if len(units) == len(raw) and all(len(piece) == 1 for piece in pieces):
        return Normal(text)
    starts, ends = array("q"), array("q")
    for piece, start, end in zip(pieces, places, [*places[1:], len(raw)], strict=True):
        starts.extend([start] * len(piece))
        ends.extend([end] * len(piece))
    return Normal(text, starts, ends)


def script_names() -> tuple[str, ...]:
    """Return the scripts that a list can name."""
    return tuple(sorted(SCRIPTS))


class Scripts:
    """Tells letters of some scripts from all others."""

    def __init__(self, names: Sequence[str]) -> None:
        self.latin = "Latin" in names
        self.heads = frozenset(head for name in names for head in SCRIPTS[name])
        self.weights = _Weights(self.heads)

    def letters(self, text: str) -> tuple[int, int]:
        """Return how many letters of a text are of these scripts, and how many are not."""
        if text.isascii():
            count = sum(map(str.isalpha, text))
            return (count, 0) if self.latin else (0, count)
        other, own = divmod(sum(map(self.weights.__getitem__, text)), _OTHER)
        return own, other


_OTHER = 1 << 40


class _Weights(dict[str, int]):
    """Character -> 1 for a letter of the scripts, 2**40 for another letter, 0 for what is no letter."""

    def __init__(self, heads: frozenset[str]) -> None:
        super().__init__()
        self.heads = heads

    def __missing__(self, character: str) -> int:
        first = unicodedata.normalize("NFKC", character)[:1]
        weight = 0
        if first.isalpha():
            head = unicodedata.name(first, "").split(" ")[0]
            weight = 1 if head in self.heads else _OTHER
        self[character] = weight
        return weight
