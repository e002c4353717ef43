"""What a balance can be fitted on or applied to, made alike: Samples, Arrow tables, batches, cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable, group_keys, unpacked, utility_of
from equipoise.data.layout import MOST_UTILITIES, Layout
from equipoise.data.layout_of import layout_of, utilities_in
from equipoise.data.packing import pack, rows_of
from equipoise.data.samples import Samples
from equipoise.data.splits import is_test
from equipoise.errors import InputError, LeakageError
from equipoise.mitigate.data.rows_engine import read_rows
from equipoise.mitigate.data.targets import Columns

REMEDY = "Pass Samples, an Arrow table, batches of one, or a CellTable."


@dataclass(frozen=True)
class Asked:
    """What a layout is made for."""

    attributes: Sequence[str]
    labels: Sequence[str]
    proxies: Sequence[str]
    vocabulary: Any
    utility: str | None
    bins: Sequence[float] | None
    versions: Mapping[str, str] | None
    rows: bool


@dataclass(frozen=True)
class Source:
    """Rows with their layout: ``table``, or ``batches`` that are read once, or ``cells``."""

    layout: Layout
    table: pa.Table | None = None
    batches: Iterator[Any] | None = None
    cells: CellTable | None = None
    ids: tuple[str, ...] = ()
    inputs: Mapping[str, str] | None = None

    @property
    def needs_rows(self) -> bool:
        """Whether cells cannot hold these rows."""
        return self.cells is None and bool(self.layout.scores or (self.layout.utility and not self.layout.utility_bins))

    def whole(self) -> pa.Table:
        """Return all rows as one table."""
        if self.table is not None:
            return self.table
        if self.batches is None:
            raise InputError("Cells have no rows.", "Pass the table that they were counted from.")
        parts = [part if isinstance(part, pa.Table) else pa.Table.from_batches([part]) for part in self.batches]
        return pa.concat_tables(parts)

    def count(self, unknown: str) -> CellTable:
        """Return the cells."""
        if self.cells is not None:
            return self.cells
        parts = self.table.to_batches(1 << 20) if self.table is not None else self.batches
        return CellTable.from_batches(parts or (), self.layout, unknown=unknown)


def open_source(given: Any, asked: Asked, *, fit: bool = True) -> Source:
    """Return rows with the layout that they ask for.

    Raises
    ------
    InputError
        For anything else than rows or cells.
    LeakageError
        If rows are marked as held out.
    """
    if isinstance(given, CellTable):
        return Source(given.layout, cells=given)
    if isinstance(given, Samples):
        if fit:
            _check_split(given)
        layout = _layout(given, asked)
        return Source(layout, table=rows_of(given, layout), ids=tuple(given.ids), inputs=given.inputs)
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        table = given if isinstance(given, pa.Table) else pa.Table.from_batches([given])
        return Source(_layout(table, asked), table=table)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, Mapping)):
        raise InputError(f"A {type(given).__name__} cannot be balanced.", REMEDY)
    batches = iter(given)
    first = next(batches, None)
    if first is None:
        raise InputError("There is no batch.", REMEDY)
    if not isinstance(first, (pa.Table, pa.RecordBatch)):
        raise InputError(f"A batch is a {type(first).__name__}.", REMEDY)
    return Source(_layout(first.schema, asked), batches=chain([first], batches))


def _layout(source: Any, asked: Asked) -> Layout:
    bins = asked.bins
    if asked.utility is not None and bins is None and not isinstance(source, pa.Schema):
        bins = () if asked.rows or utilities_in(source, asked.utility) > MOST_UTILITIES else None
    return layout_of(
        source, asked.attributes, asked.labels, proxies=asked.proxies, vocabulary=asked.vocabulary,
        utility=asked.utility, bins=bins, versions=asked.versions,
    )  # fmt: skip


def _check_split(samples: Samples) -> None:
    if "split" in samples.table.column_names and samples.conditions.get("split") is None:
        marked = {str(value) for value in samples.table["split"].unique().to_pylist()}
        if held := sorted(filter(is_test, marked)):
            raise LeakageError(
                f"weights were fitted on rows marked '{held[0]}'.",
                "Fit on the rows of the training split, as samples.rows(split='train').",
                value=held[0],
            )
    wanted = samples.conditions.get("split")
    asked = {wanted} if isinstance(wanted, str) else set(wanted or ())
    if held := sorted(filter(is_test, asked)):
        raise LeakageError(f"weights were fitted on rows marked '{held[0]}'.", "Fit on the training split.")


@dataclass(frozen=True)
class Applied:
    """Rows to be weighted: their different columns, the utility of each, the number of each row, its status."""

    columns: Columns
    utility: NDArray[np.float64]
    number: NDArray[np.int64]
    status: NDArray[np.int64]


def rows_to_weigh(given: Any, layout: Layout, unknown: str) -> Applied:
    """Return rows of Samples or an Arrow table as a layout sees them.

    Raises
    ------
    InputError, MissingColumnError
    """
    if isinstance(given, Samples):
        table = rows_of(given, layout)
    elif isinstance(given, pa.RecordBatch):
        table = pa.Table.from_batches([given])
    elif isinstance(given, pa.Table):
        table = given
    else:
        raise InputError(f"A {type(given).__name__} has no rows to weight.", "Pass Samples or an Arrow table.")
    if layout.scores or (layout.utility and not layout.utility_bins):
        columns, utility, status = read_rows(table, layout, unknown=unknown)
        return Applied(columns, utility, np.arange(table.num_rows), status)
    keys, status = pack(table, layout, unknown=unknown)
    found, number, _ = group_keys(keys)
    return Applied(Columns(unpacked(found, layout)), utility_of(found, layout), number, status)
