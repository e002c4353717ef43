"""Correlation of two short vectors (models in a study): Pearson, Spearman, Kendall's tau-b, partial, with p."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, Seed, check_draws, finite, generator
from equipoise.stats.delong import midranks
from equipoise.stats.intervals import normal_interval


class Correlation(NamedTuple):
    """A coefficient in [-1, 1], its interval, its two-sided p, and the number of pairs; NaN where not estimable."""

    value: float
    low: float
    high: float
    p: float
    n: int


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    x, y = finite(x, "x"), finite(y, "y")
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"x has shape {x.shape} and y {y.shape}, expected two vectors (n,).", "Give paired vectors.")
    return x, y


def _r(x: Floats, y: Floats) -> float:
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _t_p(r: float, df: int) -> float:
    from scipy.special import stdtr

    if math.isnan(r) or df < 1:
        return math.nan
    return 0.0 if abs(r) == 1 else float(2 * stdtr(df, -abs(r) * math.sqrt(df / (1 - r * r))))


def _fisher(r: float, variance: float, level: float) -> tuple[float, float]:
    if math.isnan(r) or not variance > 0 or math.isinf(variance):
        return math.nan, math.nan
    if abs(r) == 1:
        return r, r
    low, high = normal_interval(math.atanh(r), math.sqrt(variance), level)
    return math.tanh(float(low)), math.tanh(float(high))


def pearson(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Correlation:
    """Return Pearson's r; p from t with n - 2 degrees of freedom.

    Interval tanh(atanh r -+ z / sqrt(n - 3)): Fisher (1921), Metron 1:3-32. NaN where a vector is constant.
    """
    x, y = _pair(x, y)
    r, n = _r(x, y), x.size
    return Correlation(r, *_fisher(r, 1 / (n - 3) if n > 3 else math.inf, level), _t_p(r, n - 2), n)


def spearman(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Correlation:
    """Return Spearman's rho (Pearson's r of midranks); p from t with n - 2 degrees of freedom.

    Interval on Fisher's scale with variance (1 + rho^2/2)/(n - 3): Bonett & Wright (2000), Psychometrika 65:23-28.
    """
    x, y = _pair(x, y)
    r, n = _r(midranks(x), midranks(y)), x.size
    return Correlation(r, *_fisher(r, (1 + r * r / 2) / (n - 3) if n > 3 else math.inf, level), _t_p(r, n - 2), n)


def partial_spearman(x: ArrayLike, y: ArrayLike, given: ArrayLike, level: float = 0.95) -> Correlation:
    """Return the partial rank correlation of x and y given z; p from t with n - 3 degrees of freedom.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)) on midranks; NaN where z determines x or y.
    """
    x, y = _pair(x, y)
    z = _pair(x, given)[1]
    n = x.size
    rx, ry, rz = midranks(x), midranks(y), midranks(z)
    xy, xz, yz = _r(rx, ry), _r(rx, rz), _r(ry, rz)
    below = (1 - xz**2) * (1 - yz**2)
    r = float(np.clip((xy - xz * yz) / math.sqrt(below), -1, 1)) if below > 1e-12 else math.nan
    return Correlation(r, *_fisher(r, (1 + r * r / 2) / (n - 4) if n > 4 else math.inf, level), _t_p(r, n - 3), n)


def _tau_exact_p(discordant: int, n: int) -> float:
    """Two-sided p of the number of inversions of a random permutation of n, by the recurrence over n."""
    counts = np.ones(1)
    for size in range(2, n + 1):
        counts = np.convolve(counts, np.full(size, 1.0 / size))
    fewer = min(discordant, n * (n - 1) // 2 - discordant)
    return float(min(1.0, 2 * counts[: fewer + 1].sum()))


def kendall(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Correlation:
    """Return Kendall's tau-b, O(n^2).

    p is exact up to 50 pairs without ties, else normal with the variance corrected for ties (Kendall 1970, Rank
    Correlation Methods, chapter 5). Interval on Fisher's scale with variance .437/(n - 4): Fieller, Hartley & Pearson
    (1957), Biometrika 44:470-481.
    """
    from scipy.special import ndtr

    x, y = _pair(x, y)
    n = x.size
    score = 0
    for i in range(n - 1):
        score += int((np.sign(x[i + 1 :] - x[i]) * np.sign(y[i + 1 :] - y[i])).sum())
    ties_x = np.unique(x, return_counts=True)[1].astype(np.float64)
    ties_y = np.unique(y, return_counts=True)[1].astype(np.float64)
    pairs = n * (n - 1) / 2
    tied_x, tied_y = (ties_x * (ties_x - 1) / 2).sum(), (ties_y * (ties_y - 1) / 2).sum()
    if n < 2 or tied_x == pairs or tied_y == pairs:
        return Correlation(math.nan, math.nan, math.nan, math.nan, n)
    tau = float(np.clip(score / math.sqrt(pairs - tied_x) / math.sqrt(pairs - tied_y), -1, 1))
    if tied_x == tied_y == 0 and n <= 50:
        p = _tau_exact_p(round((pairs - score) / 2), n)
    else:

        def cubic(t: Floats) -> float:
            return float((t * (t - 1) * (t - 2)).sum())

        spread = n * (n - 1) * (2 * n + 5)
        spread -= float(sum((t * (t - 1) * (2 * t + 5)).sum() for t in (ties_x, ties_y)))
        variance = spread / 18 + 2 * tied_x * tied_y / (n * (n - 1))
        variance += cubic(ties_x) * cubic(ties_y) / (9 * n * (n - 1) * (n - 2)) if n > 2 else 0.0
        p = float(2 * ndtr(-abs(score) / math.sqrt(variance)))
    return Correlation(tau, *_fisher(tau, 0.437 / (n - 4) if n > 4 else math.inf, level), min(p, 1.0), n)


def spearman_permutation_p(x: ArrayLike, y: ArrayLike, draws: int = 10_000, seed: Seed = 0) -> float:
    """Return the two-sided permutation p of Spearman's rho, (1 + #{|rho*| >= |rho|}) / (1 + draws); NaN if constant."""
    x, y = _pair(x, y)
    rng = generator(seed)
    check_draws(draws, 1)
    rx, ry = midranks(x), midranks(y)
    rx, ry = rx - rx.mean(), ry - ry.mean()
    if x.size < 2 or not rx.any() or not ry.any():
        return math.nan
    observed = abs(rx @ ry)
    shuffled = rng.permuted(np.broadcast_to(ry, (draws, ry.size)), axis=1)
    return float((1 + (np.abs(shuffled @ rx) >= observed * (1 - 1e-12)).sum()) / (1 + draws))
