"""From values of groups to a gap over groups, and its closed-form limits: shared by every family of metrics.

A group takes part in a gap where ``valid`` says so and its value is defined. Arrays are (..., G).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from equipoise.protocols import Floats
from equipoise.stats.intervals import Interval, mover


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def largest(values: Floats, taking_part: NDArray[np.bool_]) -> Floats:
    """Return the largest of the values that take part (..., G) -> (...), -inf where there is none."""
    return values.max(-1, initial=-np.inf, where=taking_part)


def smallest(values: Floats, taking_part: NDArray[np.bool_]) -> Floats:
    """Return the smallest of the values that take part (..., G) -> (...), inf where there is none."""
    return values.min(-1, initial=np.inf, where=taking_part)


def participants(values: Floats, valid: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which groups take part (..., G), and where there are the two that a comparison needs (...)."""
    taking_part = np.asarray(valid, dtype=bool) & ~np.isnan(values)
    return taking_part, taking_part.sum(-1) >= 2


def spread(values: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return max - min over the groups that take part; NaN with fewer than two."""
    taking_part, enough = participants(values, valid)
    return np.where(enough, largest(values, taking_part) - smallest(values, taking_part), np.nan)


def spread_along(values: Floats, valid: NDArray[np.bool_], drawn: Floats) -> Floats:
    """Return draws (B, ...) of max - min with the two groups held fixed that are the extremes of ``values`` (..., G).

    Their deviation is that of a signed difference. That of the gap itself is too small near 0, where |x| folds.
    """
    taking_part, _ = participants(values, valid)
    top = np.where(taking_part, values, -np.inf).argmax(-1)[..., None]
    others = taking_part & (np.arange(values.shape[-1]) != top)
    bottom = np.where(others, values, np.inf).argmin(-1)[..., None]
    one, other = (
        np.take_along_axis(drawn, np.broadcast_to(place, (*drawn.shape[:-1], 1)), -1)[..., 0] for place in (top, bottom)
    )
    with np.errstate(invalid="ignore"):
        return one - other


def each_level(level: float, limits: int) -> float:
    """Return the level of each of several limits that shall hold together at ``level`` (Bonferroni)."""
    return 1 - (1 - level) / max(limits, 1)


def folded(low: Floats, high: Floats) -> Interval:
    """Return limits of |d| from limits of d: low is 0 where they enclose 0."""
    inside = (low <= 0) & (high >= 0)
    return np.where(inside, 0.0, np.minimum(np.abs(low), np.abs(high))), np.maximum(np.abs(low), np.abs(high))


def spread_limits(
    values: Floats, limits: Callable[[float], Interval], valid: NDArray[np.bool_], level: float
) -> Interval:
    """Return limits of :func:`spread` for independent groups.

    Two groups: square-and-add of the limits of both (with Wilson limits, Newcombe's method 10), folded to |d|.
    More: limits of every group that hold together (Bonferroni) give max L - min U <= max - min <= max U - min L, which
    is conservative.

    Parameters
    ----------
    values : ndarray (..., G)
    limits : callable
        Limits (..., G) of each value at a level.
    valid : ndarray (G,), bool
    level : float

    Returns
    -------
    low, high : ndarray (...)
        NaN where fewer than two groups take part.
    """
    groups = np.flatnonzero(valid)
    taking_part, enough = participants(values, valid)
    if groups.size == 2:
        low, high = (limit[..., groups] for limit in limits(level))
        low, high = folded(*mover(values[..., groups], low, high, np.array([1.0, -1.0])))
    else:
        lows, highs = limits(each_level(level, groups.size))
        low = np.maximum(largest(lows, taking_part) - smallest(highs, taking_part), 0.0)
        high = largest(highs, taking_part) - smallest(lows, taking_part)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
