"""The words of a caption whose words stand between spaces and signs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from equipoise.annotate.normal import Normal, normal

WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


@dataclass(eq=False)
class Words:
    """The words of a caption, in parallel lists.

    Attributes
    ----------
    raw : str
        The caption.
    normal : Normal
        The caption as it is compared.
    texts : list of str
        Runs of letters with inner ``'`` or ``-``, without a possessive ``'s``.
    starts, ends : list of int
        Their places in ``normal.text``; a possessive ``'s`` is not inside.
    owned : list of bool
        Whether a possessive ``'s`` or ``'`` follows.
    """

    raw: str
    normal: Normal
    texts: list[str]
    starts: list[int]
    ends: list[int]
    owned: list[bool]

    @cached_property
    def in_capitals(self) -> bool:
        """Whether the caption is written as a title, or all in capitals, so that a capital says nothing.

        Nearly all of its long words have one, and they are five, or three and a short word inside has one too.
        """
        capitals = [self.capital(place) for place in range(min(len(self.texts), 200))]
        long = [has for has, word in zip(capitals, self.texts, strict=False) if len(word) > 3]
        short = any(has for has, word in zip(capitals[1:], self.texts[1:], strict=False) if len(word) <= 3)
        return len(long) >= (3 if short else 5) and sum(long) >= 0.8 * len(long)

    def gap(self, place: int) -> str:
        """Return what stands between a word and the one before it, or before the first."""
        return self.normal.text[self.ends[place - 1] if place else 0 : self.starts[place]]

    def together(self, place: int) -> bool:
        """Whether nothing but space or a possessive sign stands between a word and the one before it."""
        if not place:
            return False
        gap = self.gap(place)
        return not (gap.replace("s", "", 1) if self.owned[place - 1] else gap).strip(" \t\r\n\u3000'")

    def written(self, place: int) -> str:
        """Return a word as the caption writes it."""
        start, end = self.normal.raw_span(self.starts[place], self.ends[place])
        return self.raw[start:end]

    def capital(self, place: int) -> bool:
        """Whether a word begins with a capital."""
        return self.written(place)[:1].isupper()


def words_of(raw: str) -> Words:
    """Return the words of a caption; ``man 's`` is read as ``man's``."""
    found = normal(raw)
    text = found.text
    matches = list(WORD.finditer(text))
    texts, spans = [match.group() for match in matches], [match.span() for match in matches]
    if "'" in text:
        return _possessive(raw, found, texts, spans)
    return Words(raw, found, texts, [start for start, _ in spans], [end for _, end in spans], [False] * len(texts))


def _possessive(raw: str, found: Normal, texts: list[str], spans: list[tuple[int, int]]) -> Words:
    """Return the words of a caption with an apostrophe, the possessive ones marked."""
    text = found.text
    words = Words(raw, found, [], [], [], [])
    for word, (start, end) in zip(texts, spans, strict=True):
        if (
            word == "s"
            and start
            and text[start - 1] == "'"
            and words.texts
            and not text[words.ends[-1] : start - 1].strip()
        ):
            words.owned[-1] = True
            continue
        owned = word.endswith("'s")
        if owned:
            word, end = word[:-2], end - 2
        elif word.endswith("s") and text[end : end + 1] == "'":
            owned = True
        words.texts.append(word)
        words.starts.append(start)
        words.ends.append(end)
        words.owned.append(owned)
    return words
