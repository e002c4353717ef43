"""Which bit of a packed row says what: the columns of attributes, labels and proxies, their values, and a utility.

A *values* column (``gender``) has a bit for each of its values, and a row has at most one of them; a *flag* (a column of
true and false, or 0 and 1) has one bit; *tags* (a list of texts a row) have a bit a value, and a row has any number of
them; a *score* in [0, 1] has no bit and is for the solver on rows. A variable may be seen twice, in the text and in the
image of a row, as the columns ``gender_text`` and ``gender_image``: both keep bits of their own.

Two layouts that are equal have equal ids; keys of different layouts are never added up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from equipoise.data.variables import KINDS, MODALITIES, ROLES, BitColumn, Variable
from equipoise.errors import InputError, SchemaError, UnknownNameError, VocabularyError, did_you_mean, listed

__all__ = [
    "KINDS",
    "MODALITIES",
    "MOST_BITS",
    "MOST_UTILITIES",
    "ROLES",
    "WORD",
    "BitColumn",
    "Layout",
    "Variable",
]

WORD = 64
MOST_BITS = 1024
"""A layout of more bits is refused: packed rows would be longer than the rows."""

MOST_UTILITIES = 16
"""Different values of a utility that cells can tell apart."""


@dataclass(frozen=True)
class Layout:
    """The bits of a key: labels first, then attributes, then the number of the utility.

    Attributes
    ----------
    variables : tuple of Variable
    utility : str
        Column of the utility; empty where every row has 1.
    utility_bins : tuple of float
        The values that cells tell apart, ascending, at most 16; a row gets the nearest.

    Raises
    ------
    InputError
        For a variable named twice, too many bits or bins.
    """

    variables: tuple[Variable, ...]
    utility: str = ""
    utility_bins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = [variable.name for variable in self.variables]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise InputError(f"'{twice[0]}' is named twice.", "Name each column once.", value=twice[0])
        if not self.variables:
            raise InputError("A layout has no columns.", "Name an attribute.")
        if len(self.utility_bins) > MOST_UTILITIES or list(self.utility_bins) != sorted(set(self.utility_bins)):
            raise InputError(
                f"The utility has {len(self.utility_bins)} bins.",
                f"Pass at most {MOST_UTILITIES} different values in ascending order, or use solver='rows'.",
                value=self.utility_bins,
            )
        if self.size > MOST_BITS:
            widest = max(self.variables, key=lambda variable: variable.size)
            raise InputError(
                f"A key would have {self.size:,} bits, {widest.size:,} of them for '{widest.name}'; "
                f"at most {MOST_BITS:,} are packed.",
                f"Bin '{widest.name}' into fewer values, or name the labels you need as '{widest.name}:value'.",
                value=self.size,
            )

    @cached_property
    def names(self) -> tuple[BitColumn, ...]:
        """Every bit in the order of its place; those of the utility are the last."""
        found: list[BitColumn] = []
        ordered = sorted(self.variables, key=lambda variable: variable.role == "attribute")
        for variable in ordered:
            for column in variable.columns:
                modality = variable.modality(column)
                suffix = f"@{modality}" if modality else ""
                values = ("",) if variable.kind == "flag" else variable.bits
                for value in values:
                    name = variable.called(value) + suffix
                    found.append(BitColumn(name, variable.role, variable.name, value, len(found), modality))
        for place in range(4 if self.utility_bins else 0):
            found.append(BitColumn(f"{self.utility}#{place}", "utility", self.utility, "", len(found)))
        return tuple(found)

    @property
    def size(self) -> int:
        """Bits of a key."""
        return sum(v.size * len(v.columns) for v in self.variables) + (4 if self.utility_bins else 0)

    @property
    def words(self) -> int:
        """64-bit words of a key."""
        return max(1, -(-self.size // WORD))

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Values of each variable that has any."""
        return {variable.name: variable.values for variable in self.variables if variable.values}

    @property
    def lists(self) -> dict[str, str]:
        """Version of the word list of each variable that has one."""
        return {variable.name: variable.version for variable in self.variables if variable.version}

    @property
    def scores(self) -> tuple[str, ...]:
        """Variables that are scores: cells cannot hold them."""
        return tuple(variable.name for variable in self.variables if variable.kind == "score")

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why a row is set aside, by its status; ``reasons[0]`` is empty."""
        pairs = (
            (f"{variable.name} is unknown", f"{variable.name} is outside its vocabulary") for variable in self.variables
        )
        return ("", *(reason for pair in pairs for reason in pair))

    def variable(self, name: str) -> Variable:
        """Return a variable by its name.

        Raises
        ------
        UnknownNameError
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        known = [variable.name for variable in self.variables]
        raise UnknownNameError(
            f"The layout has no column '{name}'.{did_you_mean(name, known)}", f"It has: {listed(known)}.", value=name
        )

    def places(self, name: str, modality: str = "") -> list[int]:
        """Return the bits of a variable in the order of its values, of one modality or (empty) of the first column."""
        variable = self.variable(name)
        wanted = modality if len(variable.columns) > 1 and modality else variable.modality(next(iter(variable.columns)))
        return [bit.bit for bit in self.names if bit.variable == name and bit.modality == wanted]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :meth:`from_dict` gives an equal layout."""
        return {
            "variables": [
                {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in ((f, getattr(variable, f)) for f in _FIELDS)
                }
                for variable in self.variables
            ],
            "utility": self.utility,
            "utility_bins": list(self.utility_bins),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """Rebuild a layout from :meth:`to_dict`.

        Raises
        ------
        SchemaError
            If a key is missing or unknown.
        """
        try:
            variables = tuple(
                Variable(**{key: _read(value) for key, value in keys.items()}) for keys in data["variables"]
            )
            return cls(variables, str(data["utility"]), tuple(float(number) for number in data["utility_bins"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaError(f"That is no layout of cells ({error!r}).", "Make the cells again.") from error

    @cached_property
    def id(self) -> str:
        """SHA-256 of the layout."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def said(self) -> str:
        """Return ``"occupations-en-1, 40 bits"`` for messages."""
        return ", ".join([*dict.fromkeys(self.lists.values()), f"{self.size} bits"])

    def check_same(self, other: Layout, mine: str = "these cells", theirs: str = "the others") -> None:
        """Refuse a layout that differs, and say in what.

        Raises
        ------
        VocabularyError
        """
        if self.id != other.id:
            raise VocabularyError(
                f"The layout of {mine} ({self.said()}) differs from that of {theirs} ({other.said()}): "
                f"{'; '.join(_differences(self, other))}.",
                "Count both with one vocabulary and one version of every list.",
                value=[self.id, other.id],
            )


def _read(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_FIELDS = ("name", "role", "kind", "values", "bits", "unknown", "columns", "version", "groups")


def _differences(one: Layout, two: Layout) -> Iterable[str]:
    first, second = ({variable.name: variable for variable in layout.variables} for layout in (one, two))
    found = []
    for name in dict.fromkeys([*first, *second]):
        if name not in first or name not in second:
            found.append(f"'{name}' is only in the {'first' if name in first else 'second'}")
            continue
        for key in _FIELDS[1:]:
            a, b = getattr(first[name], key), getattr(second[name], key)
            if a == b:
                continue
            if isinstance(a, tuple) and set(a) != set(b):
                said = [f"{listed(sorted(set(x) - set(y)), 5)} only in the {word}"
                        for x, y, word in ((a, b, "first"), (b, a, "second")) if set(x) - set(y)]  # fmt: skip
                found.append(f"{key} of '{name}': {' and '.join(said)}")
            else:
                found.append(f"{key} of '{name}': {_shown(a)} and {_shown(b)}")
    if [*first] != [*second] and set(first) == set(second):
        found.append("the order of the columns")
    if (one.utility, one.utility_bins) != (two.utility, two.utility_bins):
        found.append(f"utility '{one.utility}' {list(one.utility_bins)} and '{two.utility}' {list(two.utility_bins)}")
    return found


def _shown(value: Any) -> str:
    return listed(value, 5) if isinstance(value, tuple) else f"'{value}'"
