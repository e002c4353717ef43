"""The dual function of balancing, its gradient, and Newton steps on it.

The equations stand in :mod:`.dual`. F is quadratic between its kinks, so that a few steps on the duals that are free end
where a descent on values runs out of digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.mitigate.data.design import Passes
from equipoise.mitigate.data.moments import Moments

Vector = NDArray[np.float64]

SMALL = 1 << 22
"""Cells times duals up to which a Newton step forms its matrix."""


@dataclass(frozen=True)
class Constrained:
    """Cells with the constraints on them: what the pure functions call ``design``."""

    design: Passes
    moments: Moments

    def scores(self, x: Vector) -> Vector:
        """Return (C,) sum_j (v+ - v-) D - (v+ + v-) A, without mu and utility."""
        half = len(self.moments)
        plus, minus = x[:half], x[half : 2 * half]
        return self.design.linear(self.moments.coefficients(plus - minus, plus + minus))

    def means(self, weights: Vector) -> tuple[Vector, Vector]:
        """Return the sums of (D, A), each (J,), with weights (C,)."""
        return self.moments.values(self.design.sums(weights))


def dual_value_and_grad(
    x: Vector, design: Constrained, counts: Vector, eta: float, cap: float, u: ArrayLike = 1.0
) -> tuple[float, Vector]:
    """Return F and its gradient.

    Parameters
    ----------
    x : ndarray (2J + 1,), float64
        v+, v-, mu.
    design : Constrained
        C cells and J constraints.
    counts : ndarray (C,)
        Rows of each cell.
    eta, cap : float
    u : float or ndarray (C,)

    Returns
    -------
    value : float
    gradient : ndarray (2J + 1,), float64
    """
    total = counts.sum()
    z = eta * np.asarray(u, np.float64) - design.scores(x) - x[-1]
    q = np.clip(z, 0.0, cap)
    weighted = counts * q
    value = (weighted @ z - 0.5 * (weighted @ q)) / total + eta * x[-1]
    d, a = design.means(weighted / total)
    return float(value), np.concatenate([a - d, a + d, [eta - weighted.sum() / total]])


@dataclass(frozen=True)
class Newton:
    """Newton steps on the free duals: F is quadratic between its kinks, so a few end where L-BFGS-B runs out of digits.

    The value of F is known to 16 digits, hence its minimiser by descent to 8; a step on the gradient has no such limit.
    """

    design: Constrained
    counts: Vector
    eta: float
    cap: float
    u: Vector
    scale: Vector
    lower: Vector
    upper: Vector

    def step(self, point: Vector) -> tuple[Vector, int]:
        """Return the point after one step, and the passes over the cells that it took."""
        x = point / self.scale
        total = self.counts.sum()
        _, gradient = dual_value_and_grad(x, self.design, self.counts, self.eta, self.cap, self.u)
        gradient = gradient / self.scale
        z = self.eta * self.u - self.design.scores(x) - x[-1]
        inside = self.counts * ((z > 0) & (z < self.cap)) / total
        free = (point > self.lower) & (point < self.upper)
        free |= (point <= self.lower) & (gradient < 0) & (self.lower < self.upper)
        free |= (point >= self.upper) & (gradient > 0) & (self.lower < self.upper)

        def curvature(p: Vector) -> Vector:
            full = np.where(free, p, 0.0) / self.scale
            moved = self.design.scores(full) + full[-1]
            d, a = self.design.means(inside * moved)
            out = np.concatenate([d - a, -d - a, [float(inside @ moved)]])
            return np.where(free, out / self.scale, 0.0)

        right = np.where(free, -gradient, 0.0)
        if free.sum() * self.counts.size > SMALL:
            direction, used = _conjugate_gradients(curvature, right)
        else:  # few cells: the matrix costs little, and a singular one is then no trouble
            places = np.flatnonzero(free)
            matrix = np.array([curvature(np.eye(1, x.size, int(j))[0])[places] for j in places])
            direction = np.zeros(x.size)
            direction[places] = np.linalg.lstsq(matrix, right[places], rcond=1e-13)[0] if places.size else 0.0
            used = places.size
        return np.clip(point + direction, self.lower, self.upper), used + 2


def _conjugate_gradients(curvature: Callable[[Vector], Vector], right: Vector) -> tuple[Vector, int]:
    """Solve a symmetric, at least semidefinite system; of a singular one the part that can be solved."""
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    size = start = float(residual @ residual)
    steps = 0
    while steps < 2 * right.size and size > 1e-26 * start and size > 1e-40:
        steps += 1
        image = curvature(direction)
        bend = float(direction @ image)
        if bend <= 1e-14 * float(direction @ direction):
            break
        length = size / bend
        solution += length * direction
        residual -= length * image
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
    return solution, steps
