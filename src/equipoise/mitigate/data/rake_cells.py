"""The cycles of raking on cells; the margins stand in :mod:`.raking`.

A weight is w = a(pattern of groups) v(cell): scaling the rows without a label, which are most, touches the few patterns
of groups alone, so that a cycle costs one pass over the labels that are there. Under a cap all cells are touched.

Notation: C cells, T patterns of groups, m columns of groups, c labels, R = c + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.on_cells import packed

Vector = NDArray[np.float64]

DEAD = -1e4
"""Logarithm of the factor of rows whose wanted sum is 0: their weights are 0 exactly."""

SMALLEST, LARGEST = 1e-250, 1e250


@dataclass(frozen=True)
class Margin:
    """Sums of weights that are wanted, of a group crossed with a label.

    Attributes
    ----------
    column, mask : int
        Columns of ``design.w``: the group (-1 for none) and the rows that take part.
    row : int
        Label; c for none.
    wanted : ndarray (2, 2), float64
        By s and y; without a group in ``[0]``, without a label in ``[:, 0]``.
    held : ndarray (2, 2), bool
        Where there are rows.
    """

    column: int
    mask: int
    row: int
    wanted: Vector
    held: NDArray[np.bool_]


@dataclass(frozen=True)
class Raked:
    """Raked weights: exp of ``theta`` (w, R) times the moments of a row, cut at the cap."""

    theta: Vector
    cycles: int
    error: float
    converged: bool


def rake_cells(
    design: Design,
    counts: Vector,
    margins: Sequence[Margin],
    *,
    cap: float = math.inf,
    tolerance: float = 1e-6,
    cycles: int = 1000,
) -> Raked:
    """Scale weights to one margin after the other until all hold within ``tolerance`` of themselves.

    Parameters
    ----------
    design : Design
        C cells.
    counts : ndarray (C,), float64
    margins : sequence of Margin
    cap : float
        Largest weight.
    """
    found = _run(_Factors(design, counts), margins, tolerance, cycles)
    if cap < math.inf and float(np.exp(design.linear(found.theta)).max(initial=0.0)) > cap:
        return _run(_Capped(design, counts, cap), margins, tolerance, cycles)
    return found


class _Factors:
    """Weights of cells as a product."""

    def __init__(self, design: Design, counts: Vector) -> None:
        self.counts, self.shape = counts, design.shape
        _, first, self.code = np.unique(packed(design.w != 0), return_index=True, return_inverse=True)
        self.patterns = design.w[first] != 0
        columns = design.y.tocsc()
        self.with_label = [columns.indices[columns.indptr[r] : columns.indptr[r + 1]] for r in range(self.shape[1] - 1)]
        self.with_label.append(np.zeros(0, np.int32))
        self.a = np.ones(len(first))
        self.v = np.ones(len(counts))
        self.total = self._of_patterns(slice(None), self.v)

    def levels(self, margin: Margin) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (T,) the patterns of s = 0 and of s = 1 that take part."""
        mask = self.patterns[:, margin.mask]
        on = self.patterns[:, margin.column] & mask if margin.column >= 0 else np.zeros_like(mask)
        return mask & ~on, on

    def kill(self, patterns: NDArray[np.bool_], row: int, y: int) -> None:
        """Give rows no weight."""
        label = np.zeros(len(self.code), bool)
        label[self.with_label[row]] = True
        self.v[patterns[self.code] & (label == bool(y))] = 0.0

    def start(self) -> None:
        """Begin a cycle: sums that were kept up to date are formed anew."""
        self.total = self._of_patterns(slice(None), self.v) * self.a

    def masses(self, row: int) -> tuple[Vector, Vector]:
        """Return (T,) sums of weights without and with a label."""
        rows = self.with_label[row]
        part = self._of_patterns(rows, self.v[rows]) * self.a
        return np.maximum(self.total - part, 0.0), part

    def scale(self, row: int, without: Vector, with_: Vector, masses: tuple[Vector, Vector]) -> None:
        """Multiply weights without and with a label by factors of their patterns (T,)."""
        rows = self.with_label[row]
        self.a = np.clip(self.a * without, SMALLEST, LARGEST)
        self.v[rows] *= (with_ / without)[self.code[rows]]
        self.total = masses[0] * without + masses[1] * with_

    def _of_patterns(self, rows: slice | NDArray[np.int32], weights: Vector) -> Vector:
        return np.bincount(self.code[rows], self.counts[rows] * weights, len(self.a)).astype(np.float64)


class _Capped(_Factors):
    """Weights of cells one by one, each cut at the cap."""

    def __init__(self, design: Design, counts: Vector, cap: float) -> None:
        super().__init__(design, counts)
        self.cap = cap

    def start(self) -> None:
        pass

    def masses(self, row: int) -> tuple[Vector, Vector]:
        rows = self.with_label[row]
        total = self._of_patterns(slice(None), np.minimum(self.v, self.cap))
        part = self._of_patterns(rows, np.minimum(self.v[rows], self.cap))
        return np.maximum(total - part, 0.0), part

    def scale(self, row: int, without: Vector, with_: Vector, masses: tuple[Vector, Vector]) -> None:
        rows = self.with_label[row]
        self.v *= without[self.code]
        self.v[rows] *= (with_ / without)[self.code[rows]]
        np.minimum(self.v, LARGEST, out=self.v)


def _run(state: _Factors, margins: Sequence[Margin], tolerance: float, cycles: int) -> Raked:
    logs = np.zeros((len(margins), 2, 2))
    levels = [state.levels(margin) for margin in margins]
    for i, margin in enumerate(margins):
        for s, y in np.argwhere(margin.held & (margin.wanted <= 0)).tolist():
            logs[i, s, y] = DEAD
            state.kill(levels[i][s], margin.row, y)
    error, done = math.inf, 0
    while error > tolerance and done < cycles:
        done += 1
        error = 0.0
        state.start()
        for i, margin in enumerate(margins):
            masses = state.masses(margin.row)
            factors = np.ones((2, len(state.patterns)))
            for s, patterns in enumerate(levels[i]):
                for y in (0, 1):
                    wanted = margin.wanted[s, y]
                    if not margin.held[s, y] or wanted <= 0:
                        continue
                    found = float(masses[y][patterns].sum())
                    error = max(error, abs(found / wanted - 1))
                    factor = min(max(wanted / max(found, SMALLEST), 1e-50), 1e50)
                    factors[y, patterns] = factor
                    logs[i, s, y] += math.log(factor)
            state.scale(margin.row, factors[0], factors[1], masses)
    return Raked(_theta(state.shape, margins, logs), done, error, error <= tolerance)


def _theta(shape: tuple[int, int], margins: Sequence[Margin], logs: Vector) -> Vector:
    """Return logarithms of factors as coefficients of moments: those of s, y and s y, inside the mask."""
    theta = np.zeros(shape)
    last = shape[1] - 1
    for margin, ((l00, l01), (l10, l11)) in zip(margins, logs.tolist(), strict=True):
        k, g, r = margin.column, margin.mask, margin.row
        theta[g, last] += l00
        if r < last:
            theta[g, r] += l01 - l00
        if k >= 0:
            theta[k, last] += l10 - l00
            if r < last:
                theta[k, r] += l11 - l10 - l01 + l00
    return theta
