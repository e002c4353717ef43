"""The dual of balancing: value and gradient, the exact solver on cells, and its certificate.

The problem (Alabdulmohsin et al., ICLR 2024; notation of :mod:`.moments`, weights q, utility u, cap Q, mean weight eta):

    min  1/2 E[(q - eta u)^2] + V sum_j max(0, |E[q D_j]| - E[q A_j])      over  0 <= q <= Q,  E[q] = eta

Its dual has two numbers in [0, V] a constraint and one free number:

    z = eta u - sum_j (v+_j - v-_j) D_j + sum_j (v+_j + v-_j) A_j - mu,       q = clip(z, 0, Q)
    F(v, mu) = E[q z - q^2 / 2] + eta mu,      min F = 1/2 E[(eta u)^2] - (value of the problem)
    dF/dv+ = -E[q (D - A)],   dF/dv- = E[q (D + A)],   dF/dmu = eta - E[q]

F is convex and depends on rows through their patterns alone, so counts of cells are enough. Any v gives a certificate:
with mu such that E[q] = eta, 1/2 E[(q - q*)^2] <= F - F* <= gap = (value at q) - (1/2 E[(eta u)^2] - F). In free-mean
mode (``keep="auto"``) the constraint E[q] = eta and mu are dropped and eta = 1.

The published update is in :mod:`.online`; solving exactly on cells is our departure.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.mitigate.data.newton import Constrained, Newton, dual_value_and_grad
from equipoise.mitigate.data.solution import CERTIFIED, Duals, Solution, apply_duals, certificate, root_of_mean

__all__ = [
    "Constrained",
    "Duals",
    "Solution",
    "apply_duals",
    "certificate",
    "dual_value_and_grad",
    "root_of_mean",
    "solve_cells",
]

Vector = NDArray[np.float64]

GOAL = 1e-10
"""Duality gap at which the solver stops refining."""

MOST_STEPS = 12
"""Newton steps after L-BFGS-B, at most."""

STAGES = (0.01, 0.1, 1.0)
"""Shares of the price, one after the other, where a first start stalls."""

MOST_ROUNDS = 6
"""Starts of L-BFGS-B, at most: where duals reach the price it may stop early on a step that is too short to tell."""


def solve_cells(
    design: Constrained,
    counts: ArrayLike,
    *,
    eta: float = 1.0,
    cap: float = 1.0,
    u: ArrayLike = 1.0,
    price: float = 100.0,
    free_mean: bool = False,
    raise_price: bool = True,
    start: ArrayLike | None = None,
) -> Solution:
    """Solve exactly by L-BFGS-B on the dual.

    Parameters
    ----------
    design : Constrained
        C cells and J constraints.
    counts : array_like (C,)
        Rows of each cell, at least one in all.
    eta, cap : float
        Mean weight (1 in free-mean mode) and largest weight.
    u : float or array_like (C,)
        Utility, finite.
    price : float
        V, the price of a unit of violation.
    free_mean : bool
        Drop E[q] = eta: how much is kept is then a result.
    raise_price : bool
        Where a constraint is broken with its dual at the price, solve again with 10 V and 100 V.
    start : array_like (2J + 1,), optional
        Duals to begin from.

    Returns
    -------
    Solution
    """
    counts = np.asarray(counts, dtype=np.float64)
    u = np.asarray(u, dtype=np.float64)
    x = np.zeros(2 * len(design.moments) + 1) if start is None else np.asarray(start, dtype=np.float64)
    passes = 0
    best: Solution | None = None
    for factor in (1.0, 10.0, 100.0) if raise_price else (1.0,):
        found = _minimise(x, design, counts, eta, cap, u, price * factor, free_mean)
        passes += found.evaluations
        if found.gap > CERTIFIED:  # stalled among duals at the price: come from smaller ones
            other, point = found, np.zeros_like(x)
            for part in STAGES:
                other = _minimise(point, design, counts, eta, cap, u, price * factor * part, free_mean)
                passes, point = passes + other.evaluations, other.duals.packed
            found = other if other.gap < found.gap else found
        best = found
        if not found.broken.any():
            break
        x = found.duals.packed
    assert best is not None
    return replace(best, evaluations=passes)


def _scales(design: Constrained, counts: Vector) -> Vector:
    """Return (J,) square roots of the prevalence of each constraint's rows."""
    moments = design.moments
    prevalence = design.design.sums(counts / counts.sum())[-1]
    return np.sqrt(np.maximum(prevalence[moments.row], 1e-12))


def _minimise(
    x: Vector, design: Constrained, counts: Vector, eta: float, cap: float, u: Vector, price: float, free_mean: bool
) -> Solution:
    """Descend, then refine by Newton steps; again from there while the gap is not small and still shrinks."""
    from scipy.optimize import minimize

    scale = np.concatenate([np.tile(_scales(design, counts), 2), [1.0]])
    limits = np.full(x.size, price) * scale
    lower = np.zeros(x.size)
    lower[-1], limits[-1] = (0.0, 0.0) if free_mean else (-np.inf, np.inf)
    bounds = np.column_stack([lower, limits])
    half = len(design.moments)
    net = np.flatnonzero(design.moments.tolerance == 0)  # v+ and v- have one sum: the difference alone counts
    low, high = lower.copy(), limits.copy()
    low[net], high[half + net] = -limits[net], 0.0
    newton = Newton(design, counts, eta, cap, u, scale, low, high)

    def scaled(point: Vector) -> tuple[float, Vector]:
        value, gradient = dual_value_and_grad(point / scale, design, counts, eta, cap, u)
        return value, gradient / scale

    def certified(x: Vector) -> Solution:
        return certificate(x, design, counts, eta, cap, u, price=price, free_mean=free_mean)

    passes, point, best = 0, np.clip(x * scale, lower, limits), None
    for _ in range(MOST_ROUNDS):
        result = minimize(
            scaled, point, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxcor": 30, "ftol": 1e-15, "gtol": 1e-7, "maxiter": 5000, "maxfun": 10000},
        )  # fmt: skip
        passes += int(result.nfev)
        point = result.x
        found = certified(point / scale)
        for _ in range(MOST_STEPS):
            if found.gap <= GOAL:
                break
            start = found.duals.packed
            start[net], start[half + net] = start[net] - start[half + net], 0.0
            moved, used = newton.step(np.clip(start * scale, low, high))
            passes += used
            x = moved / scale
            x[net], x[half + net] = np.maximum(x[net], 0.0), np.maximum(-x[net], 0.0)
            better = certified(x)
            if not better.gap < found.gap:
                break
            found, stalled = better, better.gap > 0.9 * found.gap
            if stalled:
                break
        before, best = best, found if best is None or found.gap < best.gap else best
        if best.gap <= CERTIFIED or (before is not None and best.gap > 0.99 * before.gap):
            break
    assert best is not None
    return replace(best, evaluations=passes)
