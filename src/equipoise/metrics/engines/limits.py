"""Limits of the mean and of the largest of several sizes |d|, which chance biases upwards.

A size is the gap of a pair, the distance of a share, a gap over groups. Its bootstrap draws have the upward bias twice and
its percentiles never reach 0, so neither covers the value of an infinite sample. The docs on statistics hold the
coverage that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.gaps import each_level
from equipoise.protocols import Floats
from equipoise.stats import standard_error
from equipoise.stats.intervals import Interval, z_of

Limits = Callable[[float], Interval]


def mean_limits(
    value: float, drawn: NDArray[np.float64], along: NDArray[np.float64], level: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return limits of a mean of sizes: percentiles of the *signed* draws, the lower less the bias.

    Parameters
    ----------
    value : float
    drawn, along : ndarray (B,)
        Draws of the mean, and of the mean with signs (the two groups of a gap) held as they are in the data.
    level : float
    bounds : tuple of float
        Range of the mean; limits are clipped to it.

    Notes
    -----
    [q(a) - 2 b, q(1 - a)], q the quantiles of ``along`` and b = mean of ``drawn`` - ``along``. Draws of |d| fold at 0 and
    deviate less than d does; those with signs held do not, and keep the skewness of a family of unlike pairs. The bias
    that draws show is a third to a half of that of the value, so 2 b of it; there may be none, so nothing off the top.
    """
    if not np.isfinite(value) or not np.isfinite(standard_error(along)):
        return np.nan, np.nan
    tail, known = (1 - level) / 2, np.isfinite(drawn) & np.isfinite(along)
    low, high = np.quantile(along[known], [tail, 1 - tail])
    bias = float((drawn - along)[known].mean())
    low, high = np.clip([low - 2 * max(0.0, bias), high], *bounds)
    return min(float(low), value), max(float(high), value)


def largest_limits(limits: Limits, count: int, level: float) -> tuple[float, float]:
    """Return limits of the largest of ``count`` sizes, from the limits of each at a level; conservative.

    The lower limit is the largest of lower limits that hold together (Bonferroni). The upper needs no correction: the
    largest size is no more than its own upper limit, and that is no more than the largest of them.
    """
    low, high = limits(each_level(level, count))[0], limits(level)[1]
    return float(np.max(low)), float(np.max(high))


def drawn_limits(values: Floats, along: NDArray[np.float64], bounds: tuple[float, float]) -> Limits:
    """Return limits of sizes (P,) at any level, normal, from draws (B, P) with signs held: for rows in clusters."""
    error = standard_error(along)

    def at(level: float) -> Interval:
        half = z_of(level) * error
        return np.clip(values - half, *bounds), np.clip(values + half, *bounds)

    return at


def reaching_parity(low: Any, p: Any, level: float, parity: float = 0.0) -> NDArray[np.float64]:
    """Return ``low``, extended to parity where the permutation test of a size does not exclude it at ``level``.

    The test of a size is two-sided: p > 1 - level, so that p < .05 and a 95 % interval without 0 say the same.
    """
    return np.where(np.asarray(p) > 1 - level, np.fmin(low, parity), low)
