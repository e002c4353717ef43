"""Groups: a vocabulary declares each attribute's values, which values mean unknown, and the words for each group.

A group is a name from the vocabulary and is never re-derived from a batch of rows. ``gender:race`` names the
intersection of two attributes; three-way likewise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.data.coding import as_text, codes, levels, twin_key
from equipoise.data.vocabulary_file import PLACEHOLDER, check_attribute, read_toml
from equipoise.errors import (
    InputError,
    MissingColumnError,
    SchemaError,
    UnknownNameError,
    VocabularyError,
    did_you_mean,
    listed,
)

SEPARATOR = ":"


@dataclass(frozen=True)
class Attribute:
    """One attribute of the vocabulary.

    Attributes
    ----------
    name : str
    values : tuple of str
        The groups, in the order of display.
    unknown : tuple of str
        Values counted as unknown; an absent value (null) always is.
    templates : tuple of str
        Sentences with exactly one ``{}``, as ``"a photo of {}"``.
    prompts : dict of str to tuple of str
        Words for a group, as ``{"Female": ("a woman",)}``; empty where none are given.
    declared : bool
        Whether a person declared it (False: taken from a table).
    """

    name: str
    values: tuple[str, ...]
    unknown: tuple[str, ...] = ("",)
    templates: tuple[str, ...] = (PLACEHOLDER,)
    prompts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    declared: bool = True

    def __post_init__(self) -> None:
        check_attribute(self.name, self.values, self.unknown, self.templates, self.prompts)

    def prompt_texts(self, group: str) -> list[str]:
        """Return every prompt of a group in every template, each text once, template by template.

        Raises
        ------
        VocabularyError
            If the group is not declared or has no prompts.
        """
        if group not in self.values:
            raise VocabularyError(
                f"'{group}' is not a group of '{self.name}'.{did_you_mean(group, self.values)}",
                f"Its groups: {listed(self.values)}.",
                value=group,
            )
        prompts = self.prompts.get(group, ())
        if not prompts:
            raise VocabularyError(
                f"'{self.name}' has no prompts for {group}.",
                f"Add [{self.name}.prompts] with the words for {group} to groups.toml.",
                value=group,
            )
        texts = [template.replace(PLACEHOLDER, prompt) for template in self.templates for prompt in prompts]
        return list(dict.fromkeys(texts))

    @cached_property
    def _spoken(self) -> tuple[re.Pattern[str] | None, dict[str, str]]:
        """A pattern of whole words, longest first, and the group each of them names."""
        names: dict[str, str] = {}
        for group in self.values:
            words = [group, *(_bare(prompt) for prompt in self.prompts.get(group, ()))]
            for word in words:
                # "A" would be found in every "a photo of": one letter needs an explicit column
                if (key := twin_key(word)) and len(key) > 1:
                    names.setdefault(key, group)
        if not names:
            return None, names
        longest_first = sorted(names, key=lambda word: (-len(word), word))
        choice = "|".join(r"\s+".join(re.escape(part) for part in word.split()) for word in longest_first)
        return re.compile(rf"(?<!\w)(?:{choice})(?!\w)", re.IGNORECASE), names

    def named_in(self, text: str) -> str | None:
        """Return the group that a text names, or None: the longest match, and of equal ones the first in the text."""
        pattern, names = self._spoken
        if pattern is None:
            return None
        found = [match.group() for match in pattern.finditer(text.casefold())]
        return names[twin_key(max(found, key=len))] if found else None


def _worded(keys: Any) -> bool:
    """Return whether an attribute of :meth:`Vocabulary.to_dict` is well-typed."""

    def texts(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)

    return (
        isinstance(keys, Mapping)
        and {"values", "unknown", "templates", "prompts", "declared"} <= set(keys)
        and all(texts(keys[name]) for name in ("values", "unknown", "templates"))
        and isinstance(keys["prompts"], Mapping)
        and all(texts(prompts) for prompts in keys["prompts"].values())
    )


def _bare(prompt: str) -> str:
    """Return a prompt without its article and the word "person": ``"an Indian person"`` to ``"Indian"``."""
    words = prompt.split()
    if words and words[0].casefold() in ("a", "an", "the"):
        words = words[1:]
    return " ".join(word for word in words if word.casefold() != "person")


@dataclass(frozen=True)
class Vocabulary:
    """All attributes by name; a key is an attribute or an intersection, as ``"gender"`` or ``"gender:race"``."""

    attributes: dict[str, Attribute] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Vocabulary:
        """Read ``groups.toml``.

        Raises
        ------
        MissingFileError, VocabularyError
            If the file is absent, is not TOML, or declares something that cannot be used; the message names the key.
        """
        return cls({name: Attribute(name=name, **keys) for name, keys in read_toml(Path(path)).items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :meth:`from_dict` gives an equal vocabulary."""
        return {
            name: {
                "values": list(attribute.values),
                "unknown": list(attribute.unknown),
                "templates": list(attribute.templates),
                "prompts": {group: list(prompts) for group, prompts in attribute.prompts.items()},
                "declared": attribute.declared,
            }
            for name, attribute in self.attributes.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """Rebuild a vocabulary from :meth:`to_dict`; SchemaError where it holds something else than texts."""
        if not isinstance(data, Mapping) or not all(_worded(keys) for keys in data.values()):
            raise SchemaError(
                "The vocabulary is not one that this version writes.", "Make the file that holds it again."
            )
        return cls(
            {
                name: Attribute(
                    name=name,
                    values=tuple(keys["values"]),
                    unknown=tuple(keys["unknown"]),
                    templates=tuple(keys["templates"]),
                    prompts={group: tuple(prompts) for group, prompts in keys["prompts"].items()},
                    declared=bool(keys["declared"]),
                )
                for name, keys in data.items()
            }
        )

    @classmethod
    def infer(cls, columns: Mapping[str, Any], lines: ArrayLike | None = None, unit: str = "row") -> Vocabulary:
        """Take the values of each column in order of appearance; null and ``""`` are unknown.

        Parameters
        ----------
        columns : mapping of attribute to its (n,) texts, in the order of the table
        lines : array of int (n,), optional
            Number of each row for messages; 1, 2, ... without it.
        unit : str
            What ``lines`` counts: ``"line"`` or ``"row"``.

        Raises
        ------
        InputError
            For a column of more than 200 values, a continuous one, or spellings that differ only in case or spaces.
        """
        return cls(
            {
                name: Attribute(name, levels(name, as_text(column), lines, unit), declared=False)
                for name, column in columns.items()
            }
        )

    def merged(self, other: Vocabulary) -> Vocabulary:
        """Return a vocabulary with the attributes of both; those of ``self`` win."""
        return Vocabulary(self.attributes | {k: v for k, v in other.attributes.items() if k not in self.attributes})

    def parts(self, key: str) -> tuple[str, ...]:
        """Return the attributes of a key: ``"gender:race"`` to ``("gender", "race")``."""
        parts = tuple(key.split(SEPARATOR))
        for part in parts:
            if part not in self.attributes:
                raise UnknownNameError(
                    f"There is no attribute '{part}'.{did_you_mean(part, self.attributes)}",
                    f"Known: {listed(self.attributes) or 'none'}. An intersection is written gender:race.",
                    value=part,
                )
        if len(set(parts)) < len(parts):
            raise InputError(f"'{key}' names an attribute twice.", "Name each attribute once.", value=key)
        return parts

    def groups(self, key: str) -> tuple[str, ...]:
        """Return the groups of a key in order of display; of an intersection the product, as ``"Female:White"``."""
        values = [self.attributes[part].values for part in self.parts(key)]
        names = tuple(SEPARATOR.join(combination) for combination in product(*values))
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"Two groups of '{key}' would both be called '{twice}': values of its attributes hold '{SEPARATOR}'.",
                f"Write those values without '{SEPARATOR}'.",
                value=twice,
            )
        return names

    def encode(
        self, columns: Mapping[str, Any], key: str, lines: ArrayLike | None = None, unit: str = "row"
    ) -> NDArray[np.int32]:
        """Return (n,) codes into :meth:`groups`; -1 where any part is unknown.

        Parameters
        ----------
        columns : mapping of attribute to its (n,) texts (None or null for no value)
        key : str
        lines, unit
            As in :meth:`infer`.

        Raises
        ------
        VocabularyError
            If a value is neither declared nor unknown; the message names the lines.
        """
        joint: NDArray[np.int32] | None = None
        for part in self.parts(key):
            if part not in columns:
                raise MissingColumnError(
                    f"The rows have no column for '{part}'.{did_you_mean(part, columns)}",
                    "Name it among the attributes when the table is read.",
                    value=part,
                )
            attribute = self.attributes[part]
            found = codes(part, as_text(columns[part]), attribute.values, attribute.unknown, lines, unit)
            if joint is None:
                joint = found
            else:
                unknown = (joint < 0) | (found < 0)
                joint = np.where(unknown, np.int32(-1), joint * np.int32(len(attribute.values)) + found)
        return np.zeros(0, np.int32) if joint is None else joint

    def names_group(self, text: str, attribute: str) -> str | None:
        """Return the group of an attribute that a text names, or None.

        A group is named by a declared value, or by a prompt without its article and the word "person", that occurs as
        whole words whatever the case. Of several the longest counts ("East Asian" before "Asian"), then the first.
        """
        (name,) = self.parts(attribute)
        return self.attributes[name].named_in(text)
