"""The layout that a table asks for: what its attributes and labels are, and which values they have."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.column_reader import ColumnReader, available_in, columns_named
from equipoise.data.groups import SEPARATOR, Vocabulary
from equipoise.data.layout import Layout
from equipoise.data.packing import checked_utility
from equipoise.errors import InputError, MissingColumnError, did_you_mean, listed


def layout_of(
    source: Any,
    attribute: str | Sequence[str],
    labels: str | Sequence[str] = (),
    *,
    proxies: str | Sequence[str] = (),
    vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None = None,
    utility: str | None = None,
    bins: Sequence[float] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Layout:
    """Return the layout of rows.

    A name that is no column stands for the columns ``name_text`` and ``name_image``, or the one of them that is there.
    Columns that ``annotate`` wrote declare their values, and the groups among them that shares are wanted for.

    Parameters
    ----------
    source : Samples, pyarrow.Table, RecordBatch or Schema
        A schema has no values: columns of text that declare none then need a vocabulary.
    attribute : str or sequence of str
        Columns; ``gender:race`` stands for both.
    labels, proxies : str or sequence of str
        Columns (each value is a label), or ``column:value`` for one value of a column.
    vocabulary : Vocabulary or mapping of column to values, optional
        Declared values; before those that a column declares. Others are taken from the rows, in the order of their text.
    utility : str, optional
        Column of numbers of at least 0.
    bins : sequence of float, optional
        Values of the utility that are told apart, at most 16; those in the table when None. Of none (``()``) the
        utility is not in the cells: the solver on rows reads it.
    versions : mapping of column to version of its word list, optional

    Raises
    ------
    MissingColumnError, VocabularyError, InputError
        Naming the column and the remedy.
    """
    if isinstance(source, pa.Schema):
        source = source.empty_table()
        filled = False
    else:
        filled = True
    wanted = _wanted(source, attribute, labels, proxies)
    reader = ColumnReader(source, vocabulary, filled)
    variables = []
    for name, (role, values) in wanted.items():
        variable = reader.variable(name, role, (versions or {}).get(name, ""))
        if values is not None:
            if variable.kind not in ("values", "tags"):
                raise InputError(f"'{name}' has no values: it is a {variable.kind}.", f"Name it as '{name}'.")
            variable = replace(variable, bits=tuple(values))
        variables.append(variable)
    found: tuple[float, ...] = ()
    if utility is not None:
        found = tuple(sorted({float(value) for value in bins})) if bins is not None else reader.utilities(utility)
    return Layout(tuple(variables), utility or "", found)


def utilities_in(source: Any, name: str) -> int:
    """Return the number of different utilities of a table."""
    return int(np.unique(checked_utility(ColumnReader(source, None, True).column(name), name)).size)


def columns_wanted(
    schema: pa.Schema, attribute: str | Sequence[str], labels: str | Sequence[str], proxies: str | Sequence[str] = ()
) -> list[str]:
    """Return the columns that attributes, labels and proxies name in a table of that schema, each once."""
    found = _wanted(schema.empty_table(), attribute, labels, proxies)
    return list(dict.fromkeys(column for name in found for column in columns_named(name, schema.names)))


def names_of(names: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Return names as a tuple, each once."""
    found = (names,) if isinstance(names, str) else tuple(names)
    if any(not isinstance(name, str) or not name for name in found):
        raise InputError(f"{what} are {found!r}.", "Pass names of columns.", value=found)
    if len(set(found)) < len(found):
        raise InputError(f"{what} name one twice: {listed(found)}.", "Name each once.", value=found)
    return found


def _wanted(
    source: Any, attribute: str | Sequence[str], labels: str | Sequence[str], proxies: str | Sequence[str]
) -> dict[str, tuple[str, list[str] | None]]:
    """Return variable -> (role, values asked for or None for all)."""
    available = available_in(source)
    found: dict[str, tuple[str, list[str] | None]] = {}
    keys = names_of(attribute, "attributes")
    if not keys:
        raise InputError("No attribute is named.", "Name the column of the attribute.")
    for key in keys:
        for part in (key,) if columns_named(key, available) else key.split(SEPARATOR):
            found[part] = ("attribute", None)
    for role, given in (("label", names_of(labels, "labels")), ("proxy", names_of(proxies, "proxies"))):
        for entry in given:
            name, _, value = (entry, "", "") if columns_named(entry, available) else entry.partition(SEPARATOR)
            known, values = found.get(name, (role, [] if value else None))
            if known == "attribute":
                continue  # its bits are there
            if known != role:
                raise InputError(f"'{name}' is named as a label and as a proxy.", "Name it once.", value=name)
            values = None if values is None or not value else [*values, value]
            found[name] = (role, values)
    for name in found:
        if not columns_named(name, available):
            raise MissingColumnError(
                f"The rows have no column '{name}'.{did_you_mean(name, available)}",
                f"Known: {listed(available, 20)}. An intersection is written gender:race, one label column:value.",
                value=name,
            )
    return found
