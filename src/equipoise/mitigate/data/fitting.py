"""The way from rows or cells to duals that each solver of :class:`~.m4.M4` takes, and from duals to weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable
from equipoise.data.layout import Layout
from equipoise.errors import InputError
from equipoise.mitigate.data.balance_report import BalanceReport
from equipoise.mitigate.data.balancing import all_moments, balance, evaluated
from equipoise.mitigate.data.dual import Duals, apply_duals
from equipoise.mitigate.data.m4_options import Options
from equipoise.mitigate.data.moments import Moments
from equipoise.mitigate.data.newton import Constrained
from equipoise.mitigate.data.rows_engine import ChunkedRows, chunked_keys, read_rows
from equipoise.mitigate.data.sources import Source
from equipoise.mitigate.data.streaming import Stream, faithful_duals
from equipoise.mitigate.data.targets import Columns, Targets

Vector = NDArray[np.float64]

APPLIED = 1 << 15
"""Different rows that are weighted at a time."""


@dataclass(frozen=True)
class Fitted:
    """All that a weight depends on, and the report.

    Attributes
    ----------
    moments : Moments
        The constraints that were solved.
    duals : Duals
    prevalence : ndarray (c,), float64
        Of each label, as far as ``preserve`` needs it; else 0.
    eta, cap : float
        Mean weight that was solved for (1 where it is a result), largest weight.
    utility : bool
        Whether the utility counts: not where how much is kept became a result.
    report : BalanceReport or None
    cells : CellTable or None
    """

    moments: Moments
    duals: Duals
    prevalence: Vector
    eta: float
    cap: float
    utility: bool = True
    report: BalanceReport | None = None
    cells: CellTable | None = None

    def weigh(self, targets: Targets, columns: Columns, u: Vector) -> Vector:
        """Return (n,) weights of rows; that of a row is the same to the last bit whatever rows are beside it."""
        u = u if self.utility else np.ones(len(u))
        out = np.empty(len(u))
        for start in range(0, len(u), APPLIED):
            rows = slice(start, start + APPLIED)
            design = targets.design(columns.taken(rows), patterns=True)
            out[rows] = apply_duals(Constrained(design, self.moments), self.duals, u[rows], eta=self.eta, cap=self.cap)
        return out


def fitted(source: Source, targets: Targets, options: Options) -> Fitted:
    """Return what the solver that the options and the rows ask for finds."""
    if options.protocol or options.solver == "online":
        return _from_stream(source, targets, options)
    if source.needs_rows or (options.solver == "rows" and source.cells is None):
        return _from_rows(source, targets, options)
    return _from_cells(source.count(options.unknown), targets, options)


def from_stream(stream: Stream, targets: Targets, options: Options) -> Fitted:
    """Return where a stream stands."""
    return _of_duals(stream.moments, stream.duals(), targets, options)


def _from_cells(cells: CellTable, targets: Targets, options: Options) -> Fitted:
    notes: tuple[str, ...] = ()
    design: Any
    if many := len(cells) > options.max_cells:
        said = f"{len(cells):,} patterns exceed max_cells={options.max_cells:,}; continuing with solver='rows'."
        notes = (said,)
    if many or options.solver == "rows":
        design = chunked_keys(targets, cells.keys, cells.layout)
    else:
        design = targets.design(Columns(cells.bits()))
    counts, u = cells.counts.astype(np.float64), cells.utility()
    return replace(_solved(design, counts, u, targets, options, cells.set_aside, notes), cells=cells)


def _from_rows(source: Source, targets: Targets, options: Options) -> Fitted:
    columns, u, status = read_rows(source.whole(), source.layout, unknown=options.unknown)
    used = status == 0
    columns, u = columns.taken(used), u[used]
    design = ChunkedRows(targets, len(u), columns.taken)
    return _solved(design, np.ones(len(u)), u, targets, options, _reasons(source.layout, status))


def _from_stream(source: Source, targets: Targets, options: Options) -> Fitted:
    if source.cells is not None:
        raise InputError("Cells have no rows to go through one by one.", "Pass Samples or an Arrow table.")
    layout = source.layout
    if options.protocol:
        table = source.whole()
        moments, duals = faithful_duals(table, targets, layout, options)
    else:
        stream = Stream(targets, all_moments(targets, options, None), options)
        table = source.table
        for batch in [table] if table is not None else source.batches or ():
            stream.add(batch, layout)
        moments, duals = stream.moments, stream.finish()
    if table is None:
        return _of_duals(moments, duals, targets, options)
    columns, u, found = read_rows(table, layout, unknown=options.unknown)
    used = found == 0
    columns, u = columns.taken(used), u[used]
    report = evaluated(
        ChunkedRows(targets, len(u), columns.taken), np.ones(len(u)), u, targets, moments, duals, options,
        set_aside=_reasons(layout, found),
    )  # fmt: skip
    return replace(_of_duals(moments, duals, targets, options), report=report)


def _of_duals(moments: Moments, duals: Duals, targets: Targets, options: Options) -> Fitted:
    return Fitted(moments, duals, np.zeros(len(targets.labels)), options.eta, options.cap)


def _solved(
    design: Any, counts: Vector, u: Vector, targets: Targets, options: Options, aside: Mapping[str, int],
    notes: tuple[str, ...] = (),
) -> Fitted:  # fmt: skip
    found = balance(design, counts, u, targets, options, set_aside=aside, notes=notes)
    solution = found.solution
    return Fitted(
        moments=found.moments.without(~found.kept),
        duals=solution.duals,
        prevalence=found.prevalence,
        eta=solution.eta,
        cap=solution.cap,
        utility=options.free_mean or not solution.free_mean,
        report=found.report,
    )


def _reasons(layout: Layout, status: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(status, minlength=len(layout.reasons))
    return {layout.reasons[i]: int(counts[i]) for i in np.flatnonzero(counts) if i}
