"""What chance alone gives at the top of a ranking: nulls of MaxSkew, MinSkew and the rate gap at k.

For one query the top k under no disparity is a random subset of the pool, so its counts by group are multivariate
hypergeometric(group sizes, k): one null serves every query. The mean over Q queries has no such null, since queries
share their top rows; there group labels are shuffled over rows with the rankings held fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, Seed, check_count, check_draws, codes_array, counts_array, generator
from equipoise.stats.nulls import Null, null_of
from equipoise.stats.ranking import max_skew, min_skew, rate_gap


@dataclass(frozen=True)
class SkewNull:
    """Nulls of the statistics of one query's top k; p of many queries' observed values at once: ``max_skew.p(values)``.

    ``min_skew`` is extreme when small: ``min_skew.p(values, tail="lower")``.
    """

    max_skew: Null
    min_skew: Null
    rate_gap: Null


def _check_pool(sizes: np.ndarray, k: int) -> None:
    if sizes.ndim != 1 or check_count(k, "k") > sizes.sum():
        raise InputError(f"k is {k} of a pool with group sizes {sizes.tolist()}.", "Give 1 <= k <= rows of the pool.")


def skew_null(
    sizes: ArrayLike, k: int, draws: int = 10_000, seed: Seed = 0, include: ArrayLike | None = None
) -> SkewNull:
    """Return the nulls of MaxSkew@k, MinSkew@k and the rate gap at k for a random top k.

    Parameters
    ----------
    sizes : array_like of int, shape (groups,)
        Rows of each group in the pool; give unknown rows a group of their own and leave it out by ``include``.
    k : int
    draws : int
    seed : int or numpy.random.Generator
        With an int the result is cached: same arguments, same object.
    include : array_like of bool, shape (groups,), optional
        Groups that enter maximum, minimum and gap; by default those with rows.

    Raises
    ------
    InputError
        If k is not within 1 .. the rows of the pool, or fewer than two groups are included.
    """
    sizes = counts_array(sizes, "sizes")
    _check_pool(sizes, k)
    check_draws(draws, 1)
    keep = sizes > 0 if include is None else np.asarray(include, dtype=bool)
    arguments = (tuple(sizes.tolist()), int(k), int(draws), tuple(keep.tolist()))
    if isinstance(seed, np.random.Generator):
        return _skew_null(*arguments, seed)
    generator(seed)
    return _cached_skew_null(*arguments, int(seed))


@lru_cache(maxsize=64)
def _cached_skew_null(sizes: tuple[int, ...], k: int, draws: int, include: tuple[bool, ...], seed: int) -> SkewNull:
    return _skew_null(sizes, k, draws, include, generator(seed))


def _skew_null(
    sizes: tuple[int, ...], k: int, draws: int, include: tuple[bool, ...], rng: np.random.Generator
) -> SkewNull:
    n = sum(sizes)
    shares = rng.multivariate_hypergeometric(sizes, k, size=draws, method="marginals") / k
    prior = np.asarray(sizes) / n
    return SkewNull(
        null_of(max_skew(shares, prior, include)),
        null_of(min_skew(shares, prior, k, include)),
        null_of(rate_gap(shares, prior, k / n, include)),
    )


@dataclass(frozen=True)
class LabelNull:
    """Draws (draws, Q) of each statistic under shuffled group labels, queries kept together.

    ``null_of(x.mean(1))`` is the null of a family's mean; ``null_of(x[:, q])`` that of one query.
    """

    max_skew: Floats
    min_skew: Floats
    rate_gap: Floats


def permute_labels_skew(
    top_indices: ArrayLike,
    codes: ArrayLike,
    groups: int,
    draws: int = 1000,
    seed: Seed = 0,
    include: ArrayLike | None = None,
) -> LabelNull:
    """Return the joint null of Q queries' skews: group labels shuffled over the pool's rows, rankings held fixed.

    Only rows in some top k matter, so their labels alone are drawn, without replacement from the pool's.

    Parameters
    ----------
    top_indices : array_like of int, shape (Q, k)
        Rows of each query's top k.
    codes : array_like of int, shape (n,)
        Group of each row of the pool.
    groups : int
    draws, seed
    include : array_like of bool, shape (groups,), optional
        As in `skew_null`.

    Returns
    -------
    LabelNull
    """
    top = np.asarray(top_indices)
    codes = codes_array(codes, groups)
    n = codes.size
    if top.ndim != 2 or top.dtype.kind not in "iu" or 0 in top.shape or top.min() < 0 or top.max() >= n:
        raise InputError(f"top_indices are {top.dtype} of shape {top.shape}.", f"Give rows 0 .. {n - 1} as (Q, k).")
    q, k = top.shape
    sizes = np.bincount(codes, minlength=groups)
    _check_pool(sizes, k)
    keep = sizes > 0 if include is None else np.asarray(include, dtype=bool)
    rng = generator(seed)
    union, place = np.unique(top, return_inverse=True)
    place = place.reshape(q, k)
    offset = groups * np.arange(q)[:, None]
    prior = sizes / n
    names = np.arange(groups)
    out = LabelNull(*(np.empty((check_draws(draws, 1), q)) for _ in range(3)))
    for b in range(draws):
        drawn = rng.multivariate_hypergeometric(sizes, union.size, method="marginals")
        labels = rng.permutation(np.repeat(names, drawn))
        shares = np.bincount((labels[place] + offset).ravel(), minlength=q * groups).reshape(q, groups) / k
        out.max_skew[b] = max_skew(shares, prior, keep)
        out.min_skew[b] = min_skew(shares, prior, k, keep)
        out.rate_gap[b] = rate_gap(shares, prior, k / n, keep)
    return out
