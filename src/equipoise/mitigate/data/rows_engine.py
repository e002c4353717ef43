"""The solver on rows: exact where rows do not collapse to cells (scores, utilities of many values, too many patterns).

Rows are read in chunks, and each chunk is turned into moments anew for every pass, so that memory holds the packed rows
(8 bytes each; they may be memory-mapped) and one chunk. Chunks that fit are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.cell_table import unpacked
from equipoise.data.layout import Layout
from equipoise.data.packing import checked_utility, column_of, numbers_of, pack
from equipoise.errors import InputError
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.targets import Columns, Targets

CHUNK = 1 << 17
KEPT = 1 << 22
"""Rows whose moments are kept between passes."""


class ChunkedRows:
    """Rows as moments, chunk by chunk; parameters and methods are those a solver asks of :class:`~.design.Design`.

    Parameters
    ----------
    targets : Targets
    n : int
        Rows.
    columns : callable
        Takes a slice of rows and returns their Columns.
    chunk : int
    """

    def __init__(self, targets: Targets, n: int, columns: Callable[[slice], Columns], chunk: int = CHUNK) -> None:
        self.n = n
        self.shape = (len(targets.columns) + targets.n_masks + 1, len(targets.labels) + 1)
        self._slices = [slice(start, min(start + chunk, n)) for start in range(0, n, chunk)]
        self._make = lambda rows: targets.design(columns(rows))
        self._designs: list[Design] | None = [self._make(rows) for rows in self._slices] if n <= KEPT else None

    def _parts(self) -> Any:
        made = self._designs if self._designs is not None else map(self._make, self._slices)
        return zip(self._slices, made, strict=True)

    def linear(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) sums of coefficients times each row's moments."""
        out = np.empty(self.n)
        for rows, design in self._parts():
            out[rows] = design.linear(theta)
        return out

    def sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (w, R) moments summed over rows with weights (n,)."""
        total = np.zeros(self.shape)
        for rows, design in self._parts():
            total += design.sums(weights[rows])
        return total


def chunked_keys(targets: Targets, keys: NDArray[np.uint64], layout: Layout, chunk: int = CHUNK) -> ChunkedRows:
    """Return packed rows or cells as moments; keys may be memory-mapped."""
    return ChunkedRows(targets, len(keys), lambda rows: Columns(unpacked(np.asarray(keys[rows]), layout)), chunk)


def read_rows(
    table: pa.Table, layout: Layout, *, unknown: str = "set_aside"
) -> tuple[Columns, NDArray[np.float64], NDArray[np.int64]]:
    """Return the columns of rows with their scores, their utility (n,), and their status (n,).

    Raises
    ------
    InputError
        For a score outside [0, 1], or missing under ``unknown="error"``.
    """
    hard = [variable for variable in layout.variables if variable.kind != "score"]
    n = table.num_rows
    bits, status = np.zeros((n, 0), bool), np.zeros(n, np.int64)
    if hard:
        packed = replace(layout, variables=tuple(hard))
        keys, found = pack(table, packed, unknown=unknown)
        bits = unpacked(keys, packed)
        status = np.array([layout.reasons.index(reason) for reason in packed.reasons], np.int64)[found]
    scores: Mapping[str, NDArray[np.float64]] = {
        name: _scores(table, layout, name, status, unknown) for name in layout.scores
    }
    u = checked_utility(column_of(table, layout.utility), layout.utility) if layout.utility else np.ones(n)
    if layout.utility_bins:
        bins = np.asarray(layout.utility_bins)
        u = bins[np.searchsorted((bins[1:] + bins[:-1]) / 2, u)]
    return Columns(bits, scores), u, status


def _scores(table: pa.Table, layout: Layout, name: str, status: NDArray[np.int64], unknown: str) -> NDArray[np.float64]:
    variable = layout.variable(name)
    if len(variable.columns) > 1:
        raise InputError(f"'{name}' is a score in {' and '.join(variable.columns)}.", "Name one of the two columns.")
    numbers = numbers_of(column_of(table, next(iter(variable.columns))), name)
    missing = np.isnan(numbers)
    if not (missing | ((numbers >= 0) & (numbers <= 1))).all():
        wrong = numbers[~(missing | ((numbers >= 0) & (numbers <= 1)))][0]
        raise InputError(f"'{name}' holds {wrong:g}.", "Scores lie in [0, 1].", value=float(wrong))
    if missing.any():
        if unknown != "set_aside":
            raise InputError(f"'{name}' has {int(missing.sum()):,} rows without a score.", "Pass unknown='set_aside'.")
        status[(status == 0) & missing] = layout.reasons.index(f"{name} is unknown")
    return np.where(missing, 0.0, numbers)
