"""What a caption says: tags with their spans, and the listed words that were passed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from equipoise.annotate.lexicon import Lexicon


class Tag(NamedTuple):
    """A listed word in a caption.

    Attributes
    ----------
    variable, value : str
        As ``"gender"``, ``"woman"``.
    start, end : int
        Its place in the raw caption, in characters.
    text : str
        The raw caption there.
    rule : str
        ``word``; ``generic``, ``surname``, ``pronoun`` for what is unclear. Of words passed over: ``negated``,
        ``product``, ``collocation``, ``animal``, ``verb``, ``title``.
    """

    variable: str
    value: str
    start: int
    end: int
    text: str
    rule: str


@dataclass(frozen=True)
class Reading:
    """The reading of one caption.

    Attributes
    ----------
    tags : tuple of Tag
        What counts, in the order of the caption.
    passed : tuple of Tag
        Listed words that do not count, with the rule that says why.
    """

    tags: tuple[Tag, ...] = ()
    passed: tuple[Tag, ...] = ()

    def found(self, lexicon: Lexicon) -> tuple[str | tuple[str, ...], ...]:
        """Return the state, or the tags, of each variable."""
        said: dict[str, set[str]] = {name: set() for name in lexicon.variables}
        for tag in self.tags:
            said[tag.variable].add(tag.value)
        return tuple(values.combined(frozenset(said[name])) for name, values in lexicon.variables.items())


@dataclass
class Hit:
    """A listed word on its way through the rules: places of its first and last word, and the rule that holds."""

    first: int
    last: int
    said: tuple[tuple[str, str], ...]
    rule: str = "word"
    covers: tuple[int, int] | None = None
    """Places that its tag spans, where it was joined with another hit."""
