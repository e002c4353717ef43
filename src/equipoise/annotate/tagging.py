"""Attributes and labels of captions by a word list, with the span and the rule of every tag."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.annotate.fields import annotated_field
from equipoise.annotate.japanese import JapaneseRules
from equipoise.annotate.lexicon import Lexicon, load_lexicon
from equipoise.annotate.normal import Scripts
from equipoise.annotate.quick import ASK, NO_LETTERS, Found, Outcomes, Quick
from equipoise.annotate.reading import Reading, Tag
from equipoise.annotate.rules import WordRules
from equipoise.errors import InputError

__all__ = ["Tag", "TagTable", "tag_captions"]

OTHER_LETTERS = -2
STATUS = ("", "no caption", "other script")
"""By the number that a caption gets where it is set aside, without its sign."""

BATCH = 1 << 15
MOST_OUTCOMES = 1 << 16
MOST_TAGGERS = 8


@dataclass(frozen=True, eq=False)
class TagTable:
    """The tags of captions.

    Attributes
    ----------
    columns : dict of str to pyarrow.Array
        For each variable of the list a string a caption (its state) or a list of strings (its tags); null where the
        caption was set aside.
    status : pyarrow.Array
        String; ``""``, ``"no caption"`` (null, empty, or no letter in it) or ``"other script"`` (more than half of its
        letters are of scripts that the list does not read).
    negated, products : dict of str to int
        How many words were passed over as negated ("no nurse") and as the gender of a product ("men's shoes"), by
        ``variable:value``.
    lexicon : Lexicon
    """

    columns: dict[str, pa.Array]
    status: pa.Array
    negated: dict[str, int]
    products: dict[str, int]
    lexicon: Lexicon
    _texts: list[Any] = field(repr=False)
    _count_products: bool = field(default=False, repr=False)

    def __len__(self) -> int:
        return len(self.status)

    def why(self, row: int) -> tuple[Tag, ...]:
        """Return the tags of a caption with their spans in the raw text, in the order of the caption."""
        return self.reading(row).tags

    def reading(self, row: int) -> Reading:
        """Return the tags of a caption, and the listed words that do not count with the rule that says why."""
        if not isinstance(row, int) or not -len(self) <= row < len(self):
            raise InputError(f"There is no caption {row!r}.", f"There are {len(self):,}, from 0.", value=row)
        if self.status[row].as_py():
            return Reading()
        return _tagger(self.lexicon, self._count_products).rules.read(self._text(row % len(self)))

    def _text(self, row: int) -> str:
        for part in self._texts:
            if row < len(part):
                found = part[row]
                return found.as_py() if isinstance(found, pa.Scalar) else found
            row -= len(part)
        raise IndexError(row)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many captions have each value of each variable, those that no caption has included."""
        out = {}
        for name, column in self.columns.items():
            flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
            found = {entry["values"].as_py(): entry["counts"].as_py() for entry in pc.value_counts(flat)}
            out[name] = {value: found.get(value, 0) for value in self.lexicon.variables[name].values}
        return out

    def table(self, suffix: str = "_text") -> pa.Table:
        """Return the columns, named ``gender_text``, with what they are in the metadata of their fields."""
        fields = [
            annotated_field(f"{name}{suffix}", self.lexicon.variables[name], self.lexicon) for name in self.columns
        ]
        return pa.table(list(self.columns.values()), schema=pa.schema(fields))


def tag_captions(
    texts: Iterable[str | None] | pa.Array | pa.ChunkedArray,
    lexicon: str | Path | Lexicon = "people-en-1",
    *,
    count_products: bool = False,
) -> TagTable:
    """Tag captions by a word list.

    The rules (negation, ``he or she``, product gender, phrases such as "isle of man", verbs and surnames, scripts) are
    described on the page on annotation. No gender is taken from a name.

    Parameters
    ----------
    texts : iterable of str or None, pyarrow.Array or ChunkedArray of text
    lexicon : str, Path or Lexicon
        Name of a shipped list, path of one's own, or a list.
    count_products : bool
        Whether the women of "women's shoes" count as people.

    Raises
    ------
    InputError
        If a caption is no text, or the tokenizer of the list is not installed.
    UnknownNameError, MissingFileError, SchemaError
        If the list cannot be read.
    """
    if not isinstance(lexicon, Lexicon):
        lexicon = load_lexicon(lexicon)
    tagger = _tagger(lexicon, count_products)
    passed: dict[str, dict[str, int]] = {"negated": {}, "product": {}}
    numbers: list[NDArray[np.int32]] = []
    kept: list[Any] = []
    done = 0
    for part, batch in _batches(texts):
        kept.append(part)
        try:
            numbers.append(np.fromiter(tagger.numbers(batch, passed), np.int32, len(batch)))
        except (TypeError, AttributeError):
            _refuse(batch, done)
            raise
        done += len(batch)
    found: list[Found] = list(tagger.outcomes)
    places = np.concatenate([np.empty(0, np.int32), *numbers])
    out_of = pa.array(places, mask=places < 0)
    status = pa.array(STATUS, pa.string()).take(pa.array(np.where(places < 0, -places, 0)))
    columns = {}
    for place, (name, values) in enumerate(lexicon.variables.items()):
        kind = pa.list_(pa.string()) if values.kind == "tags" else pa.string()
        states = pa.array([outcome[place] for outcome in found], kind)
        columns[name] = states.take(out_of) if found else pa.nulls(done, kind)
    negated, products = (dict(sorted(passed[rule].items())) for rule in ("negated", "product"))
    return TagTable(columns, status, negated, products, lexicon, kept, count_products)


def _refuse(batch: list[Any], done: int) -> None:
    """Raise InputError for the first caption that is no text."""
    for place, text in enumerate(batch):
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"Caption {done + place} is a {type(text).__name__}.", "Pass text, or None for none.", value=text
            )


def _batches(texts: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield parts of the captions, and each as a list."""
    if isinstance(texts, (str, bytes)):
        raise InputError("The captions are one text.", "Pass a list of captions.", value=texts[:100])
    if isinstance(texts, (pa.Array, pa.ChunkedArray)):
        kind = texts.type.value_type if pa.types.is_dictionary(texts.type) else texts.type
        if not (
            pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
            or kind == pa.null()
        ):
            raise InputError(f"The captions are {texts.type}.", "Pass a column of text.", value=str(texts.type))
        for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
            for start in range(0, len(chunk), BATCH):
                part = chunk.slice(start, BATCH)
                yield part, part.to_pylist()
        return
    try:
        rest = iter(texts)
    except TypeError as error:
        raise InputError(
            f"The captions are a {type(texts).__name__}.", "Pass a list of captions.", value=texts
        ) from error
    while batch := list(islice(rest, BATCH)):
        batch = [None if isinstance(text, float) and text != text else text for text in batch]  # pandas' missing text
        yield batch, batch


class Rules(Protocol):
    """What reads one caption."""

    def read(self, raw: str) -> Reading: ...


class _Tagger:
    """A list at work, with what it remembers from one caption to the next."""

    def __init__(self, lexicon: Lexicon, count_products: bool) -> None:
        self.lexicon = lexicon
        self.scripts = Scripts(lexicon.scripts)
        self.latin = "Latin" in lexicon.scripts
        self.outcomes = Outcomes()
        self.combined: dict[frozenset[tuple[str, str]], int] = {}
        self.quick: Quick | None = None
        self.rules: Rules
        if lexicon.reader == "japanese":
            self.rules = JapaneseRules(lexicon, count_products)
        else:
            self.rules = rules = WordRules(lexicon, count_products)
            self.quick = Quick(lexicon, rules, self.outcomes)

    def numbers(self, texts: list[Any], passed: dict[str, dict[str, int]]) -> Iterator[int]:
        """Yield the outcome of each caption, or why it was set aside; count what was passed over."""
        quick = self.quick.outcome if self.quick is not None and self.latin else None
        for text in texts:
            if text is None:
                yield NO_LETTERS
                continue
            if quick is not None and text.isascii():
                number = quick(text)
                yield number if number != ASK else self.asked(text, passed)
                continue
            own, other = self.scripts.letters(text)
            if other > own:
                yield OTHER_LETTERS
            elif not own:
                yield NO_LETTERS
            else:
                number = self.quick.outcome(text) if self.quick is not None else ASK
                yield number if number != ASK else self.asked(text, passed)

    def asked(self, text: str, passed: dict[str, dict[str, int]]) -> int:
        """Return the outcome of a caption as the rules see it."""
        reading = self.rules.read(text)
        for tag in reading.passed:
            if tag.rule in passed:
                key = f"{tag.variable}:{tag.value}"
                passed[tag.rule][key] = passed[tag.rule].get(key, 0) + 1
        said = frozenset((tag.variable, tag.value) for tag in reading.tags)
        number = self.combined.get(said)
        if number is None:
            self.combined[said] = number = self.outcomes[reading.found(self.lexicon)]
        return number


_TAGGERS: dict[tuple[str, bool], _Tagger] = {}


def _tagger(lexicon: Lexicon, count_products: bool) -> _Tagger:
    key = (lexicon.sha256, bool(count_products))
    found = _TAGGERS.get(key)
    if found is None or not _same(found.lexicon, lexicon) or len(found.outcomes) > MOST_OUTCOMES:
        while len(_TAGGERS) >= MOST_TAGGERS:
            _TAGGERS.pop(next(iter(_TAGGERS)))
        _TAGGERS[key] = found = _Tagger(lexicon, bool(count_products))
    return found


def _same(one: Lexicon, other: Lexicon) -> bool:
    """Whether two lists are one; a checksum says nothing of a list that was changed in memory."""
    return one is other or (
        (one.scripts, one.reader, one.rules) == (other.scripts, other.reader, other.rules)
        and one.variables == other.variables
        and one.words == other.words
    )
