"""The rules for Japanese captions, whose words the tokenizer of the extra ``japanese`` (SudachiPy) tells apart.

A listed term counts where it begins and ends at a word that the tokenizer finds. What changes its meaning mostly stands
after it: ``女性ではない``, ``女性がいない``, ``女性用の靴``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from equipoise.annotate.lexicon import Lexicon
from equipoise.annotate.normal import Normal, normal
from equipoise.annotate.reading import Hit, Reading, Tag
from equipoise.models.torch_run import library

LONGEST_PART = 8000
"""Characters that the tokenizer is given at once; it refuses more than 49,149 bytes."""

STOPS = "。！？!?\n、, "


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """Return the tokenizer; InputError names the extra where it is missing."""
    sudachipy = library("sudachipy", "japanese")
    library("sudachidict_small", "japanese")
    return sudachipy.Dictionary(dict="small").tokenizer(mode=sudachipy.SplitMode.A)


def bounds_of(text: str) -> list[int]:
    """Return where words of a text begin, in rising order, and its end."""
    bounds: list[int] = []
    for start, part in parts_of(text):
        bounds.extend(start + word.begin() for word in tokenizer().tokenize(part))
    bounds.append(len(text))
    return list(dict.fromkeys(bounds))


def parts_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield parts that are short enough for the tokenizer, cut after a stop where there is one."""
    start = 0
    while len(text) - start > LONGEST_PART:
        cut = next(
            (at + 1 for stop in STOPS if (at := text.rfind(stop, start, start + LONGEST_PART)) >= start),
            start + LONGEST_PART,
        )
        yield start, text[start:cut]
        start = cut
    yield start, text[start:]


def _starting(phrases: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern of the longest of some phrases; of none, one that matches nothing."""
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return re.compile("|".join(map(re.escape, longest_first)) if phrases else r"(?!)")


class JapaneseRules:
    """Reads captions by one list with ``reader = "japanese"``; see :class:`~equipoise.annotate.rules.WordRules`."""

    def __init__(self, lexicon: Lexicon, count_products: bool = False) -> None:
        tokenizer()
        self.lexicon = lexicon
        self.count_products = count_products
        self.words = lexicon.words
        rules = lexicon.rules
        self.any_word = _starting(tuple(self.words))
        self.longest = max(map(len, self.words), default=0)
        self.collocations = _starting(rules.collocations)
        self.negated_by, self.products = _starting(rules.negated_by), _starting(rules.products)
        self.suffixes = re.compile(rf"(?:{_starting(rules.suffixes).pattern})?")
        self.alternatives = frozenset(rules.alternatives)
        self.chains = frozenset(rules.function_words)
        self.owners, self.modifiers = frozenset(rules.owners), frozenset(rules.animal_modifiers)
        self.animals = _starting(rules.animals)
        self.animal_before = re.compile(rf"(?:{self.animals.pattern})の?$")
        self.animal_longest = max(map(len, rules.animals), default=0) + 1

    def read(self, raw: str) -> Reading:
        """Return what a caption says."""
        found = normal(raw)
        if not self.any_word.search(found.text):
            return Reading()
        hits = self.hits(found.text)
        covered = [match.span() for match in self.collocations.finditer(found.text)] if hits else []
        for hit in hits:
            hit.rule = self.judged(found.text, hit, covered)
        self.chain_negation(found.text, hits)
        self.join_alternatives(found.text, hits)
        return self.reading(raw, found, hits)

    def hits(self, text: str) -> list[Hit]:
        """Return the listed terms, the longest first at each place; ``first`` and ``last`` are characters here."""
        bounds = bounds_of(text)
        at_bound = frozenset(bounds)
        found: list[Hit] = []
        end = 0
        for start in bounds[:-1]:
            if start < end:
                continue
            for last in range(min(start + self.longest, len(text)), start, -1):
                if last in at_bound and (said := self.words.get(text[start:last])) is not None:
                    found.append(Hit(start, last, said))
                    end = last
                    break
        return found

    def judged(self, text: str, hit: Hit, covered: Sequence[tuple[int, int]]) -> str:
        """Return the rule that holds of a hit; ``word`` where it simply counts."""
        if any(start <= hit.first and hit.last <= end for start, end in covered):
            return "collocation"
        word = text[hit.first : hit.last]
        if word in self.modifiers:
            before = text[max(hit.first - self.animal_longest, 0) : hit.first]
            if self.animals.match(text, hit.last) or self.animal_before.search(before):
                return "animal"
        if not self.count_products and word in self.owners and self.products.match(text, hit.last):
            return "product"
        return "negated" if self.negated_by.match(text, self.end(text, hit)) else "word"

    def end(self, text: str, hit: Hit) -> int:
        """Return where a term ends with たち, さん and the like."""
        found = self.suffixes.match(text, hit.last)
        return found.end() if found else hit.last

    def chain_negation(self, text: str, hits: Sequence[Hit]) -> None:
        """Let the negation of ``男性も女性もいない`` hold of both."""
        for left, right in reversed(list(pairwise(hits))):
            if (
                left.rule == "word"
                and right.rule == "negated"
                and text[self.end(text, left) : right.first] in self.chains
            ):
                left.rule = "negated"

    def join_alternatives(self, text: str, hits: Sequence[Hit]) -> None:
        """Make ``男性か女性`` unclear."""
        for left, right in pairwise(hits):
            if right.rule != "word" or left.rule not in ("word", "generic"):
                continue
            between = text[self.end(text, left) : right.first].strip()
            if between in self.alternatives and self.apart(left, right):
                start = left.covers[0] if left.covers else left.first
                for hit in (left, right):
                    hit.rule, hit.covers = "generic", (start, right.last)

    def apart(self, left: Hit, right: Hit) -> bool:
        """Whether two hits name different groups of one variable."""
        return any(
            variable == other and one != two and {one, two} <= set(self.lexicon.variables[variable].groups)
            for variable, one in left.said
            for other, two in right.said
        )

    def reading(self, raw: str, found: Normal, hits: Sequence[Hit]) -> Reading:
        """Return the tags of judged hits."""
        tags: dict[Tag, None] = {}
        passed: dict[Tag, None] = {}
        for hit in hits:
            for variable, value in hit.said:
                values = self.lexicon.variables[variable]
                span = (hit.first, hit.last)
                if hit.rule == "generic" and values.kind == "values":
                    value, span = values.unclear, hit.covers or span
                start, end = found.raw_span(*span)
                tag = Tag(variable, value, start, end, raw[start:end], hit.rule)
                (tags if hit.rule in ("word", "generic") else passed)[tag] = None
        return Reading(tuple(tags), tuple(passed))
