"""What chance alone gives: permutation nulls of gaps, computed from counts where counts suffice.

Under "no disparity" group labels are exchangeable among the rows. Then the counts of positives by group are
multivariate hypergeometric, and no row needs to be shuffled. p = (1 + #{null >= observed}) / (1 + draws), which is
never 0 and valid for any number of draws (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39). Rankings are in
``ranked_nulls.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import (
    Floats,
    Ints,
    Seed,
    as_float,
    check_draws,
    check_fraction,
    check_level,
    codes_array,
    counts_array,
    finite,
    generator,
)
from equipoise.stats.delong import auc_from_sorted, sorted_ties

_DRAWS = 2000


@dataclass(frozen=True)
class Null:
    """Draws of a statistic under no disparity, sorted.

    Attributes
    ----------
    draws : ndarray of float64, shape (draws,)
        Ascending, without NaN.
    """

    draws: Floats

    @property
    def mean(self) -> float:
        """The value to expect under no disparity; NaN if there are no draws."""
        return float(self.draws.mean()) if self.draws.size else float("nan")

    def quantile(self, fraction: float) -> float:
        """Return the quantile at ``fraction``, in (0, 1); NaN if there are no draws."""
        check_fraction(fraction, "fraction", "0.95 for the 95 % quantile")
        return float(np.quantile(self.draws, fraction)) if self.draws.size else float("nan")

    def p(self, observed: ArrayLike, tail: str = "upper") -> Floats:
        """Return the permutation p of observed values, of any shape; NaN where observed is or without draws.

        ``tail`` is "upper" (large is extreme: gaps, MaxSkew) or "lower" (MinSkew).
        """
        if tail not in ("upper", "lower"):
            raise InputError(f"tail is {tail!r}.", "Give 'upper' or 'lower'.")
        observed = as_float(observed)
        slack = 1e-9 * np.maximum(1.0, np.abs(np.where(np.isfinite(observed), observed, 0.0)))
        if tail == "upper":
            extreme = self.draws.size - np.searchsorted(self.draws, observed - slack, side="left")
        else:
            extreme = np.searchsorted(self.draws, observed + slack, side="right")
        p = (1 + extreme) / (1 + self.draws.size)
        return np.where(np.isnan(observed) | (self.draws.size == 0), np.nan, p)


def null_of(draws: ArrayLike) -> Null:
    """Return draws as a `Null`: sorted, NaN left out."""
    values = as_float(draws).ravel()
    values = np.sort(values[~np.isnan(values)])
    values.flags.writeable = False
    return Null(values)


def chance_floor(low: ArrayLike, estimate: ArrayLike, null: Null, level: float = 0.95, floor: float = 0.0) -> Floats:
    """Return ``low``, extended to ``floor`` (no disparity) where the estimate is within what chance alone gives.

    That is where estimate <= quantile (1 + level)/2 of the null: the interval then excludes "no disparity" exactly when
    the permutation test does. A bootstrap alone cannot: its draws of a gap are never 0. Coverage of 0 at no disparity
    rises from 0 to (1 + level)/2.
    """
    low, estimate = as_float(low), as_float(estimate)
    inside = estimate <= null.quantile((1 + check_level(level)) / 2) + 1e-12
    return np.where(inside, np.minimum(low, floor), low)


def permutation_tables(table: ArrayLike, draws: int = _DRAWS, seed: Seed = 0) -> Ints:
    """Return tables of counts as if group labels were shuffled within each stratum.

    Parameters
    ----------
    table : array_like of int, shape (..., groups, outcomes)
        Leading axes are strata (say, the label y, for gaps of true and false positive rates together).
    draws : int
    seed : int or numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (draws, ..., groups, outcomes)
        Both margins of every stratum are those of ``table``. A gap of the draws is its null: ``null_of(gap(tables))``.
        In a paired comparison the outcomes are the patterns (before, after).
    """
    counts = counts_array(table, "table")
    if counts.ndim < 2:
        raise InputError(f"the table has shape {counts.shape}, expected (..., groups, outcomes).", "Give a table.")
    rng, draws = generator(seed), check_draws(draws, 1)
    groups, outcomes = counts.shape[-2:]
    out = np.empty((draws, *counts.shape), dtype=np.int64)
    free = np.broadcast_to(counts.sum(-1), (draws, *counts.shape[:-1])).copy()
    for j in range(outcomes):
        left = np.broadcast_to(counts[..., j].sum(-1), (draws, *counts.shape[:-2])).copy()
        after = free.sum(-1)
        for g in range(groups):
            after -= free[..., g]
            out[..., g, j] = rng.hypergeometric(free[..., g], after, left)
            left -= out[..., g, j]
        free -= out[..., j]
    return out


def gap_of_rates(tables: ArrayLike) -> Floats:
    """Return max - min over groups of the rate of outcome 1, from tables (..., groups, 2); groups without rows skipped.

    NaN where fewer than two groups have rows.
    """
    tables = as_float(tables)
    n = tables.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = tables[..., 1] / n
    high = np.where(n > 0, rates, -np.inf).max(-1)
    low = np.where(n > 0, rates, np.inf).min(-1)
    return np.where((n > 0).sum(-1) >= 2, high - low, np.nan)


def gap_null(sizes: ArrayLike, positives: int, draws: int = _DRAWS, seed: Seed = 0) -> Null:
    """Return the null of max - min of rates over groups of sizes (k,), with ``positives`` positive rows in all.

    Raises
    ------
    InputError
        If positives exceed the rows, or sizes are no counts.
    """
    sizes = counts_array(sizes, "sizes")
    total = int(sizes.sum())
    if sizes.ndim != 1 or not 0 <= int(positives) <= total:
        raise InputError(
            f"{positives} positives in groups of shape {sizes.shape} with {total} rows.", "Check the counts."
        )
    # only the margins of the table matter, so any filling of it will do
    filled = np.minimum(np.maximum(int(positives) - (np.cumsum(sizes) - sizes), 0), sizes)
    return null_of(gap_of_rates(permutation_tables(np.stack([sizes - filled, filled], -1), draws, seed)))


def expected_minimum(sizes: ArrayLike, rate: float) -> float:
    """Return E[min_k X_k / n_k], X_k ~ Binomial(n_k, rate) independent: the worst group to expect with no disparity.

    Exact: the integral over t of prod_k P(X_k >= t n_k), a step function. Groups without rows are left out.
    """
    from scipy.special import bdtrc

    sizes = counts_array(sizes, "sizes")
    sizes = sizes[sizes > 0]
    rate = float(rate)
    if not 0 <= rate <= 1:
        raise InputError(f"rate is {rate!r}.", "Give a rate in [0, 1].")
    if sizes.size == 0:
        return float("nan")
    steps = np.unique(np.concatenate([np.arange(1, n + 1) / n for n in np.unique(sizes)]))
    widths = np.diff(steps, prepend=0.0)
    alive = np.ones(steps.size)
    for n in sizes:
        needed = np.ceil(steps * n - 1e-9).astype(np.int64)
        alive *= bdtrc(needed - 1, int(n), rate) if 0 < rate < 1 else float(rate == 1)
    return float((widths * alive).sum())


def _means_gap(sums: Floats, sizes: Floats, keep: np.ndarray) -> Floats:
    means = sums[..., keep] / sizes[keep]
    return means.max(-1) - means.min(-1)


def mean_gap_null(
    scores: ArrayLike,
    codes: ArrayLike,
    groups: int,
    draws: int = _DRAWS,
    seed: Seed = 0,
    method: str = "normal",
) -> tuple[Floats, Null]:
    """Return the null of max - min over groups of the mean score, for Q score vectors on the same rows.

    Parameters
    ----------
    scores : array_like, shape (Q, n)
        Divide by the sd first for the standardised gap; the sd of all rows is the same under every permutation.
    codes : array_like of int, shape (n,)
    groups : int
        Groups without rows are skipped.
    draws, seed
    method : {"normal", "permutation"}
        ``permutation`` shuffles rows, O(Q n) a draw. ``normal`` draws the group means from the normal law with exactly
        the permutation's covariance, S_qr (1/n_g [g = h] - 1/n), S with n - 1 below (Hoeffding 1951, Ann. Math. Stat.
        22:558-566, for the limit), O(Q^2) a draw; meant for groups of 30 rows and more.

    Returns
    -------
    draws : ndarray of float64, shape (draws, Q)
        Gap of each score vector; a column is its null (``null_of``). Columns share their draws, as scores share rows.
    mean : Null
        Null of the mean of the Q gaps.
    """
    scores = finite(scores, "scores")
    if scores.ndim != 2 or method not in ("normal", "permutation"):
        raise InputError(
            f"scores have shape {scores.shape}, method is {method!r}.", "Give (Q, n), normal | permutation."
        )
    q, n = scores.shape
    codes = codes_array(codes, groups, rows=n)
    rng, draws = generator(seed), check_draws(draws, 1)
    sizes = np.bincount(codes, minlength=groups).astype(np.float64)
    keep = sizes > 0
    if keep.sum() < 2:
        return np.full((draws, q), np.nan), null_of([])
    centred = scores - scores.mean(1, keepdims=True)
    out = np.empty((draws, q))
    if method == "permutation":
        order = np.repeat(np.arange(groups), sizes.astype(np.int64))
        starts = np.flatnonzero(np.diff(order, prepend=-1))
        for b in range(draws):
            sums = np.add.reduceat(centred[:, rng.permutation(n)], starts, axis=1)
            out[b] = np.ptp(sums / sizes[keep], axis=1)
        return out, null_of(out.mean(1))
    values, vectors = np.linalg.eigh(centred @ centred.T / (n - 1))
    root = vectors * np.sqrt(np.maximum(values, 0))
    for b in range(draws):
        # sums over groups of exchangeable normals: independent means, less their common mean
        means = root @ (rng.standard_normal((q, int(keep.sum()))) / np.sqrt(sizes[keep]))
        out[b] = np.ptp(means, axis=1)
    return out, null_of(out.mean(1))


def auc_gap_null(
    scores: ArrayLike, labels: ArrayLike, codes: ArrayLike, groups: int, draws: int = 500, seed: Seed = 0
) -> Null:
    """Return the null of max - min over groups of the AUC: group labels shuffled within each class, one sort in all.

    Parameters
    ----------
    scores, labels, codes : array_like, shape (n,)
        Score, binary label and group of each row.
    groups : int
        Groups that lack a class are skipped, before and in the null alike (a shuffle within classes keeps their sizes).
    draws, seed
    """
    scores = finite(scores, "scores")
    positive = np.asarray(labels).astype(bool)
    if scores.ndim != 1 or positive.shape != scores.shape:
        raise InputError(f"scores {scores.shape} and labels {positive.shape} differ.", "Give one label a score.")
    codes = codes_array(codes, groups, rows=scores.size)
    rng = generator(seed)
    order, ties = sorted_ties(scores)
    positive, codes = positive[order], codes[order].astype(np.int16 if groups < 2**15 else np.int64)
    of_class = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    out = np.full(check_draws(draws, 1), np.nan)
    for b in range(out.size):
        for rows in of_class:
            codes[rows] = rng.permutation(codes[rows])
        auc = auc_from_sorted(ties, positive, codes, groups)
        auc = auc[~np.isnan(auc)]
        if auc.size < 2:
            return null_of([])
        out[b] = auc.max() - auc.min()
    return null_of(out)
