"""The short way for captions that need no rule: one look-up a word.

Each piece between spaces is looked up once and remembered as bits: one for each value that it tags, and some that say that
a rule may apply. A caption is the OR of its pieces. Where the bits say that phrases may apply, neighbouring pieces are
looked up too. Only captions that a rule can touch are read by the rules, so that both ways give the same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from equipoise.annotate.lexicon import Lexicon
from equipoise.annotate.patterns import Phrase
from equipoise.annotate.rules import WordRules
from equipoise.annotate.tokens import words_of

LETTERS, RULES, PHRASE, TERM, FOR, PRODUCT, ANIMAL, NEAR_ANIMAL, FIRST_TAG = (1 << bit for bit in range(9))
NO_LETTERS, ASK, CHECK = -1, -2, -10
MOST_PIECES = 1 << 18
MOST_MASKS = 1 << 16
LONGEST_PIECE = 64

Found = tuple[str | tuple[str, ...], ...]


class Outcomes(dict[Found, int]):
    """Number of each different result, in the order they came."""

    def __missing__(self, found: Found) -> int:
        self[found] = number = len(self)
        return number


class Pieces(dict[str, int]):
    """Piece between spaces -> bits."""

    def __init__(self, lexicon: Lexicon, rules: WordRules) -> None:
        super().__init__()
        self.parts = rules.parts
        self.words = lexicon.words
        said = dict.fromkeys(pair for pairs in lexicon.words.values() for pair in pairs)
        self.bits = {pair: FIRST_TAG << place for place, pair in enumerate(said)}
        own = lexicon.rules
        negators = rules.contexts.negators.all
        phrases = [*rules.collocations.all, *negators]
        terms = [Phrase(tuple(frozenset([part]) for part in word.split())) for word in lexicon.words if " " in word]
        self.neighbours = Neighbours([*phrases, *terms])
        self.terms, self.phrases = _calling(terms, lexicon), _calling(phrases, lexicon)
        alone = [phrase for phrase in phrases if len(phrase.elements) == 1 and not phrase.colon]
        self.asking = frozenset(
            [*own.bare_owners, *own.alternatives, *own.verbs, *own.surnames, *own.titles, *_calling(alone, lexicon)]
            + [phrase.split()[-1] for phrase in own.generic]
        )
        self.products, self.animals = frozenset(own.products), frozenset(own.animals)
        self.near = frozenset(own.animal_modifiers) | frozenset(own.pronouns)

    def __missing__(self, piece: str) -> int:
        bits = self.look(piece)
        if len(piece) <= LONGEST_PIECE:
            if len(self) >= MOST_PIECES:
                self.clear()
            self[piece] = bits
        return bits

    def look(self, piece: str) -> int:
        """Return the bits of a piece."""
        words = words_of(piece)
        text = words.normal.text
        if not words.texts:
            return RULES if any(sign in text for sign in "/:'") else 0
        bits = LETTERS
        tagging = False
        for word, owned in zip(words.texts, words.owned, strict=True):
            said = self.words.get(word, ())
            for pair in said:
                bits |= self.bits[pair]
            tagging = tagging or bool(said)
            if word in self.asking or word.endswith("n't") or (said and owned):
                bits |= RULES
            if (parts := self.parts(word, 0, len(word)))[0][0] != word or len(parts) > 1:
                bits |= RULES | TERM
            for bit, words_with in (
                (PHRASE, self.phrases), (TERM, self.terms), (FOR, ("for",)), (PRODUCT, self.products),
                (ANIMAL, self.animals), (NEAR_ANIMAL, self.near),
            ):  # fmt: skip
                if word in words_with:
                    bits |= bit
        several = len(words.texts) > 1
        if (several and bits & (PHRASE | TERM)) or text[:1] in "/:" or text[-1:] == "/" or text[:2] == "'s":
            bits |= RULES | (bits & TERM)
        if tagging and (several or ":" in text):
            bits |= RULES
        return bits


class Neighbours(dict[str, tuple[int, int]]):
    """Piece -> bits of the phrases that it can begin, and of those that it can be the second word of."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        super().__init__()
        self.first: dict[str, int] = {}
        self.second: dict[str, int] = {}
        for place, phrase in enumerate(phrase for phrase in phrases if len(phrase.elements) > 1):
            for words, element in zip((self.first, self.second), phrase.elements, strict=False):
                for word in element:
                    words[word] = words.get(word, 0) | 1 << place

    def __missing__(self, piece: str) -> tuple[int, int]:
        words = words_of(piece).texts
        found = (self.first.get(words[-1], 0), self.second.get(words[0], 0)) if words else (0, 0)
        if len(piece) <= LONGEST_PIECE:
            if len(self) >= MOST_PIECES:
                self.clear()
            self[piece] = found
        return found

    def may_hold(self, pieces: list[str]) -> bool:
        """Whether the first two words of a phrase stand side by side."""
        begun = 0
        for first, second in map(self.__getitem__, pieces):
            if begun & second:
                return True
            begun = first
        return False


def _calling(phrases: Iterable[Phrase], lexicon: Lexicon) -> frozenset[str]:
    """Return, of each phrase, the words of one element: without common words if there is one, and rather a listed word."""
    rules = lexicon.rules
    common = {*rules.common, *rules.function_words, *rules.determiners, *rules.adjectives}
    found: set[str] = set()
    for phrase in phrases:
        rare = [element for element in phrase.elements if element.isdisjoint(common)]
        found |= next((element for element in rare if element <= lexicon.words.keys()), (rare or phrase.elements)[0])
    return frozenset(found)


class Masks(dict[int, int]):
    """Bits of a caption -> number of its outcome, NO_LETTERS, ASK, or CHECK - number: that, if no phrase may hold."""

    def __init__(self, lexicon: Lexicon, pieces: Pieces, outcomes: Outcomes) -> None:
        super().__init__()
        self.lexicon = lexicon
        self.pairs = tuple(pieces.bits.items())
        self.outcomes = outcomes

    def __missing__(self, bits: int) -> int:
        if len(self) >= MOST_MASKS:
            self.clear()
        self[bits] = number = self.number(bits)
        return number

    def number(self, bits: int) -> int:
        """Return the outcome of a caption with these bits."""
        if not bits & LETTERS:
            return NO_LETTERS
        said: dict[str, set[str]] = {name: set() for name in self.lexicon.variables}
        for (variable, value), bit in self.pairs:
            if bits & bit:
                said[variable].add(value)
        tagging = any(said.values())
        needs = (RULES, FOR | PRODUCT, ANIMAL | NEAR_ANIMAL) if tagging else (RULES | TERM,)
        if any(bits & need == need for need in needs):
            return ASK
        number = self.outcomes[
            tuple(values.combined(frozenset(said[name])) for name, values in self.lexicon.variables.items())
        ]
        return CHECK - number if bits & TERM or (tagging and bits & PHRASE) else number


class Quick:
    """Numbers the outcomes of captions by one list."""

    def __init__(self, lexicon: Lexicon, rules: WordRules, outcomes: Outcomes) -> None:
        self.pieces = Pieces(lexicon, rules)
        self.masks = Masks(lexicon, self.pieces, outcomes)

        self.bits = self.pieces.__getitem__

    def outcome(self, text: str) -> int:
        """Return the number of the outcome of a caption, NO_LETTERS, or ASK where the rules decide."""
        pieces = text.split()
        number = self.masks[reduce(or_, map(self.bits, pieces), 0)]
        if number > CHECK:
            return number
        return ASK if self.pieces.neighbours.may_hold(pieces) else CHECK - number
