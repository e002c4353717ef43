"""The online solvers on tables: the mended minibatch form as a stream, the published update row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.layout import Layout
from equipoise.errors import InputError
from equipoise.mitigate.data.balancing import all_moments
from equipoise.mitigate.data.dual import Duals
from equipoise.mitigate.data.m4_options import Options
from equipoise.mitigate.data.moments import Moments
from equipoise.mitigate.data.online import Minibatch, literal_duals, new_state, run_literal
from equipoise.mitigate.data.rows_engine import read_rows
from equipoise.mitigate.data.targets import Targets

ROWS = 1 << 14
"""Rows that are turned into moments at a time."""


class Stream:
    """Takes batches, holds duals."""

    def __init__(self, targets: Targets, moments: Moments, options: Options) -> None:
        self.targets = targets
        self.moments = moments
        self._options = options
        self._solver = Minibatch(moments, options.eta, options.cap, options.price, options.free_mean)

    def add(self, batch: Any, layout: Layout) -> None:
        """Take the rows of an Arrow table or batch."""
        table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
        for start in range(0, table.num_rows, ROWS):
            columns, u, status = read_rows(table.slice(start, ROWS), layout, unknown=self._options.unknown)
            used = status == 0
            kept = columns.taken(used)
            if not used.any():
                continue
            design = self.targets.design(kept)
            self._solver.add(design.w, design.y.toarray(), u[used])

    def finish(self) -> Duals:
        """Work off what waits and return the duals."""
        if not self._solver.updates and not self._solver.waiting:
            raise InputError("There is no row to balance.", "Pass rows whose attributes and labels are known.")
        return self._solver.finish()

    def duals(self) -> Duals:
        """Return the duals so far."""
        return self._solver.duals()


def faithful_duals(table: pa.Table, targets: Targets, layout: Layout, options: Options) -> tuple[Moments, Duals]:
    """Return the constraints and the last duals of one pass of the published update over rows in their order."""
    moments = all_moments(targets, options, None)
    m, c = len(targets.columns), len(targets.labels)
    state = new_state(m, c)
    share: NDArray[np.float64] = np.asarray(targets.shares, np.float64)
    eps_r = options.tolerance / 10 if options.tolerance_first is None else options.tolerance_first
    for start in range(0, table.num_rows, ROWS):
        columns, u, status = read_rows(table.slice(start, ROWS), layout, unknown=options.unknown)
        used = status == 0
        if not used.any():
            continue
        kept = columns.taken(used)
        design = targets.design(kept)
        run_literal(
            state, design.w[:, :m], design.y.toarray()[:, :c], share, u=u[used], eta=options.eta, cap=options.cap,
            price=options.price, eps_d=options.tolerance, eps_r=eps_r, tau=options.step,
        )  # fmt: skip
    if not state.step:
        raise InputError("There is no row to balance.", "Pass rows whose attributes and labels are known.")
    return moments, literal_duals(state.v, state.mu, moments)
