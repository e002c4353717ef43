"""Cells by the engine in which the rows already lie: SQL for DuckDB, expressions for Polars. Neither is a dependency.

Both give the keys that :func:`~equipoise.data.packing.pack` gives, so that a table counted there equals one counted here::

    layout = layout_of_files("captions.parquet", "gender", "occupation")
    cells = cells_of(duckdb.sql(cells_query(layout, "captions.parquet")).to_arrow_table(), layout)

    rows = pl.scan_parquet("captions.parquet")
    keys = polars_expression(layout, schema=rows.collect_schema())
    counted = rows.select(keys).drop_nulls().group_by(pl.all()).agg(count=pl.len())
    cells = cells_of(counted.collect().to_arrow(), layout)

Rows that are set aside are in no cell; :func:`set_aside_query` counts them by reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.cell_table import CellTable
from equipoise.data.cells_polars import polars_expression
from equipoise.data.foreign_keys import TRUTH, check_countable, key_names, masks_of, unknown_of
from equipoise.data.layout import WORD, Layout, Variable
from equipoise.errors import InputError, MissingColumnError, listed

__all__ = ["cells_of", "cells_query", "polars_expression", "set_aside_query"]


def cells_query(
    layout: Layout, relation: str | Sequence[str], dialect: str = "duckdb", *, unknown: str = "set_aside"
) -> str:
    """Return SQL that counts the rows of a table by key.

    Parameters
    ----------
    layout : Layout
    relation : str or sequence of str
        A table, a view or a Parquet file; ``("main", "captions")`` for one in a schema. It is quoted.
    dialect : {"duckdb"}
    unknown : {"set_aside", "neutral"}
        As for :func:`~equipoise.data.packing.pack`.

    Returns
    -------
    str
        Its result has ``key`` (or ``key_0``, ``key_1``, ... of 64 bits each) and ``count``; :func:`cells_of` takes it.
        A flag other than 0 and 1, or a utility that is negative or not finite, is an error of the engine.

    Raises
    ------
    InputError
        For names that cannot be quoted or that the engine does not tell apart.
    """
    check_countable(layout, unknown, dialect)
    names = key_names(layout)
    keys = ",\n  ".join(f"{_word(layout, w)} AS {name}" for w, name in enumerate(names))
    listing = ", ".join(names)
    rows = [f"SELECT {keys}", f"FROM {_relation(relation)}"]
    if unknown != "neutral":
        rows.append(f"WHERE NOT ({' OR '.join(_aside(variable) for variable in layout.variables)})")
    counted = f'SELECT {listing}, count(*) AS "count" FROM ('  # noqa: S608 (names are quoted)
    return "\n".join([counted, *rows, ")", f"GROUP BY {listing}"])


def set_aside_query(layout: Layout, relation: str | Sequence[str], dialect: str = "duckdb") -> str:
    """Return SQL that counts the rows that are set aside, by ``reason`` and ``count``; parameters as :func:`cells_query`."""
    check_countable(layout, "set_aside", dialect)
    cases = []
    for number, variable in enumerate(layout.variables):
        for place, wrong in enumerate((_missing(variable), _outside(variable)), start=1):
            cases.append(f"WHEN {wrong} THEN {_text(layout.reasons[place + 2 * number])}")
    reason = f"CASE {' '.join(cases)} ELSE '' END AS reason"
    rows = [f"SELECT {reason}", f"FROM {_relation(relation)}"]
    return "\n".join(['SELECT reason, count(*) AS "count" FROM (', *rows, ")", "WHERE reason <> ''", "GROUP BY reason"])


def cells_of(counted: Any, layout: Layout, set_aside: Mapping[str, int] | None = None) -> CellTable:
    """Return the cells of a table that an engine counted.

    Parameters
    ----------
    counted : pyarrow.Table or RecordBatch
        Columns ``key`` (or ``key_0``, ``key_1``, ...), uint64, and ``count``.
    layout : Layout
    set_aside : mapping of reason to count, optional

    Raises
    ------
    MissingColumnError, InputError
    """
    table = counted if isinstance(counted, pa.Table) else pa.Table.from_batches([counted])
    names = key_names(layout)
    if missing := [name for name in (*names, "count") if name not in table.column_names]:
        raise MissingColumnError(
            f"The cells have no column '{missing[0]}'.", f"Columns: {listed(table.column_names)}.", value=missing[0]
        )
    if any(table[name].null_count for name in (*names, "count")):
        raise InputError("Some keys are null.", "Leave rows that are set aside out: drop them before they are grouped.")
    words = [table[name].cast(pa.uint64()).to_numpy() for name in names]
    keys = words[0] if len(words) == 1 else np.column_stack(words)
    counts = table["count"].cast(pa.int64()).to_numpy()
    return CellTable(keys, counts, layout, {reason: int(count) for reason, count in (set_aside or {}).items()})


def _name(name: str) -> str:
    if not name or "\0" in name:
        raise InputError(f"{name!r} cannot be quoted.", "Give it a name without a zero byte.", value=name)
    return '"' + name.replace('"', '""') + '"'


def _relation(relation: str | Sequence[str]) -> str:
    return ".".join(_name(part) for part in ([relation] if isinstance(relation, str) else relation))


def _text(value: str) -> str:
    if "\0" in value:
        raise InputError(f"The value {value!r} cannot be quoted.", "Give it a text without a zero byte.", value=value)
    return "'" + value.replace("'", "''") + "'"


def _integer(value: int) -> str:
    return f"CAST('{value}' AS UBIGINT)"


def _double(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"


def _as_text(variable: Variable, column: str) -> str:
    text = f"CAST({_name(column)} AS VARCHAR)"
    if not set(TRUTH) & {*variable.values, *variable.unknown}:
        return text
    truth = f"CASE {text} WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' END"
    return f"CASE WHEN typeof({_name(column)}) = 'BOOLEAN' THEN {truth} ELSE {text} END"


def _number(column: str) -> str:
    return f"CAST({_name(column)} AS DOUBLE)"


def _among(text: str, values: Sequence[str]) -> str:
    return f"({text} IN ({', '.join(_text(value) for value in values)}))"


def _missing(variable: Variable) -> str:
    """Return the condition that every column of a variable lacks a value."""
    found = []
    for column in variable.columns:
        text, number = _as_text(variable, column), _number(column)
        if variable.kind == "flag":
            found.append(f"({number} IS NULL OR isnan({number}))")
        elif variable.kind == "values" and (unknown := unknown_of(variable)):
            found.append(f"({text} IS NULL OR {_among(text, unknown)})")
        else:
            found.append(f"({_name(column)} IS NULL)")
    return f"({' AND '.join(found)})"


def _outside(variable: Variable) -> str:
    """Return the condition that a column of a variable has a value that nobody declared."""
    if variable.kind != "values":
        return "FALSE"
    known = [*variable.values, *unknown_of(variable)]
    found = [f"({t} IS NOT NULL AND NOT {_among(t, known)})" for c in variable.columns for t in [_as_text(variable, c)]]
    return f"({' OR '.join(found)})"


def _aside(variable: Variable) -> str:
    return f"({_missing(variable)} OR {_outside(variable)})"


def _word(layout: Layout, word: int) -> str:
    parts = []
    for variable in layout.variables:
        for column in variable.columns:
            masks = masks_of(layout.places(variable.name, variable.modality(column)), word)
            parts += _bits(variable, column, masks) if any(masks) else []
    if layout.utility_bins:
        number = _utility(layout)
        for place, bit in enumerate(layout.names[-4:]):
            if bit.bit // WORD == word:
                parts.append(_case(f"({number} & {1 << place}) > 0", 1 << bit.bit % WORD))
    return " | ".join(parts) if parts else _integer(0)


def _case(condition: str, mask: int) -> str:
    return f"CASE WHEN {condition} THEN {_integer(mask)} ELSE {_integer(0)} END"


def _bits(variable: Variable, column: str, masks: Sequence[int]) -> list[str]:
    if variable.kind == "flag":
        number = _number(column)
        wrong = f"error({_text(f'{column} holds a number that is neither 0 nor 1')})"
        return [
            f"CASE WHEN {number} = 1 THEN {_integer(masks[0])} WHEN {number} = 0 OR {number} IS NULL OR isnan({number}) "
            f"THEN {_integer(0)} ELSE {wrong} END"
        ]
    pairs = [(value, mask) for value, mask in zip(variable.bits, masks, strict=True) if mask]
    if variable.kind == "tags":
        tags = f"CAST({_name(column)} AS VARCHAR[])"
        return [_case(f"list_contains({tags}, {_text(value)})", mask) for value, mask in pairs]
    cases = " ".join(f"WHEN {_text(value)} THEN {_integer(mask)}" for value, mask in pairs)
    return [f"CASE {_as_text(variable, column)} {cases} ELSE {_integer(0)} END"]


def _utility(layout: Layout) -> str:
    """Return the number of the nearest bin."""
    number = _number(layout.utility)
    wrong = f"error({_text(f'the utility {layout.utility} is missing, negative or not finite')})"
    bins = np.asarray(layout.utility_bins)
    above = [f"CAST({number} > {_double(float(middle))} AS INTEGER)" for middle in (bins[1:] + bins[:-1]) / 2]
    return f"(CASE WHEN isfinite({number}) AND {number} >= 0 THEN {' + '.join(above) or '0'} ELSE {wrong} END)"
