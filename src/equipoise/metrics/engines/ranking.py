"""From a matrix of cosines to what ranking metrics read: groups among the top k, and score moments by group.

One arm (no edit, an edit, a control) is a :class:`Ranked`. Bootstrap draws resample rows of the pool once a draw; all
arms and queries see the same draw, so a difference of two arms is paired. Group counts are formed on joint cells of
all attributes and summed to each attribute or intersection.

Notation: n rows, Q queries, k of the top, G groups of a key (an attribute or an intersection), B draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.progress import advance
from equipoise.protocols import Moments, TopCounts
from equipoise.stats import prefix_length, ranked_share_bootstrap, row_weights, top_rows

DRAWS_AT_ONCE = 50
MOST_WEIGHTS = 1 << 24
"""Weights of rows, over draws, that are held at a time: 64 MB."""


@dataclass(frozen=True)
class Pool:
    """The searched rows by group.

    Attributes
    ----------
    codes : dict of str to ndarray (n,) int32
        Group of every row for each key; -1 where unknown.
    sizes : dict of str to int
        Number of declared groups of each key.
    norms : dict of str to ndarray (G,)
        Length of the mean unit embedding of each group.
    whole_norm : float
        Length of the mean unit embedding of all rows.
    minimum : int
        Groups with fewer rows take no part in a gap.
    clusters : ndarray (n,) int32 or None
        Rows of one cluster are resampled together.
    """

    codes: dict[str, NDArray[np.int32]]
    sizes: dict[str, int]
    norms: dict[str, NDArray[np.float64]]
    whole_norm: float
    minimum: int = 30
    clusters: NDArray[np.int32] | None = None

    @cached_property
    def n(self) -> int:
        """Rows of the pool."""
        return next(iter(self.codes.values())).size

    @cached_property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Rows of each group (G,) by key."""
        return {key: np.bincount(code[code >= 0], minlength=self.sizes[key]) for key, code in self.codes.items()}

    @cached_property
    def valid(self) -> dict[str, NDArray[np.bool_]]:
        """Groups with enough rows (G,) by key."""
        return {key: count >= self.minimum for key, count in self.counts.items()}

    def null_norms(self, key: str) -> NDArray[np.float64]:
        """Return the length of a group's mean unit embedding to expect when its rows are a random part of the pool (G,)."""
        with np.errstate(divide="ignore"):
            return np.sqrt(self.whole_norm**2 + (1 - self.whole_norm**2) / self.counts[key])

    def clustered_prefix(self, k: int) -> int:
        """Return m such that m rows in whole clusters of s weigh k even 10 standard deviations (m s)^.5 below m."""
        if self.clusters is None:
            return 0
        s = float(np.bincount(self.clusters).max())
        return min(self.n, math.ceil((5 * math.sqrt(s) + math.sqrt(25 * s + k)) ** 2))

    @cached_property
    def cells(self) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Joint cell of each row (n,), and for each key the 0/1 matrix (cells, G) that sums cells to groups."""
        joint = np.zeros(self.n, np.int64)
        for key, code in self.codes.items():
            joint = np.unique(joint * (self.sizes[key] + 1) + code + 1, return_inverse=True)[1]
        first = np.unique(joint, return_index=True)[1]
        eyes = {key: np.vstack([np.eye(size), np.zeros(size)]) for key, size in self.sizes.items()}
        return joint, {key: eyes[key][code[first]] for key, code in self.codes.items()}

    @cached_property
    def blocks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order of rows by cell, and the limits of each cell in it."""
        joint = self.cells[0]
        order = np.argsort(joint, kind="stable")
        return order, np.concatenate([[0], np.cumsum(np.bincount(joint))])


@dataclass(frozen=True)
class Ranked:
    """One arm: cosines (Q, n) float32, the best rows of each query, and the pool they rank."""

    scores: NDArray[np.float32]
    pool: Pool
    k: int

    @cached_property
    def prefix(self) -> NDArray[Any]:
        """Best rows first (Q, m), long enough for any resample."""
        return top_rows(self.scores, max(prefix_length(self.k, self.pool.n), self.pool.clustered_prefix(self.k)))

    @property
    def best(self) -> NDArray[Any]:
        """The top k rows (Q, k)."""
        return self.prefix[:, : self.k]

    @cached_property
    def _top_cells(self) -> NDArray[np.int64]:
        joint, sums = self.pool.cells
        cells = next(iter(sums.values())).shape[0]
        queries = self.scores.shape[0]
        flat = joint[self.best] + cells * np.arange(queries)[:, None]
        return np.bincount(flat.ravel(), minlength=queries * cells).reshape(queries, cells)

    @cached_property
    def _cell_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean of each query (Q, 1), and sums and square sums of centred scores by cell (Q, cells)."""
        joint, sums = self.pool.cells
        cells = next(iter(sums.values())).shape[0]
        queries = self.scores.shape[0]
        centre = np.empty((queries, 1))
        first, second = np.empty((queries, cells)), np.empty((queries, cells))
        for q in range(queries):
            row = self.scores[q].astype(np.float64)
            centre[q] = row.mean()
            row -= centre[q]
            first[q] = np.bincount(joint, row, cells)
            second[q] = np.bincount(joint, row * row, cells)
        return centre, first, second

    def top(self, key: str) -> TopCounts:
        """Return groups among the top k, (Q, G)."""
        sums = self.pool.cells[1][key]
        return TopCounts(self._top_cells @ sums, self.pool.counts[key].astype(np.float64), self.k, self.pool.valid[key])

    def moments(self, key: str) -> Moments:
        """Return score moments by group, (Q, G)."""
        centre, first, second = self._cell_moments
        sums = self.pool.cells[1][key]
        return _moments(self.pool.counts[key].astype(np.float64), first @ sums, second @ sums, centre, self.pool, key)


def _moments(n: Any, first: Any, second: Any, centre: Any, pool: Pool, key: str) -> Moments:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = first / n
        var = np.maximum(second / n - mean**2, 0.0)
    return Moments(n, mean + centre, var, pool.norms[key], pool.valid[key])


@dataclass(frozen=True)
class Drawn:
    """Bootstrap draws of one arm: per key the groups among the top k and the score moments, (b, Q, G)."""

    top: dict[str, TopCounts]
    moments: dict[str, Moments]


def draw(
    arms: Mapping[str, Ranked], draws: int, seed: int, *, moments: bool = True
) -> Iterator[tuple[range, dict[str, Drawn]]]:
    """Yield bootstrap draws in chunks, all arms of one chunk from the same resampled rows.

    Parameters
    ----------
    arms : mapping of str to Ranked
        All over the same rows, groups and k; lengths of group means may differ, as after an edit of images.
    draws : int
    seed : int
        Draw b is the same whatever the arms, the queries and the chunks.
    moments : bool
        Whether score moments are drawn as well.

    Yields
    ------
    numbers : range
        Which draws these are.
    drawn : dict of str to Drawn
    """
    some = next(iter(arms.values()))
    pool, k = some.pool, some.k
    keys = list(pool.codes)
    codes = [np.where(pool.codes[key] < 0, pool.sizes[key], pool.codes[key]) for key in keys]
    groups = [pool.sizes[key] + 1 for key in keys]
    stacked = np.concatenate([arm.prefix for arm in arms.values()])
    limits = np.concatenate([[0], np.cumsum([arm.scores.shape[0] for arm in arms.values()])])
    scores = _Centred(arms, pool) if moments else None
    for start in range(0, draws, DRAWS_AT_ONCE):
        advance("bootstrap draws", start, draws)
        numbers = range(start, min(start + DRAWS_AT_ONCE, draws))
        found = ranked_share_bootstrap(stacked, codes, groups, k, numbers, seed, pool.clusters)
        sums = scores.sums(numbers, seed) if scores else {}
        out = {}
        for i, name in enumerate(arms):
            part = slice(limits[i], limits[i + 1])
            top = {
                key: TopCounts(
                    found.shares[j][:, part, :-1] * np.float64(k),
                    found.pool[j][:, None, :-1] * pool.n,
                    k,
                    pool.valid[key],
                )
                for j, key in enumerate(keys)
            }
            moment = {}
            if scores:
                for key in keys:
                    n, first, second = sums[key]
                    moment[key] = _moments(
                        n[:, None, :], first[:, part], second[:, part], scores.centre[part], arms[name].pool, key
                    )
            out[name] = Drawn(top, moment)
        yield numbers, out


class _Centred:
    """Scores of all arms, centred by query and ordered by cell, so that weighted sums by cell are matrix products."""

    def __init__(self, arms: Mapping[str, Ranked], pool: Pool) -> None:
        self.pool = pool
        order, self.limits = pool.blocks
        self.order = order
        self.centre = np.concatenate([arm._cell_moments[0] for arm in arms.values()])
        self.first = np.concatenate([arm.scores[:, order] for arm in arms.values()])
        self.first -= self.centre.astype(np.float32)

    def sums(self, numbers: range, seed: int) -> dict[str, tuple[Any, Any, Any]]:
        """Return weight (b, G), sums and square sums (b, arms x Q, G) by key."""
        pool, rows, cells = self.pool, self.first.shape[0], self.limits.size - 1
        total = np.empty((len(numbers), cells))
        first = np.empty((len(numbers), rows, cells))
        second = np.empty_like(first)
        few = max(1, MOST_WEIGHTS // pool.n)
        for start in range(0, len(numbers), few):
            here = slice(start, start + few)
            weights = np.empty((len(numbers[here]), pool.n), np.float32)
            for i, number in enumerate(numbers[here]):
                weights[i] = row_weights(pool.n, number, seed, pool.clusters)[self.order]
            for cell in range(cells):
                part = slice(self.limits[cell], self.limits[cell + 1])
                own, scores = weights[:, part], self.first[:, part]
                total[here, cell] = own.sum(1)
                first[here, :, cell] = own @ scores.T
                second[here, :, cell] = own @ np.square(scores).T
        return {key: (total @ s, first @ s, second @ s) for key, s in pool.cells[1].items()}


def explicit_shares(
    top: Mapping[str, TopCounts], numbers: NDArray[np.int64], named: Sequence[tuple[str, int]]
) -> NDArray[np.float64]:
    """Return the share of the named group among rows of known group in the top k, (..., E)."""
    columns = []
    for query, (key, group) in zip(numbers, named, strict=True):
        if key not in top:
            some = next(iter(top.values())).top
            columns.append(np.full(some.shape[:-2], np.nan))
            continue
        counts = top[key].top[..., query, :]
        with np.errstate(invalid="ignore", divide="ignore"):
            columns.append(counts[..., group] / counts.sum(-1))
    return np.stack(columns, axis=-1)
