"""What the columns of a table are, and which values they have: declared, annotated, or taken from the rows."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.annotated import Annotation, read_annotation
from equipoise.data.groups import Vocabulary
from equipoise.data.layout import MODALITIES, MOST_BITS, MOST_UTILITIES, Variable
from equipoise.data.packing import checked_utility, column_of, numbers_of, samples_table, text_of
from equipoise.data.samples import Samples
from equipoise.errors import InputError, VocabularyError, listed

_Declared = tuple[tuple[str, ...], tuple[str, ...]]
"""Values, and what means unknown."""


def available_in(source: Any) -> list[str]:
    """Return the names of the columns of a source."""
    if isinstance(source, Samples):
        return list(dict.fromkeys([*source.roles.values(), *source.table.column_names]))
    return list(source.schema.names)


def columns_named(name: str, available: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a name stands for: its own, or those of the text and the image; none where there is none."""
    if name in available:
        return (name,)
    return tuple(f"{name}_{modality}" for modality in MODALITIES if f"{name}_{modality}" in available)


class ColumnReader:
    """Reads what each column is, and its values."""

    def __init__(self, source: Any, vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None, filled: bool) -> None:
        self.source = source
        self.filled = filled
        self.asked: dict[str, _Declared] = {}
        if isinstance(vocabulary, Vocabulary):
            self.asked = _of_vocabulary(vocabulary)
        elif vocabulary is not None:
            self.asked = {name: (tuple(values), ("",)) for name, values in vocabulary.items()}
        self.known = _of_vocabulary(source.vocabulary) if isinstance(source, Samples) else {}

    def _table(self, name: str) -> Any:
        return samples_table(self.source, [name]) if isinstance(self.source, Samples) else self.source

    def column(self, name: str) -> pa.Array:
        """Return one column."""
        return column_of(self._table(name), name)

    def variable(self, name: str, role: str, version: str) -> Variable:
        """Return a variable with its kind and values; ``version`` is that of its list where it declares none."""
        columns = columns_named(name, available_in(self.source))
        arrays = [self.column(column) for column in columns]
        annotation = _agreed(name, columns, [self._annotation(column) for column in columns])
        declared, groups = self._declared(name, columns, annotation)
        version = version or (annotation.version if annotation is not None else "")
        kinds = {_kind(array, column, self.filled) for array, column in zip(arrays, columns, strict=True)}
        if declared is not None and kinds <= {"flag", "values"} and all(_countable(array.type) for array in arrays):
            kinds = {"values"}
        if len(kinds) > 1:
            raise InputError(f"The columns {listed(columns)} are of different kinds.", "Make them alike.", value=name)
        (kind,) = kinds
        if kind in ("flag", "score"):
            return Variable(name, role, kind, columns=columns, version=version)
        values, unknown = (self._values(name, arrays, kind), ("",)) if declared is None else declared
        if role == "attribute":
            return Variable(name, role, kind, values, (), unknown, columns, version, groups)
        return Variable(name, role, kind, values, groups, unknown, columns, version)

    def _annotation(self, column: str) -> Annotation | None:
        schema: pa.Schema = self._table(column).schema
        return read_annotation(schema.field(column)) if column in schema.names else None

    def _declared(
        self, name: str, columns: tuple[str, ...], annotation: Annotation | None
    ) -> tuple[_Declared | None, tuple[str, ...]]:
        """Return values with what means unknown, and the groups: those asked for before those of the column."""
        names = (name, *columns) if len(columns) == 1 else (name,)
        asked = next((self.asked[key] for key in names if key in self.asked), None)
        if asked is not None:
            groups = () if annotation is None else annotation.groups
            return asked, groups if set(groups) <= set(asked[0]) else ()
        if annotation is not None:
            return (annotation.values, ("",)), annotation.groups
        return next((self.known[key] for key in names if key in self.known), None), ()

    def _values(self, name: str, arrays: Iterable[pa.Array], kind: str) -> tuple[str, ...]:
        if not self.filled:
            raise VocabularyError(
                f"'{name}' holds text and its values are not declared.",
                "Pass vocabulary={column: values}: batches are read once.",
                value=name,
            )
        seen: set[str] = set()
        for array in arrays:
            flat = pc.list_flatten(array) if kind == "tags" else array
            unique = pc.unique(text_of(flat, name))
            if len(unique) + len(seen) > 2 * MOST_BITS:
                raise InputError(
                    f"'{name}' has {len(unique):,} different values; at most {MOST_BITS:,} are packed.",
                    "Bin it into fewer values, or declare those you need in a vocabulary (others are set aside).",
                    value=name,
                )
            seen |= {value for value in unique.to_pylist() if value not in (None, "")}
        if not seen and kind == "values":
            raise InputError(f"'{name}' has no value in any row.", "Name another column, or fill it in.", value=name)
        return tuple(sorted(seen))

    def utilities(self, name: str) -> tuple[float, ...]:
        """Return the different values of a utility, ascending."""
        if not self.filled:
            raise InputError(f"The values of the utility '{name}' are not known.", "Pass bins= with at most 16.")
        found = np.unique(checked_utility(self.column(name), name))
        if found.size > MOST_UTILITIES:
            raise InputError(
                f"The utility '{name}' has {found.size:,} different values; cells tell {MOST_UTILITIES} apart.",
                "Use solver='rows', or pass bins= with the values to round to.",
                value=name,
            )
        return tuple(float(value) for value in found)


def _agreed(name: str, columns: Sequence[str], found: Sequence[Annotation | None]) -> Annotation | None:
    """Return what the columns of a variable declare together: all their values, and groups on which they agree.

    Raises
    ------
    VocabularyError
        If one declares nothing or other groups than the other.
    """
    first, last = found[0], found[-1]
    if first is None and last is None:
        return None
    if first is None or last is None or set(first.groups) != set(last.groups):
        said = [f"'{column}' {_said(annotation)}" for column, annotation in zip(columns, found, strict=True)]
        raise VocabularyError(
            f"The two columns of '{name}' do not declare the same groups: {' and '.join(said)}.",
            f"Name one of the two columns, or annotate both with the same groups as '{name}'.",
            value=name,
        )
    values = tuple(dict.fromkeys([*first.values, *last.values]))
    version = " + ".join(dict.fromkeys(annotation.version for annotation in (first, last)))
    return replace(first, values=values, version=version)


def _said(annotation: Annotation | None) -> str:
    return "declares none" if annotation is None else f"has {listed(annotation.groups)}"


def _of_vocabulary(vocabulary: Vocabulary) -> dict[str, _Declared]:
    """Return values and unknown of each attribute; those that were taken from a table in the order of their text."""
    return {
        name: (attribute.values if attribute.declared else tuple(sorted(attribute.values)), attribute.unknown)
        for name, attribute in vocabulary.attributes.items()
    }


def _countable(kind: pa.DataType) -> bool:
    return not pa.types.is_floating(kind)


def _kind(values: pa.Array, name: str, filled: bool) -> str:
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "tags"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "values"
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"'{name}' holds {kind}.", "Name a column of text, true and false, 0 and 1, or tags.")
    if not filled:
        return "flag"
    numbers = numbers_of(values, name)
    numbers = numbers[~np.isnan(numbers)]
    if ((numbers == 0) | (numbers == 1)).all():
        return "flag"
    if pa.types.is_integer(kind):
        return "values"
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise InputError(
            f"'{name}' holds {numbers[~((numbers >= 0) & (numbers <= 1))][0]:g}.",
            "Scores lie in [0, 1]; name a column of groups otherwise.",
            value=name,
        )
    return "score"
