"""Weights at given duals, and the proof of how far from the optimum they are; the equations stand in :mod:`.dual`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.mitigate.data.newton import Constrained

Vector = NDArray[np.float64]

BROKEN = 1e-6
"""A constraint is broken where its violation exceeds this times eta."""

CERTIFIED = 1e-6
"""Duality gap up to which a solution is called exact."""

SATURATED = 0.99
"""Share of the price at which a dual is said to be at its limit."""


@dataclass(frozen=True)
class Duals:
    """Prices of the constraints: with them, the weight of a row is a function of the row alone.

    Attributes
    ----------
    names : tuple of str (J,)
    v_plus, v_minus : ndarray (J,), float64
        In [0, price].
    mu : float
        Price of the mean weight; 0 in free-mean mode.
    """

    names: tuple[str, ...]
    v_plus: Vector
    v_minus: Vector
    mu: float

    @property
    def lam(self) -> Vector:
        """Return (J,) shadow prices: v+ - v-."""
        return self.v_plus - self.v_minus

    @property
    def packed(self) -> Vector:
        """Return (2J + 1,) float64: v+, v-, mu."""
        return np.concatenate([self.v_plus, self.v_minus, [self.mu]])

    @classmethod
    def from_packed(cls, names: tuple[str, ...], x: ArrayLike) -> Duals:
        """Rebuild from :attr:`packed`."""
        x = np.asarray(x, dtype=np.float64)
        half = len(names)
        return cls(names, x[:half].copy(), x[half : 2 * half].copy(), float(x[-1]))


def apply_duals(design: Constrained, duals: Duals, u: ArrayLike = 1.0, *, eta: float = 1.0, cap: float = 1.0) -> Vector:
    """Return (C,) weights in [0, cap] of rows, seen or not, at given duals."""
    z = eta * np.asarray(u, np.float64) - design.scores(duals.packed) - duals.mu
    return np.clip(z, 0.0, cap)


def root_of_mean(z: Vector, counts: Vector, eta: float, cap: float) -> float:
    """Return the mu at which the mean of clip(z - mu, 0, cap) is eta: of several the one nearest to 0."""
    total = counts.sum()
    ends = np.concatenate([z, z - cap])
    ends.sort()

    def mean(mu: float) -> float:
        return float(counts @ np.clip(z - mu, 0.0, cap)) / total

    low, high = 0, ends.size - 1  # mean(ends[low]) >= eta >= mean(ends[high])
    if z.size == 0 or mean(ends[low]) <= eta:
        return float(min(ends[low], 0.0)) if ends.size else 0.0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(ends[middle]) >= eta else (low, middle)
    left, right = ends[low], ends[high]
    above, below = mean(left), mean(right)
    if above == below:
        return float(np.clip(0.0, left, right))
    mu = left + (above - eta) / (above - below) * (right - left)
    free = (z > left) & (z - cap < right)  # one exact step within the linear piece
    slope = counts[free].sum() / total
    return float(mu + (mean(mu) - eta) / slope) if slope > 0 else float(mu)


@dataclass(frozen=True)
class Solution:
    """A solved balance.

    Attributes
    ----------
    duals : Duals
    q : ndarray (C,), float64
        Weights of the cells in [0, cap].
    objective : float
        Value of the problem at q, violations priced.
    gap : float
        objective minus the dual bound: at least 1/2 E[(q - q*)^2].
    values, allowed : ndarray (J,), float64
        E[q D] and E[q A].
    broken, saturated : ndarray (J,), bool
        Violated by more than 1e-6 eta; |lambda| at more than 0.99 of the price.
    price : float
        V at which this was solved; greater than asked for where that was too small.
    eta, cap : float
    free_mean : bool
    evaluations : int
        Passes over the cells.
    """

    duals: Duals
    q: Vector
    objective: float
    gap: float
    values: Vector
    allowed: Vector
    broken: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    price: float
    eta: float
    cap: float
    free_mean: bool
    evaluations: int

    @property
    def violation(self) -> Vector:
        """Return (J,) max(0, |E[q D]| - E[q A])."""
        return np.maximum(0.0, np.abs(self.values) - self.allowed)

    @property
    def status(self) -> str:
        """``exact``, ``infeasible`` (a constraint is broken) or ``approximate`` (the gap is above 1e-6)."""
        return "infeasible" if self.broken.any() else "exact" if self.gap <= CERTIFIED else "approximate"

    def hardest(self, most: int = 5) -> list[int]:
        """Return the constraints with the largest |lambda| x violation, at most five."""
        weight = np.abs(self.duals.lam) * self.violation
        order = np.argsort(-weight, kind="stable")[:most]
        return [int(j) for j in order if weight[j] > 0]


def certificate(
    x: Vector,
    design: Constrained,
    counts: Vector,
    eta: float,
    cap: float,
    u: ArrayLike = 1.0,
    *,
    price: float = 100.0,
    free_mean: bool = False,
) -> Solution:
    """Return the weights at given duals with a proof of how far from the optimum they are.

    Unless ``free_mean``, mu is replaced by the root of E[q] = eta. Parameters are those of :func:`dual_value_and_grad`.
    """
    u = np.broadcast_to(np.asarray(u, np.float64), counts.shape)
    total = counts.sum()
    z = eta * u - design.scores(x)
    mu = 0.0 if free_mean else root_of_mean(z, counts, eta, cap)
    z = z - mu
    q = np.clip(z, 0.0, cap)
    weighted = counts * q / total
    d, a = design.means(weighted)
    violation = np.maximum(0.0, np.abs(d) - a)
    objective = 0.5 * float(counts @ (q - eta * u) ** 2) / total + price * float(violation.sum())
    value = float(weighted @ (z - 0.5 * q)) + eta * mu
    bound = 0.5 * float(counts @ (eta * u) ** 2) / total - value
    duals = replace(Duals.from_packed(design.moments.names, x), mu=mu)
    return Solution(
        duals=duals,
        q=q,
        objective=objective,
        gap=objective - bound,
        values=d,
        allowed=a,
        broken=violation > BROKEN * eta,
        saturated=np.abs(duals.lam) > SATURATED * price,
        price=price,
        eta=eta,
        cap=cap,
        free_mean=free_mean,
        evaluations=0,
    )
