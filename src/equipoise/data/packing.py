"""Rows of an Arrow table as keys of bits, and the layout that a table asks for."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.layout import Layout, Variable
from equipoise.errors import InputError, MissingColumnError, VocabularyError, did_you_mean, listed

UNKNOWN = ("set_aside", "neutral", "error")


def pack(table: Any, layout: Layout, *, unknown: str = "set_aside") -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the key of every row and what became of it.

    Parameters
    ----------
    table : pyarrow.Table or RecordBatch (n rows)
        With the columns of the layout; others are not read.
    layout : Layout
    unknown : {"set_aside", "neutral", "error"}
        Rows with a missing value, or one outside the vocabulary: set aside (a status above 0), kept with no bit of that
        variable, or refused. Tags outside the vocabulary are no tags.

    Returns
    -------
    keys : ndarray (n,) or (n, words), uint64
    status : ndarray (n,), int64
        0, or the place of the reason in ``layout.reasons``.

    Raises
    ------
    MissingColumnError
        If a column is not there.
    VocabularyError
        Under ``unknown="error"``.
    InputError
        For flags other than true, false, 0 and 1, scores, and utilities that are negative or not finite.
    """
    if unknown not in UNKNOWN:
        raise InputError(f"unknown is {unknown!r}.", f"It is one of {listed(UNKNOWN)}.", value=unknown)
    if layout.scores:
        raise InputError(f"'{layout.scores[0]}' is a score: cells cannot hold it.", "Use solver='rows', or round it.")
    n = table.num_rows
    keys = np.zeros((n, layout.words), np.uint64)
    status = np.zeros(n, np.int64)
    for number, variable in enumerate(layout.variables):
        missing, outside = np.ones(n, bool), np.zeros(n, bool)
        for column in variable.columns:
            values = column_of(table, column)
            absent, strange = _SETTERS[variable.kind](keys, values, variable, layout, column)
            missing &= absent
            outside |= strange
        if not missing.any() and not outside.any():
            continue
        outside &= ~missing
        if unknown == "error" and (missing.any() or outside.any()):
            _refuse(table, variable, missing | outside)
        if unknown == "set_aside":
            status[(status == 0) & missing] = 1 + 2 * number
            status[(status == 0) & outside] = 2 + 2 * number
    if layout.utility_bins:
        number = utility_numbers(column_of(table, layout.utility), layout)
        for place, bit in enumerate(layout.names[-4:]):
            keys[:, bit.bit // 64] |= ((number >> place) & 1).astype(np.uint64) << np.uint64(bit.bit % 64)
    return (keys.ravel() if layout.words == 1 else keys), status


def column_of(table: Any, name: str) -> pa.Array:
    """Return one column as one array, dictionaries resolved.

    Raises
    ------
    MissingColumnError
    """
    if name not in table.schema.names:
        raise MissingColumnError(
            f"The rows have no column '{name}'.{did_you_mean(name, table.schema.names)}",
            f"Known: {listed(table.schema.names, 20)}.",
            value=name,
        )
    values = table.column(name)
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _masks(places: Sequence[int], words: int) -> NDArray[np.uint64]:
    """Return (K + 1, words): the key of each bit, and an empty one at the end."""
    table = np.zeros((len(places) + 1, words), np.uint64)
    for row, place in enumerate(places):
        table[row, place // 64] = np.uint64(1) << np.uint64(place % 64)
    return table


def _codes(values: pa.Array, variable: Variable) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return places among the values that have a bit (K for none), which are missing, which are outside."""
    text = text_of(values, variable.name)
    known = [*variable.values, *(value for value in variable.unknown if value not in variable.values)]
    index = pc.index_in(text, pa.array(known, text.type))
    missing = pc.is_null(text).to_numpy(zero_copy_only=False)
    code = pc.fill_null(index, len(known)).to_numpy(zero_copy_only=False).astype(np.int64)
    place = {value: i for i, value in enumerate(variable.bits)}
    bits = np.array([place.get(value, len(place)) for value in [*variable.values]] + [len(place)] * (len(known) + 1))
    missing = missing | ((code >= len(variable.values)) & (code < len(known)))
    return bits[code], missing, (code == len(known)) & ~missing


def _set_values(
    keys: NDArray[np.uint64], values: pa.Array, variable: Variable, layout: Layout, column: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    code, missing, outside = _codes(values, variable)
    keys |= _masks(layout.places(variable.name, variable.modality(column)), keys.shape[1])[code]
    return missing, outside


def _set_tags(
    keys: NDArray[np.uint64], values: pa.Array, variable: Variable, layout: Layout, column: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        raise InputError(f"'{column}' holds {values.type}, not lists of tags.", "Pass a list of texts a row.")
    code, _, _ = _codes(pc.list_flatten(values), variable)
    rows = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
    masks = _masks(layout.places(variable.name, variable.modality(column)), keys.shape[1])
    for word in range(keys.shape[1]):
        if masks[:, word].any():
            np.bitwise_or.at(keys[:, word], rows, masks[code, word])
    nowhere = np.zeros(len(keys), bool)
    return pc.is_null(values).to_numpy(zero_copy_only=False), nowhere


def _set_flag(
    keys: NDArray[np.uint64], values: pa.Array, variable: Variable, layout: Layout, column: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    nowhere = np.zeros(len(keys), bool)
    if pa.types.is_boolean(values.type):
        on = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
        missing = pc.is_null(values).to_numpy(zero_copy_only=False) if values.null_count else nowhere
    else:
        numbers = numbers_of(values, column)
        missing = np.isnan(numbers)
        on = numbers == 1
        if not (on | missing | (numbers == 0)).all():
            wrong = float(numbers[~(on | missing | (numbers == 0))][0])
            soft = 0 < wrong < 1
            raise InputError(
                f"'{column}' holds {wrong:g}, {'a score' if soft else 'neither 0 nor 1'}.",
                "Use solver='rows' for scores in [0, 1], or round them."
                if soft
                else "A flag is true or false, 1 or 0.",
                value=wrong,
            )
    (place,) = layout.places(variable.name, variable.modality(column))
    keys[:, place // 64] |= on.astype(np.uint64) << np.uint64(place % 64)
    return missing, nowhere


_SETTERS = {"values": _set_values, "tags": _set_tags, "flag": _set_flag}


def text_of(values: pa.Array, name: str) -> pa.Array:
    """Return text: whole numbers and true or false become theirs."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "True", "False").cast(pa.large_string())
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
    ):
        return values.cast(pa.large_string())
    raise InputError(f"'{name}' holds {kind}, not text.", "Make it a column of text.", value=name)


def numbers_of(values: pa.Array, name: str) -> NDArray[np.float64]:
    """Return float64, NaN for null."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise InputError(f"'{name}' holds {kind}, not numbers.", "Name a column of numbers.", value=name)
    return pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)


def utility_numbers(values: pa.Array, layout: Layout) -> NDArray[np.int64]:
    """Return the number of the bin that is nearest to each utility."""
    bins = np.asarray(layout.utility_bins)
    return np.searchsorted((bins[1:] + bins[:-1]) / 2, checked_utility(values, layout.utility)).astype(np.int64)


def checked_utility(values: pa.Array, name: str) -> NDArray[np.float64]:
    """Return utilities as float64.

    Raises
    ------
    InputError
        If one is missing, negative or not finite.
    """
    numbers = numbers_of(values, name)
    bad = ~(np.isfinite(numbers) & (numbers >= 0))
    if bad.any():
        raise InputError(
            f"The utility '{name}' is {numbers[bad][0]:g} in row {int(np.flatnonzero(bad)[0]) + 1}.",
            "Give every row a finite utility of at least 0.",
            value=name,
        )
    return numbers


def _refuse(table: Any, variable: Variable, rows: NDArray[np.bool_]) -> None:
    text = column_of(table, variable.columns[0]).filter(pa.array(rows))
    declared = f"Declared: {listed(variable.values)}." if variable.values else "It is true or false, or 0 or 1."
    seen = ["null" if value is None else f"'{value}'" for value in pc.unique(text).slice(0, 5).to_pylist()]
    raise VocabularyError(
        f"'{variable.name}' is missing or undeclared in {int(rows.sum()):,} rows: {listed(seen, 5)}.",
        f"{declared} Mend them, or pass unknown='set_aside'.",
        value=variable.name,
    )


def rows_of(samples: Any, layout: Layout) -> pa.Table:
    """Return the columns of a layout of Samples under the names that they were read from."""
    names = [column for variable in layout.variables for column in variable.columns]
    return samples_table(samples, [*names, *([layout.utility] if layout.utility else [])])


def samples_table(samples: Any, names: Sequence[str]) -> pa.Table:
    """Return columns of Samples by attribute, role, or the name that a role was read from."""
    named = {column: role for role, column in samples.roles.items()}
    found: Mapping[str, str] = {
        name: name if name in samples.table.column_names else named.get(name, name) for name in names
    }
    for name, column in found.items():
        if column not in samples.table.column_names:
            known = [*samples.attributes, *samples.roles.values()]
            raise MissingColumnError(
                f"The rows have no column '{name}'.{did_you_mean(name, known)}",
                f"Name it when the table is read. Known: {listed(dict.fromkeys(known), 20)}.",
                value=name,
            )
    fields = [samples.table.schema.field(column).with_name(name) for name, column in found.items()]
    return pa.Table.from_arrays([samples.table[column] for column in found.values()], schema=pa.schema(fields))
