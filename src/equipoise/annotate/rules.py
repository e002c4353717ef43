"""The rules for captions whose words stand between spaces: which listed words count.

A hit is a listed word or phrase, the longest one that begins at a place. Each hit goes through the rules in the order of
:meth:`WordRules.judged`; the first that holds names the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from equipoise.annotate.contexts import Contexts
from equipoise.annotate.lexicon import Lexicon
from equipoise.annotate.patterns import Phrases
from equipoise.annotate.reading import Hit, Reading, Tag
from equipoise.annotate.tokens import Words, words_of

COUNTED = ("word", "generic", "surname", "pronoun")
UNCLEAR = ("generic", "surname", "pronoun")


class WordRules:
    """Reads captions by one list.

    Parameters
    ----------
    lexicon : Lexicon
        With ``reader = "words"``.
    count_products : bool
        Whether the women of "women's shoes" count as people.
    """

    def __init__(self, lexicon: Lexicon, count_products: bool = False) -> None:
        self.lexicon = lexicon
        self.count_products = count_products
        self.words = lexicon.words
        rules = lexicon.rules
        self.contexts = Contexts(lexicon)
        self.collocations = Phrases(rules.collocations)
        self.determiners = frozenset(rules.determiners)
        self.prefixes = frozenset(rules.prefixes)
        self.negators = frozenset(rules.negators)
        self.longest = max((word.count(" ") + 1 for word in self.words), default=1)
        self.firsts = {word.split(" ")[0] for word in self.words if " " in word}
        self.alternatives = frozenset(rules.alternatives)
        self.pronouns = frozenset(rules.pronouns)
        self.animals = frozenset(rules.animals)
        self.verbs, self.surnames, self.titles = (
            frozenset(rules.verbs), frozenset(rules.surnames), frozenset(rules.titles),
        )  # fmt: skip
        self.generic = tuple(
            (phrase, re.compile(rf"(?<![^\W_])(?<![^\W\d_]['-]){re.escape(phrase)}(?![^\W_])(?!['-][^\W\d_])"))
            for phrase in rules.generic
        )

    def read(self, raw: str) -> Reading:
        """Return what a caption says."""
        words = self.split(words_of(raw))
        hits = self.hits(words)
        if not hits:
            return Reading()
        covered = self.collocations.covered(words, self.determiners)
        for hit in hits:
            hit.rule = self.judged(words, hit, covered)
        self.join_generic(words, hits)
        self.join_alternatives(words, hits)
        self.doubt_pronouns(words, hits)
        return self.reading(words, hits)

    def split(self, words: Words) -> Words:
        """Return the words with ``mother-daughter``, ``ex-wife`` and ``non-nurse`` taken apart."""
        if "-" not in words.normal.text:
            return words
        out = Words(words.raw, words.normal, [], [], [], [])
        for text, start, end, owned in zip(words.texts, words.starts, words.ends, words.owned, strict=True):
            for part, at, to in self.parts(text, start, end):
                out.texts.append(part)
                out.starts.append(at)
                out.ends.append(to)
                out.owned.append(owned and to == end)
        return out

    def parts(self, text: str, start: int, end: int) -> list[tuple[str, int, int]]:
        """Return a word, or its parts where each of them says something."""
        if "-" not in text or text in self.words:
            return [(text, start, end)]
        if (spaced := text.replace("-", " ")) in self.words:
            return [(spaced, start, end)]
        head, _, rest = text.partition("-")
        if rest in self.words and head in self.prefixes:
            return [(rest, start, end)]
        if rest in self.words and head in self.negators:
            return [(head, start, start + len(head)), (rest, start + len(head) + 1, end)]
        parts = text.split("-")
        if all(part in self.words for part in parts):
            places = [start]
            for part in parts:
                places.append(places[-1] + len(part) + 1)
            return [(part, at, at + len(part)) for part, at in zip(parts, places, strict=False)]
        return [(text, start, end)]

    def hits(self, words: Words) -> list[Hit]:
        """Return the listed words, the longest first at each place."""
        found: list[Hit] = []
        free = 0
        for place, text in enumerate(words.texts):
            if place < free:
                continue
            if text in self.firsts and (hit := self.longest_hit(words, place)):
                found.append(hit)
                free = hit.last + 1
            elif (said := self.words.get(text)) is not None:
                found.append(Hit(place, place, said))
        return found

    def longest_hit(self, words: Words, place: int) -> Hit | None:
        """Return the longest phrase of the list that begins at a place."""
        last = place
        while last + 1 < min(len(words.texts), place + self.longest) and words.together(last + 1):
            last += 1
        for end in range(last, place, -1):
            if (said := self.words.get(" ".join(words.texts[place : end + 1]))) is not None:
                return Hit(place, end, said)
        return None

    def judged(self, words: Words, hit: Hit, covered: set[int]) -> str:
        """Return the rule that holds of a hit; ``word`` where it simply counts."""
        if any(place in covered for place in range(hit.first, hit.last + 1)):
            return "collocation"
        text = words.texts[hit.first]
        single = hit.first == hit.last
        if single and self.contexts.of_an_animal(words, hit.first):
            return "animal"
        if single and not self.count_products and self.contexts.of_a_product(words, hit.first):
            return "product"
        if single and text in self.titles and not self.contexts.is_title(words, hit.first):
            return "title"
        if single and text in self.verbs:
            if self.contexts.is_name(words, hit.first, after=True):
                return "surname"
            if not self.contexts.is_noun(words, hit.first):
                return "verb"
        if single and text in self.surnames and self.contexts.is_name(words, hit.first, after=False):
            return "surname"
        return "negated" if self.contexts.is_negated(words, hit.first) else "word"

    def join_generic(self, words: Words, hits: Sequence[Hit]) -> None:
        """Make ``his or hers``, ``(s)he`` unclear."""
        for phrase, pattern in self.generic:
            for match in pattern.finditer(words.normal.text) if phrase in words.normal.text else ():
                inside = [
                    hit for hit in hits
                    if hit.rule == "word" and words.starts[hit.first] < match.end() and words.ends[hit.last] > match.start()
                ]  # fmt: skip
                for hit in inside:
                    hit.rule, hit.covers = "generic", (match.start(), match.end())

    def join_alternatives(self, words: Words, hits: Sequence[Hit]) -> None:
        """Make ``man or woman``, ``he/she`` unclear: two groups of a variable, and one of them is meant."""
        for left, right in pairwise(hits):
            if right.rule != "word" or left.rule not in ("word", "generic") or not self.apart(left, right):
                continue
            between = words.texts[left.last + 1 : right.first]
            gap = words.normal.text[words.ends[left.last] : words.starts[right.first]]
            either = len(between) <= 2 and not self.alternatives.isdisjoint(between)
            if (either or (not between and "/" in gap)) and not re.search(r"[.;:!?]", gap):
                start = left.covers[0] if left.covers else words.starts[left.first]
                for hit in (left, right):
                    hit.rule, hit.covers = "generic", (start, words.ends[right.last])

    def apart(self, left: Hit, right: Hit) -> bool:
        """Whether two hits name different groups of one variable."""
        for name, values in self.lexicon.variables.items():
            one, two = (
                {value for variable, value in hit.said if variable == name and value in values.groups}
                for hit in (left, right)
            )
            if len(one) == len(two) == 1 and one != two:
                return True
        return False

    def doubt_pronouns(self, words: Words, hits: Sequence[Hit]) -> None:
        """Make pronouns unclear where an animal stands before them and no person is named."""
        counted = [hit for hit in hits if hit.rule in COUNTED]
        if not counted or any(words.texts[hit.first] not in self.pronouns for hit in counted):
            return
        if not self.animals.isdisjoint(words.texts[: counted[0].first]):
            for hit in counted:
                if hit.rule == "word":
                    hit.rule = "pronoun"

    def reading(self, words: Words, hits: Sequence[Hit]) -> Reading:
        """Return the tags of judged hits."""
        tags: dict[Tag, None] = {}
        passed: dict[Tag, None] = {}
        for hit in hits:
            start, end = words.normal.raw_span(words.starts[hit.first], words.ends[hit.last])
            for variable, value in hit.said:
                values = self.lexicon.variables[variable]
                at, to = start, end
                if hit.rule in UNCLEAR and values.kind == "values":
                    value = values.unclear
                    if hit.covers:
                        at, to = words.normal.raw_span(*hit.covers)
                elif hit.rule == "surname":
                    continue
                tag = Tag(variable, value, at, to, words.raw[at:to], hit.rule)
                (tags if hit.rule in COUNTED else passed)[tag] = None
        return Reading(tuple(tags), tuple(passed))
