"""Cells of files that are larger than memory: rows are read in batches, packed, counted and forgotten.

Memory holds a few batches and the cells, however many rows there are. A file is read once for its cells, and once before
for the values of its columns where nobody declared them.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.batch_files import ANNOTATION, Paths, read_batches, row_files, unified
from equipoise.data.cell_table import CellTable
from equipoise.data.distinct import Distinct, as_numbers
from equipoise.data.groups import Vocabulary
from equipoise.data.layout import Layout
from equipoise.data.layout_of import columns_wanted, layout_of
from equipoise.errors import InputError
from equipoise.progress import Watcher, advance

BATCH = 1 << 20
WHAT_COUNT, WHAT_VALUES = "counting rows", "reading values"


def batches(
    paths: Paths, columns: Sequence[str] | None = None, *, batch_size: int = BATCH, layout: Layout | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files in their order, with bounded memory.

    Parameters
    ----------
    paths : path or sequence of paths
        Parquet (``.parquet``, ``.pq``), a folder of Parquet files, CSV or TSV, Arrow IPC files. Several are parts of one
        table.
    columns : sequence of str, optional
        Columns to read, in this order; those of the layout, or of the first file, when None.
    batch_size : int
        Most rows of a batch; 1,048,576 by default.
    layout : Layout, optional
        Cells of CSV are text; with a layout its flags, scores and utility are numbers.

    Yields
    ------
    pyarrow.RecordBatch
        All of one schema; dictionaries are resolved, metadata of fields kept.

    Raises
    ------
    MissingFileError, MissingColumnError, InputError, VocabularyError
        Before the first row where a file, a column or a type is at fault.
    """
    for batch, _, _ in located(paths, columns, batch_size, layout):
        yield batch


def layout_of_files(
    paths: Paths,
    attribute: str | Sequence[str],
    labels: str | Sequence[str] = (),
    *,
    proxies: str | Sequence[str] = (),
    vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None = None,
    utility: str | None = None,
    bins: Sequence[float] | None = None,
    versions: Mapping[str, str] | None = None,
    progress: Watcher | None = None,
) -> Layout:
    """Return the layout that :func:`~equipoise.data.layout_of.layout_of` would give for the whole table.

    One pass over the rows finds the values of columns that neither a vocabulary nor an annotation declares; there is no
    pass where all are declared. Cells of CSV that are all 0 and 1, or true and false, make a flag, as in Parquet.

    Raises
    ------
    MissingFileError, MissingColumnError, VocabularyError, InputError
    """
    files = row_files(paths)
    wanted = columns_wanted(files[0].schema, attribute, labels, proxies)
    if utility is not None:
        wanted = [*wanted, utility]
    schema = unified(files, list(dict.fromkeys(wanted)))
    declared = _declared(vocabulary)
    found = {
        field.name: Distinct(field, csv=any(file.is_csv for file in files), utility=field.name == utility)
        for field in schema
        if not _is_known(field, declared) and not (field.name == utility and bins is not None)
    }
    if found:
        for batch, done, total in located(paths, list(found), BATCH, None):
            for name, values in found.items():
                values.add(batch.column(name))
            tell(progress, WHAT_VALUES, done, total)
    table = _sample_of(schema, found)
    return layout_of(
        table, attribute, labels, proxies=proxies, vocabulary=vocabulary, utility=utility, bins=bins, versions=versions
    )


def count_cells(
    paths: Paths,
    layout: Layout,
    *,
    unknown: str = "set_aside",
    progress: Watcher | None = None,
    workers: int | None = None,
    batch_size: int = BATCH,
) -> CellTable:
    """Count the rows of files.

    The cells are those of :meth:`CellTable.from_batches`, bit for bit, whatever the number of files, batches and workers.

    Parameters
    ----------
    paths : path or sequence of paths
        As for :func:`batches`.
    layout : Layout
    unknown : {"set_aside", "neutral", "error"}
    progress : callable(what, done, total), optional
        Told the bytes of the files that are behind us; :func:`equipoise.progress.watched` is told too.
    workers : int, optional
        Threads that pack and count while others read; one a core, at most 4, when None.
    batch_size : int

    Raises
    ------
    MissingFileError, MissingColumnError, VocabularyError, InputError
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"workers is {workers}.", "Pass 1 or more.", value=workers)
    sums = Sums(layout)
    source = located(paths, None, batch_size, layout)
    if workers == 1:
        for batch, done, total in source:
            sums.add(CellTable.from_batches([batch], layout, unknown=unknown))
            tell(progress, WHAT_COUNT, done, total)
        return sums.total()
    with ThreadPoolExecutor(workers, thread_name_prefix="cells") as pool:
        waiting: deque[tuple[Future[CellTable], float, float]] = deque()

        def settle() -> None:
            part, done, total = waiting.popleft()
            sums.add(part.result())
            tell(progress, WHAT_COUNT, done, total)

        try:
            for batch, done, total in source:
                waiting.append((pool.submit(CellTable.from_batches, [batch], layout, unknown=unknown), done, total))
                if len(waiting) > workers:
                    settle()
            while waiting:
                settle()
        finally:
            for part, _, _ in waiting:
                part.cancel()
    return sums.total()


def layout_columns(layout: Layout) -> list[str]:
    """Return the columns of a table that a layout reads."""
    names = [column for variable in layout.variables for column in variable.columns]
    return list(dict.fromkeys([*names, *([layout.utility] if layout.utility else [])]))


class Sums:
    """Adds cells up like a counter in base two, so that few tables are ever held and each row is merged rarely."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._parts: list[CellTable] = []

    def add(self, cells: CellTable) -> None:
        """Take the next cells."""
        parts = self._parts
        parts.append(cells)
        while len(parts) > 1 and len(parts[-1]) >= len(parts[-2]):
            last = parts.pop()
            parts[-1] = parts[-1] + last

    def total(self) -> CellTable:
        """Return the cells of all."""
        found = CellTable.from_batches([], self._layout)
        for part in self._parts:
            found = found + part
        return found


def located(
    paths: Paths, columns: Sequence[str] | None, batch_size: int, layout: Layout | None
) -> Iterator[tuple[pa.RecordBatch, float, float]]:
    """Yield (batch, bytes behind us, bytes in all); parameters are those of :func:`batches`."""
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}.", "Pass 1 or more.", value=batch_size)
    files = row_files(paths)
    if columns is None:
        columns = files[0].schema.names if layout is None else layout_columns(layout)
    schema = unified(files, list(columns))
    numeric = numeric_columns(layout) if layout is not None and any(file.is_csv for file in files) else set()
    total, before = float(sum(file.size for file in files)), 0.0
    for file in files:
        for batch, share in read_batches(file, schema, batch_size):
            yield as_layout_reads(batch, numeric), before + share * file.size, total
        before += file.size


def numeric_columns(layout: Layout) -> set[str]:
    """Return the columns that a layout reads as numbers."""
    columns = [c for variable in layout.variables if variable.kind in ("flag", "score") for c in variable.columns]
    return {*columns, *([layout.utility] if layout.utility else [])}


def as_layout_reads(batch: pa.RecordBatch, names: set[str]) -> pa.RecordBatch:
    """Return rows of CSV with these columns as numbers."""
    if not names:
        return batch
    arrays = [
        as_numbers(values, name) if name in names and pa.types.is_large_string(values.type) else values
        for name, values in zip(batch.schema.names, batch.columns, strict=True)
    ]
    fields = [field.with_type(array.type) for field, array in zip(batch.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _declared(vocabulary: Vocabulary | Mapping[str, Sequence[str]] | None) -> set[str]:
    if vocabulary is None:
        return set()
    return set(vocabulary.attributes if isinstance(vocabulary, Vocabulary) else vocabulary)


def _is_known(field: pa.Field, declared: set[str]) -> bool:
    """Return whether a column's values need not be read: they are declared, or it is of true and false."""
    if pa.types.is_boolean(field.type):
        return True
    name = field.name
    named = name in declared or name.rpartition("_")[0] in declared or ANNOTATION in (field.metadata or {})
    return named and not pa.types.is_floating(field.type)


def _sample_of(schema: pa.Schema, found: Mapping[str, Distinct]) -> pa.Table:
    """Return a small table with the values of every column, from which a layout is read as from the whole one."""
    values = {field.name: found[field.name].values() if field.name in found else None for field in schema}
    rows = max([1, *(len(array) for array in values.values() if array is not None)])
    arrays, fields = [], []
    for field in schema:
        array = values[field.name]
        if array is None or not len(array):
            array = pa.nulls(rows, field.type if array is None else array.type)
        else:
            array = pc.take(array, pa.array([i % len(array) for i in range(rows)]))
        arrays.append(array)
        fields.append(field.with_type(array.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def tell(progress: Watcher | None, what: str, done: float, total: float) -> None:
    """Say how far a piece of work is, to whoever watches and to the caller's own watcher."""
    advance(what, int(done), int(total))
    if progress is not None:
        progress(what, int(done), int(total))
