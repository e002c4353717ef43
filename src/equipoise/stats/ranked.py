"""Bootstrap of top-k shares: the rows of the pool are resampled once a draw, and every query sees the same resample.

In a draw, row i is present w_i times, w ~ Multinomial(n; 1/n, ..., 1/n) (or its cluster is). The top k of the resampled
pool are the first rows of the unchanged ranking whose weights sum to k, the last one in part. The weights of all n rows
are drawn exactly (counting n random rows costs no more than approximate Poisson weights for the top alone), so that the
pool's shares come from the same draw, and equal seeds give equal weights to any two calls on the same rows: before and
after, one attribute or many, whole or split over workers. Only a prefix of each ranking is then read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Seed, check_count, check_draws, codes_array, entropy
from equipoise.stats.ranking import prefix_length


@dataclass(frozen=True)
class RankedShares:
    """Bootstrap draws of shares, one array an attribute, in the order of ``codes``.

    Attributes
    ----------
    shares : tuple of ndarray of float32, each (draws, Q, groups)
        Share of each group among the top k.
    pool : tuple of ndarray of float64, each (draws, groups)
        Share of each group in the resampled pool: the prior of the skews. Using it, and not the observed pool, lets the
        interval carry the pool's own chance.
    """

    shares: tuple[np.ndarray, ...]
    pool: tuple[np.ndarray, ...]


def row_weights(n: int, draw: int, seed: int, clusters: np.ndarray | None = None) -> np.ndarray:
    """Return how often each of n rows (n,) is present in bootstrap draw number ``draw``.

    ``clusters`` (n,) numbers each row's cluster 0 .. c - 1; then clusters are drawn, and rows follow.
    """
    rng = np.random.default_rng([entropy(seed), draw])
    units = n if clusters is None else int(clusters.max()) + 1
    weights = np.bincount(rng.integers(0, units, size=units, dtype=np.int32), minlength=units)
    weights = weights.astype(np.int16)
    return weights if clusters is None else weights[clusters]


def _joint(codes: list[np.ndarray], groups: Sequence[int], n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Joint cell of each row, and per attribute a 0/1 matrix (cells, groups) that sums cells to groups."""
    joint = np.zeros(n, dtype=np.int64)
    for code, k in zip(codes, groups, strict=True):
        joint = np.unique(joint * k + code, return_inverse=True)[1]
    first = np.unique(joint, return_index=True)[1]
    return joint, [np.eye(k)[code[first]] for code, k in zip(codes, groups, strict=True)]


def ranked_share_bootstrap(
    rankings: ArrayLike,
    codes: Sequence[ArrayLike],
    groups: Sequence[int],
    k: int,
    draws: int | range = 500,
    seed: Seed = 0,
    clusters: ArrayLike | None = None,
) -> RankedShares:
    """Return bootstrap draws of the groups' shares of the top k, for all queries and attributes at once.

    Parameters
    ----------
    rankings : array_like of int, shape (Q, m)
        Rows (0 .. n - 1) best first; the first m of each ranking, m >= ``prefix_length(k, n)`` or n. For a paired
        comparison concatenate the rankings before and after (or call twice with the same int seed).
    codes : sequence of array_like of int, each (n,)
        Group of every row of the pool, one array an attribute.
    groups : sequence of int
        Number of groups of each attribute.
    k : int
        Size of the top, 1 .. n, in resampled rows.
    draws : int or range
        Number of draws, or which numbered draws, so that work can be split: draw b is the same in any split.
    seed : int or numpy.random.Generator
    clusters : array_like of int, shape (n,), optional
        Cluster of each row; clusters are resampled whole. The resampled pool may then be smaller than k: its shares are
        over what it holds.

    Returns
    -------
    RankedShares

    Raises
    ------
    InputError
        If shapes disagree, k is out of range, a row number repeats or does not exist, or the prefix proves too short.
    """
    rankings = np.asarray(rankings)
    if rankings.ndim != 2 or rankings.dtype.kind not in "iu" or len(codes) != len(groups) or not codes:
        raise InputError(
            f"rankings are {rankings.dtype} {rankings.shape}, with {len(codes)} code arrays for {len(groups)} groups.",
            "Give row numbers (Q, m) and one code array an attribute.",
        )
    arrays = [codes_array(c, g, f"codes[{i}]") for i, (c, g) in enumerate(zip(codes, groups, strict=True))]
    n, (q, m) = arrays[0].size, rankings.shape
    arrays = [codes_array(c, g, f"codes[{i}]", n) for i, (c, g) in enumerate(zip(arrays, groups, strict=True))]
    if check_count(k, "k") > n:
        raise InputError(f"k is {k}, more than the pool's {n} rows.", f"Give k <= {n}.")
    need = prefix_length(k, n)
    if m < need or m > n:
        raise InputError(f"rankings hold {m} rows a query, need {need} .. {n} for k = {k}.", "Give longer prefixes.")
    if q and (rankings.min() < 0 or rankings.max() >= n or (np.diff(np.sort(rankings, 1), axis=1) == 0).any()):
        raise InputError(f"a ranking repeats a row or names one outside 0 .. {n - 1}.", "Give distinct row numbers.")
    cluster = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if cluster is not None and cluster.shape != (n,):
        raise InputError(f"clusters have shape {cluster.shape}, expected ({n},).", "Give one cluster a row.")
    numbers = draws if isinstance(draws, range) else range(check_draws(draws))
    base = entropy(seed)

    joint, sums = _joint(arrays, groups, n)
    cells = sums[0].shape[0]
    cell_of = joint[rankings] + cells * np.arange(q)[:, None]
    shares = [np.empty((len(numbers), q, g), dtype=np.float32) for g in groups]
    pool = [np.empty((len(numbers), g)) for g in groups]
    for b, number in enumerate(numbers):
        weights = row_weights(n, number, base, cluster)
        total = int(weights.sum(dtype=np.int64))
        reached = min(k, total)
        taken = taken_weights(weights, rankings, need, reached, n)
        used = taken.shape[1]
        counts = np.bincount(cell_of[:, :used].ravel(), taken.ravel(), q * cells).reshape(q, cells)
        whole = np.bincount(joint, weights, cells)
        for a, sum_up in enumerate(sums):
            shares[a][b] = counts @ sum_up / reached
            pool[a][b] = whole @ sum_up / total
    return RankedShares(tuple(shares), tuple(pool))


def taken_weights(weights: np.ndarray, rankings: np.ndarray, need: int, reached: int, n: int) -> np.ndarray:
    """Weight of each ranked row inside the top ``reached``: whole, none, or the part that still fits (Q, length)."""
    length, m = need, rankings.shape[1]
    while True:
        upto = np.cumsum(weights[rankings[:, :length]], axis=1, dtype=np.int32)
        if length == n or not upto.size or upto[:, -1].min() >= reached:
            return np.diff(np.minimum(upto, reached), axis=1, prepend=0)
        if length == m:
            raise InputError(
                f"rankings of {m} rows do not reach the top {reached} of a resample.", "Give whole rankings."
            )
        length = min(2 * length, m)
