"""One attribute or label of a layout, and one bit of a key."""

from __future__ import annotations

from dataclasses import dataclass

from equipoise.errors import InputError, VocabularyError, did_you_mean, listed

ROLES = ("attribute", "label", "proxy")
KINDS = ("values", "flag", "tags", "score")
MODALITIES = ("text", "image")


@dataclass(frozen=True)
class Variable:
    """One attribute or label: a column of the table, or two of them.

    Attributes
    ----------
    name : str
        As ``"gender"``.
    role : {"attribute", "label", "proxy"}
    kind : {"values", "flag", "tags", "score"}
    values : tuple of str
        The vocabulary, in its order; empty for flags and scores.
    bits : tuple of str
        The values that have a bit: all of an attribute, those asked for of a label.
    unknown : tuple of str
        Values that mean unknown; an absent value (null) always does.
    columns : tuple of str
        Columns of the table: one, or two whose names end in ``_text`` and ``_image``.
    version : str
        Version of the word list behind the values, as ``"occupations-en-1"``; empty where there is none.
    groups : tuple of str
        The values that shares are wanted for, among those that have a bit; all of them where empty. The others are known
        states, as nobody or both, in which no group holds.
    """

    name: str
    role: str
    kind: str
    values: tuple[str, ...] = ()
    bits: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ("",)
    columns: tuple[str, ...] = ()
    version: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", (self.name,))
        for name, value, known in (("role", self.role, ROLES), ("kind", self.kind, KINDS)):
            if value not in known:
                raise InputError(f"The {name} of '{self.name}' is {value!r}.", f"It is one of {listed(known)}.")
        if len(set(self.values)) < len(self.values):
            raise VocabularyError(f"The values of '{self.name}' name one twice.", "Name each once.", value=self.values)
        if self.kind in ("values", "tags"):
            if not self.bits:
                object.__setattr__(self, "bits", self.values)
            if missing := [value for value in self.bits if value not in self.values]:
                raise VocabularyError(
                    f"'{missing[0]}' is not a value of '{self.name}'.{did_you_mean(missing[0], self.values)}",
                    f"Its values: {listed(self.values)}.",
                    value=missing[0],
                )
        if strange := [group for group in self.groups if group not in self.bits]:
            raise VocabularyError(
                f"'{strange[0]}' is a group of '{self.name}' and not one of its values.{did_you_mean(strange[0], self.bits)}",
                f"Its values: {listed(self.bits)}.",
                value=strange[0],
            )

    @property
    def balanced(self) -> tuple[str, ...]:
        """Values that shares are wanted for where none are named."""
        return self.groups or self.bits

    @property
    def size(self) -> int:
        """Bits of one of its columns."""
        return {"flag": 1, "score": 0}.get(self.kind, len(self.bits))

    def called(self, value: str) -> str:
        """Return ``"gender=woman"``, or the name of a flag."""
        return f"{self.name}={value}" if value else self.name

    def modality(self, column: str) -> str:
        """Return ``"text"`` or ``"image"`` for one of two columns, else an empty string."""
        return "" if len(self.columns) == 1 else column.rpartition("_")[2]


@dataclass(frozen=True)
class BitColumn:
    """One bit of a key.

    Attributes
    ----------
    name : str
        As ``"gender=woman"``, or ``"gender=woman@text"`` where a variable has two columns.
    role : {"attribute", "label", "proxy", "utility"}
    variable, value, modality : str
        As ``"gender"``, ``"woman"`` (empty for a flag) and ``"text"`` (empty where there is one column).
    bit : int
        Place in the key: bit ``bit % 64`` of word ``bit // 64``.
    """

    name: str
    role: str
    variable: str
    value: str
    bit: int
    modality: str = ""
