"""What stands around a listed word, and what that makes of it: negation, products, animals, verbs, names."""

from __future__ import annotations

import re

from equipoise.annotate.lexicon import Lexicon
from equipoise.annotate.patterns import Phrases, matches
from equipoise.annotate.tokens import Words

NEGATION = 3
"""A negator stands at most so many words before the noun (rule 1)."""

MODIFIERS = 3
"""At most so many words stand between "men's" and the product, or between the product and "for men"."""

STOPS = re.compile(r"[,.;:!?]")


class Contexts:
    """The questions that the rules ask of a place in a caption."""

    def __init__(self, lexicon: Lexicon) -> None:
        rules = lexicon.rules
        self.words = lexicon.words
        self.negators = Phrases(rules.negators)
        self.not_negators = Phrases(rules.not_negators)
        self.breaks, self.determiners = frozenset(rules.breaks), frozenset(rules.determiners)
        self.adjectives, self.function_words = frozenset(rules.adjectives), frozenset(rules.function_words)
        self.owners, self.bare_owners = frozenset(rules.owners), frozenset(rules.bare_owners)
        self.causatives = frozenset(rules.causatives)
        self.products, self.pronouns = frozenset(rules.products), frozenset(rules.pronouns)
        self.animals, self.animal_modifiers = frozenset(rules.animals), frozenset(rules.animal_modifiers)

    def is_negated(self, words: Words, place: int) -> bool:
        """Whether a negator stands at most three words before, with no stop and no ``but`` between."""
        for before in range(place - 1, max(place - 1 - NEGATION, -1), -1):
            if STOPS.search(words.gap(before + 1)) or words.texts[before] in self.breaks:
                return False
            if self.negates(words, before, place):
                return True
        return False

    def negates(self, words: Words, at: int, place: int) -> bool:
        """Whether a negator begins at a place and ends before the noun, and is none of ``not only``."""
        text = words.texts[at]
        if not text.endswith("n't"):
            phrases = self.negators.by_first.get(text, ())
            if not any(at + len(found.elements) <= place and matches(found.elements, words, at) for found in phrases):
                return False
        return not any(
            matches(found.elements, words, start)
            for start in range(max(at - 1, 0), at + 1)
            for found in self.not_negators.by_first.get(words.texts[start], ())
            if start + len(found.elements) > at
        )

    def of_a_product(self, words: Words, place: int) -> bool:
        """Whether the word says for whom a thing is made: ``women's running shoes``, ``perfume for men``."""
        text = words.texts[place]
        if words.owned[place] or text in self.bare_owners:
            plural = text in self.owners or text in self.bare_owners
            free = (plural and words.owned[place]) or not self.determined(words, place)
            if free and self.before_product(words, place, sure=words.owned[place] or text not in self.owners):
                return True
        made_for = text in self.owners or text in self.bare_owners or text in self.pronouns
        return made_for and self.after_product(words, place)

    def before_product(self, words: Words, place: int, sure: bool) -> bool:
        """Whether a product follows, other words of its name between; ``sure``: the word cannot be a subject."""
        for after in range(place + 1, min(place + MODIFIERS + 2, len(words.texts))):
            text = words.texts[after]
            if STOPS.search(words.gap(after)) or text in self.function_words or text in self.determiners:
                return False
            if text in self.products:
                # "ladies watch the parade": the thing would be a verb
                following = words.texts[after + 1] if after + 1 < len(words.texts) else ""
                return sure or following not in self.determiners
        return False

    def after_product(self, words: Words, place: int) -> bool:
        """Whether a product and ``for`` stand before."""
        if place < 2 or words.texts[place - 1] != "for" or STOPS.search(words.gap(place) + words.gap(place - 1)):
            return False
        for before in range(place - 2, max(place - 3 - MODIFIERS, -1), -1):
            if words.texts[before] in self.products:
                return True
            if STOPS.search(words.gap(before)) or words.texts[before] in self.function_words:
                return False
        return False

    def of_an_animal(self, words: Words, place: int) -> bool:
        """Whether the word is the first of ``male lion``, ``mother and baby elephant``."""
        if words.texts[place] not in self.animal_modifiers or words.owned[place]:
            return False
        for after in range(place + 1, min(place + 5, len(words.texts))):
            text = words.texts[after]
            if not words.together(after):
                return False
            if text in self.animals:
                return True
            if text not in self.animal_modifiers and text not in self.adjectives and text != "and":
                return False
        return False

    def determined(self, words: Words, place: int) -> bool:
        """Whether a determiner or a number stands before a word, an adjective between them or not."""
        for before in (place, place - 1):
            if before < 0:
                return False
            gap = words.gap(before)
            if any(sign.isdigit() for sign in gap):
                return True
            if before == 0 or STOPS.search(gap):
                return False
            if words.texts[before - 1] in self.determiners:
                return True
            if words.texts[before - 1] not in self.adjectives:
                return False
        return False

    def is_title(self, words: Words, place: int) -> bool:
        """Whether ``Miss`` or ``Ms`` is one: with a capital, before a name with one."""
        after = place + 1
        written = words.written(place)
        if not written[:1].isupper() or (written.isupper() and not words.in_capitals):
            return False
        gap = words.gap(after) if after < len(words.texts) else "-"
        return gap.strip(" .") == "" and words.capital(after) and words.texts[after] not in self.function_words

    def is_name(self, words: Words, place: int, after: bool) -> bool:
        """Whether a word with a capital has a neighbour with one, so that the two are a name.

        ``after``: the neighbour may also follow (``Judge Judy``, ``Baker Street``).
        """
        if not words.capital(place) or words.in_capitals:
            return False
        if after and place + 1 < len(words.texts) and words.together(place + 1) and words.capital(place + 1):
            return words.texts[place + 1] not in self.function_words
        before = place - 1
        return (
            before >= 0
            and words.together(place)
            and words.capital(before)
            and words.texts[before] not in self.determiners
            and words.texts[before] not in self.function_words
            and words.texts[before] not in self.adjectives
        )

    def is_noun(self, words: Words, place: int) -> bool:
        """Whether ``cook``, ``pilot`` and their kin are somebody (rule 5).

        They are after a determiner, an adjective, a number or a possessive; and after a determiner and one or two other
        words, if the form cannot be their verb: ``a smiling young cook`` (``a boy cook`` is no sentence),
        ``two line cooks``.
        """
        if any(sign.isdigit() for sign in words.gap(place)):
            return True
        plural = words.texts[place].endswith("s")
        for before in range(place - 1, max(place - 4, -1), -1):
            text = words.texts[before]
            if STOPS.search(words.gap(before + 1)):
                return False
            if text in self.determiners:
                if text in self.pronouns and before and words.texts[before - 1] in self.causatives:
                    return False  # "helps her cook"
                return before == place - 1 or not plural or text not in ("a", "an", "this", "that", "the")
            if text in self.adjectives or words.owned[before]:
                return True
            if text in self.function_words or text in self.words or (text.endswith("s") and not plural):
                return False
        return False
