"""Cells that also tell other attributes apart, without setting a row aside for them.

What is balanced decides which rows are used; attributes that are only looked at must not. In these cells an absent or
undeclared value of such an attribute is a value of its own, which is no group.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.batch_files import Paths, row_files
from equipoise.data.cell_groups import FLAG_GROUPS, UNKNOWN
from equipoise.data.cell_stream import WHAT_COUNT, batches, layout_of_files
from equipoise.data.cell_table import CellTable
from equipoise.data.groups import SEPARATOR, Vocabulary
from equipoise.data.layout import Layout, Variable
from equipoise.data.packing import numbers_of, text_of
from equipoise.errors import InputError
from equipoise.progress import advance


def with_others(paths: Paths, layout: Layout, others: Sequence[str], vocabulary: Vocabulary | None = None) -> Layout:
    """Return a layout with further attributes; those it has already, and parts of intersections, once.

    Raises
    ------
    InputError
        For scores and lists of tags.
    """
    known = {variable.name for variable in layout.variables}
    names = [part for key in others for part in ([key] if key in known else key.split(SEPARATOR))]
    wanted = [name for name in dict.fromkeys(names) if name not in known]
    if not wanted:
        return layout
    found = layout_of_files(paths, wanted, vocabulary=vocabulary)
    return replace(layout, variables=(*layout.variables, *map(_open_ended, found.variables)))


def count_with_others(
    paths: Paths,
    layout: Layout,
    wide: Layout,
    *,
    unknown: str = "set_aside",
    where: Mapping[str, str] | None = None,
) -> CellTable:
    """Count rows into cells of a wide layout; rows are set aside for what the narrow one holds alone.

    Parameters
    ----------
    paths : path or sequence of paths
    layout, wide : Layout
        What decides which rows are used, and :func:`with_others` of it; both alike where nothing is looked at besides.
    unknown : {"set_aside", "neutral", "error"}
    where : mapping of column to value, optional
        Only rows whose column has this text.
    """
    own = {variable.name for variable in layout.variables}
    extra = [variable for variable in wide.variables if variable.name not in own]
    fill = {column: variable for variable in extra for column in variable.columns}
    columns = list(dict.fromkeys(column for variable in wide.variables for column in variable.columns))
    columns += [layout.utility] if layout.utility else []
    columns += [column for column in where or {} if column not in columns]
    total = sum(file.size for file in row_files(paths))
    parts = _filled(
        batches(paths, columns, layout=layout), fill, where or {}, lambda done: advance(WHAT_COUNT, done, total)
    )
    return CellTable.from_batches(parts, wide, unknown=unknown)


def values_of_column(paths: Paths, column: str) -> set[str]:
    """Return the different texts of a column; null is none.

    Raises
    ------
    MissingColumnError
    """
    found: set[str] = set()
    for batch in batches(paths, [column]):
        found |= {str(value) for value in pc.unique(batch.column(0)).to_pylist() if value is not None}
    return found


def has_column(paths: Paths, column: str) -> bool:
    """Return whether the files have a column."""
    return all(column in file.schema.names for file in row_files(paths))


def _open_ended(variable: Variable) -> Variable:
    """Return a variable that has a value for what is unknown."""
    if variable.kind not in ("values", "flag"):
        raise InputError(
            f"'{variable.name}' is {'a score' if variable.kind == 'score' else 'a list of tags'}.",
            "Look at columns of one group a row.",
            value=variable.name,
        )
    values = FLAG_GROUPS if variable.kind == "flag" else variable.values
    if UNKNOWN in values:
        raise InputError(f"'{variable.name}' has a value '{UNKNOWN}'.", "Declare it as unknown in the vocabulary.")
    return replace(variable, kind="values", values=(*values, UNKNOWN), bits=(*values, UNKNOWN))


def _filled(
    parts: Iterator[pa.RecordBatch], fill: Mapping[str, Variable], where: Mapping[str, str], tell: Callable[[int], None]
) -> Iterator[pa.Table]:
    done = 0
    for batch in parts:
        table = pa.Table.from_batches([batch])
        for column, value in where.items():
            same = pc.equal(pc.fill_null(text_of(_whole(table, column), column), ""), value)
            table = table.filter(same)
        for column, variable in fill.items():
            place = table.schema.names.index(column)
            table = table.set_column(place, column, _known(_whole(table, column), variable))
        done += batch.nbytes
        tell(done)
        yield table


def _whole(table: pa.Table, column: str) -> pa.Array:
    chunks = table[column].combine_chunks()
    return pa.concat_arrays(chunks.chunks) if isinstance(chunks, pa.ChunkedArray) else chunks


def _known(values: pa.Array, variable: Variable) -> pa.Array:
    """Return texts in which everything but a declared value is the value for what is unknown."""
    if variable.values[:-1] == FLAG_GROUPS:
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            word = pc.utf8_lower(values)
            yes, no = (pc.is_in(word, pa.array(words, values.type)) for words in (("1", "true"), ("0", "false")))
            values = pc.if_else(yes, 1, pc.if_else(no, 0, pa.scalar(None, pa.int64())))
        numbers = pa.array(numbers_of(values, variable.name), from_pandas=True)
        text = pc.if_else(pc.equal(numbers, 1.0), FLAG_GROUPS[0], FLAG_GROUPS[1])
    else:
        text = text_of(values, variable.name)
    text = text.cast(pa.large_string())
    known = pc.is_in(text, pa.array(variable.values[:-1], pa.large_string()))
    return pc.if_else(pc.fill_null(known, False), text, pa.scalar(UNKNOWN, pa.large_string()))
