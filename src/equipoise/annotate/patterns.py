"""Phrases of the rules: ``king|queen size`` and its kin, found among the words of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from equipoise.annotate.tokens import Words

CREDITED = 3
"""Words after ``photo by`` that are a name."""


@dataclass(frozen=True)
class Phrase:
    """One phrase.

    Attributes
    ----------
    elements : tuple of frozenset of str
        For each word, what it may be.
    free : bool
        Written ``!doctor who``: it holds only where no determiner stands before, or where capitals say that it is a name.
    colon : bool
        Written ``author:``: a colon follows.
    rest : bool
        Written ``photo by ...``: it takes the next words up to a sign, at most three.
    """

    elements: tuple[frozenset[str], ...]
    free: bool = False
    colon: bool = False
    rest: bool = False


def phrase_of(text: str) -> Phrase:
    """Return the phrase that a list writes so."""
    free, rest = text.startswith("!"), text.endswith("...")
    text = text.removeprefix("!").removesuffix("...").strip()
    colon = text.endswith(":")
    parts = [part.removesuffix("'s").removesuffix("'") for part in text.removesuffix(":").split()]
    return Phrase(tuple(frozenset(part.split("|")) for part in parts), free, colon, rest)


class Phrases:
    """All phrases of a list, found by their first word."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.all = tuple(phrase_of(text) for text in texts)
        self.by_first: dict[str, list[Phrase]] = {}
        for phrase in sorted(self.all, key=lambda phrase: -len(phrase.elements)):
            for word in sorted(phrase.elements[0]):
                self.by_first.setdefault(word, []).append(phrase)

    def covered(self, words: Words, determiners: frozenset[str]) -> set[int]:
        """Return the places of all words that lie in a phrase."""
        found: set[int] = set()
        for place, word in enumerate(words.texts):
            for phrase in self.by_first.get(word, ()):
                end = self._end(phrase, words, place, determiners)
                if end:
                    found.update(range(place, end))
        return found

    def _end(self, phrase: Phrase, words: Words, place: int, determiners: frozenset[str]) -> int:
        end = place + len(phrase.elements)
        if not matches(phrase.elements, words, place):
            return 0
        if phrase.colon and not _after(words, end - 1).lstrip().startswith(":"):
            return 0
        if phrase.free and place and words.texts[place - 1] in determiners and words.together(place):
            names = all(words.capital(at) for at in range(place, end))
            if not names or words.in_capitals:
                return 0
        if phrase.rest:
            last = min(end + CREDITED, len(words.texts))
            while end < last and words.together(end):
                end += 1
        return end


def matches(elements: Sequence[frozenset[str]], words: Words, place: int) -> bool:
    """Whether the words from a place on are those of a phrase, with nothing but space between them."""
    if place + len(elements) > len(words.texts):
        return False
    for step, element in enumerate(elements):
        if words.texts[place + step] not in element or (step and not words.together(place + step)):
            return False
    return True


def _after(words: Words, place: int) -> str:
    end = words.ends[place]
    return words.normal.text[end : end + 4].removeprefix("'s")
