"""Made-up tables with known moments, and short ways to balance bare columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from m4_tables import SHARES
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable, unpacked
from equipoise.data.layout import Layout, Variable
from equipoise.mitigate.data.design import Design
from equipoise.mitigate.data.dual import Solution, solve_cells
from equipoise.mitigate.data.moments import PRESERVED, Moments, build_moments
from equipoise.mitigate.data.newton import Constrained

WANTED = SHARES


@dataclass
class Web:
    """Pairs of which 12 % show a person, with 38 rare labels that lean to men or women."""

    rng: Any
    prevalence: Any = None
    skew: Any = None

    def rows(self, n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (man, woman, labels (n, 38))."""
        rng = self.rng
        person = rng.random(n) < 0.12
        man = person & (rng.random(n) < 0.62)
        woman = person & ((rng.random(n) < 0.25) | (~man & (rng.random(n) < 0.9)))
        self.prevalence = np.exp(rng.uniform(np.log(3e-4), np.log(2e-2), 38))
        self.skew = rng.normal(0, 0.8, 38)
        lean = man.astype(np.float64) - woman
        y = np.empty((n, 38), bool)
        for r in range(38):
            p = np.where(person, self.prevalence[r] * np.exp(self.skew[r] * lean), 0.05 * self.prevalence[r])
            y[:, r] = rng.random(n) < p
        return man, woman, y


def packed(columns: dict[str, tuple[str, NDArray[np.bool_]]]) -> CellTable:
    """Count flags: name -> (role, column)."""
    layout = Layout(tuple(Variable(name, role, "flag") for name, (role, _) in columns.items()))
    n = len(next(iter(columns.values()))[1])
    keys = np.zeros((n, layout.words), np.uint64)
    for name, (_, column) in columns.items():
        (place,) = layout.places(name)
        keys[:, place // 64] |= column.astype(np.uint64) << np.uint64(place % 64)
    return CellTable(keys.ravel() if layout.words == 1 else keys, np.ones(n, np.int64), layout)


def flags(s: NDArray[np.bool_], y: NDArray[np.bool_]) -> CellTable:
    """Cells of attributes s0, s1, ... and labels y0, y1, ..."""
    columns = {f"y{r}": ("label", y[:, r]) for r in range(y.shape[1])}
    return packed(columns | {f"s{k}": ("attribute", s[:, k]) for k in range(s.shape[1])})


def flag_table(s: NDArray[np.bool_], y: NDArray[np.bool_]) -> pa.Table:
    """The same as a table of true and false."""
    columns = {f"s{k}": s[:, k] for k in range(s.shape[1])} | {f"y{r}": y[:, r] for r in range(y.shape[1])}
    return pa.table(columns)


@dataclass(frozen=True)
class Problem:
    """Cells with constraints, without the class M4 around them."""

    design: Design
    moments: Moments
    counts: NDArray[np.float64]

    def solve(self, **options: Any) -> Solution:
        return solve_cells(Constrained(self.design, self.moments), self.counts, raise_price=False, **options)

    def table(self, q: Any) -> NDArray[np.float64]:
        """Return sums of moments (w, R) at weights."""
        return self.design.sums(self.counts * q)


def problem(s: Any, y: Any, counts: Any, shares: Any = 0.5, *, masks: Any = None, **options: Any) -> Problem:
    """Bare columns (C, m), (C, c) with counts; ``masks`` (C,) is one mask of all columns."""
    s, y = np.asarray(s, float).reshape(len(counts), -1), np.asarray(y, float).reshape(len(counts), -1)
    counts = np.asarray(counts, np.float64)
    m, c = s.shape[1], y.shape[1]
    masks = None if masks is None else np.asarray(masks, float).reshape(len(counts), 1)
    design = Design(s, y, masks, None if masks is None else np.zeros(m, np.int64))
    names = [f"s{k}" for k in range(m)], [f"y{r}" for r in range(c)]
    moments = build_moments(
        names[0], np.broadcast_to(shares, m).tolist(), names[1],
        masks=None if masks is None else [0] * m, n_masks=0 if masks is None else 1,
        prevalence=counts @ y / counts.sum(), **options,
    )  # fmt: skip
    return Problem(design, moments, counts)


def constant(problem: Problem, delta: float, first: float) -> Problem:
    """Give pairs a constant tolerance delta times the prevalence of the label."""
    moments, c = problem.moments, len(problem.moments.labels)
    prevalence = problem.table(1.0)[-1] / problem.counts.sum()
    pairs, kept = moments.row < c, moments.column == PRESERVED
    tolerance = np.where(pairs, delta * prevalence[moments.row], first)
    every = np.full(len(moments), moments.n_masks)
    return replace(problem, moments=replace(
        moments, tolerance=np.where(kept, moments.tolerance, tolerance), tolerance_mask=every,
        tolerance_row=np.full(len(moments), c), _maps={},
    ))  # fmt: skip


def of_cells(cells: CellTable, m: int, shares: Any, **options: Any) -> Problem:
    """Cells of :func:`flags` as a problem."""
    bits = unpacked(cells.keys, cells.layout)
    return problem(bits[:, -m:], bits[:, :-m], cells.counts, np.asarray(shares)[:m], **options)


@dataclass(frozen=True)
class Measured:
    """What weights do to bare columns, straight from the formulas."""

    rb: float
    ab: float
    share_error: float
    prevalence: float
    ess: float
    largest: float
    retention: float


def measure(s: Any, y: Any, counts: Any, q: Any, shares: Any = 0.5) -> Measured:
    """Measure with dense matrices and loops: slow, and independent of the code that is tested."""
    s, y = np.asarray(s, float).reshape(len(counts), -1), np.asarray(y, float).reshape(len(counts), -1)
    counts, q = np.asarray(counts, float), np.asarray(q, float)
    w, shares = counts * q, np.broadcast_to(shares, s.shape[1])
    rate = w @ y / w.sum()
    old = counts @ y / counts.sum()
    ab, error = 0.0, 0.0
    for k in range(s.shape[1]):
        inside, outside = w * s[:, k], w * (1 - s[:, k])
        ab = max(ab, np.abs(inside @ y / inside.sum() - outside @ y / outside.sum()).max())
        error = max(error, np.abs(inside @ y / (w @ y) - shares[k]).max())
    return Measured(
        rb=float(np.abs(w @ s / w.sum() - shares).max()), ab=float(ab), share_error=float(error),
        prevalence=float(np.maximum(rate / old, old / rate).max()),
        ess=float(w.sum() ** 2 / (counts.sum() * (w @ q))), largest=float(q.max() * counts.sum() / w.sum()),
        retention=float(w.sum() / counts.sum()),
    )  # fmt: skip
