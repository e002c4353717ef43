"""Rows that come in clusters (one person, many photos): what chance gives, and limits of a share.

A permutation test that shuffles rows takes photos of one person for independent and finds disparities that are none. Here
labels are dealt out in whole clusters: clusters are put in one random order, their labels in another, and matched in turn,
so that the rows of a cluster keep labels that stood together. With clusters of one size this shuffles clusters exactly;
with several sizes a cluster may take the end of one and the start of the next.

Notation: n rows, G groups of a key, B draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.engines.ranking import Pool
from equipoise.protocols import Metric, Moments, TopCounts
from equipoise.stats import wilson
from equipoise.stats.delong import auc_groups

CHUNK = 50


class Dealer:
    """Deals labels to rows in whole clusters.

    Parameters
    ----------
    clusters : ndarray (n,) int
    labels : ndarray (n,)
    strata : ndarray (n,), optional
        Labels stay within their stratum.
    """

    def __init__(
        self, clusters: NDArray[Any], labels: NDArray[Any], strata: NDArray[Any] | None = None
    ) -> None:  # fmt: skip
        self.labels = labels
        strata = np.zeros(labels.size, np.int64) if strata is None else strata
        self.parts = [
            (rows, clusters[rows]) for value in np.unique(strata) if (rows := np.flatnonzero(strata == value)).size
        ]
        self.units = int(clusters.max()) + 1

    def deal(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return labels (n,) of one draw."""
        out = np.empty_like(self.labels)
        for rows, cluster in self.parts:
            places, sources = (rows[np.argsort(rng.permutation(self.units)[cluster], kind="stable")] for _ in range(2))
            out[places] = self.labels[sources]
        return out


Nulls = tuple[dict[tuple[str, str], NDArray[Any]], dict[tuple[str, str, int], NDArray[Any]]]
"""Draws of each query (B, Q) by (metric, key), and of family means (B,) by (metric, key, family number)."""


def top_null(best: NDArray[Any], pool: Pool, keys: Any, metrics: Any, families: Any, draws: int, seed: int) -> Nulls:
    """Return nulls of ranking metrics with the rankings (Q, k) held fixed."""
    assert pool.clusters is not None
    joint, sums = pool.cells
    cells = next(iter(sums.values())).shape[0]
    queries, k = best.shape
    offset = cells * np.arange(queries)[:, None]
    dealer, rng = Dealer(pool.clusters, joint), np.random.default_rng([seed, 14])

    def chunk(count: int) -> Callable[[str], TopCounts]:
        tops = np.empty((count, queries, cells))
        for b in range(count):
            flat = dealer.deal(rng)[best] + offset
            tops[b] = np.bincount(flat.ravel(), minlength=queries * cells).reshape(queries, cells)
        return lambda key: TopCounts(tops @ sums[key], pool.counts[key].astype(float), k, pool.valid[key])

    return _collected(chunk, keys, metrics, families, draws)


def moments_null(
    centred: NDArray[np.float32], mean: NDArray[Any], sd: NDArray[Any], pool: Pool, keys: Any, metrics: Any,
    families: Any, draws: int, seed: int,
) -> Nulls:  # fmt: skip
    """Return nulls of score-moment metrics from centred scores (Q, n), and the mean and deviation (Q,) of each query."""
    assert pool.clusters is not None
    joint, sums = pool.cells
    cells = next(iter(sums.values())).shape[0]
    dealer, rng = Dealer(pool.clusters, joint), np.random.default_rng([seed, 15])
    eye = np.eye(cells, dtype=np.float32)

    def chunk(count: int) -> Callable[[str], Moments]:
        first = np.stack([centred @ eye[dealer.deal(rng)] for _ in range(count)]).astype(np.float64)

        def of(key: str) -> Moments:
            n = pool.counts[key].astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                z = first @ sums[key] / n
            var = np.broadcast_to(sd[:, None] ** 2, z.shape)
            return Moments(n, mean[:, None] + z, var, pool.null_norms(key), pool.valid[key])

        return of

    return _collected(chunk, keys, metrics, families, draws)


def _collected(chunk: Callable[[int], Any], keys: Any, metrics: Any, families: Any, draws: int) -> Nulls:
    single: dict[tuple[str, str], list[Any]] = {}
    family: dict[tuple[str, str, int], list[Any]] = {}
    for start in range(0, draws, CHUNK):
        evidence = chunk(min(CHUNK, draws - start))
        for key in keys:
            found = evidence(key)
            for metric in metrics:
                drawn = metric.statistic(found)
                single.setdefault((metric.descriptor.name, key), []).append(drawn)
                for f, members in enumerate(families):
                    family.setdefault((metric.descriptor.name, key, f), []).append(drawn[:, members].mean(1))
    return (
        {name: np.concatenate(parts) for name, parts in single.items()},
        {name: np.concatenate(parts) for name, parts in family.items()},
    )


def counts_null(
    clusters: NDArray[Any], code: NDArray[Any], groups: int, y: NDArray[Any], p: NDArray[Any], codes: int,
    metric: Metric, draws: int, seed: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Return tables (B, G, L, L) with group labels dealt out in whole clusters, within each label where wanted.

    Rows of unknown group (code -1) take no part.
    """
    known = code >= 0
    answer = y[known].astype(np.int64) * codes + p[known]
    dealer = Dealer(clusters[known], code[known].astype(np.int64), y[known] if metric.null_within_label else None)
    rng = np.random.default_rng([seed, 16])
    cells = codes * codes
    out = np.empty((draws, groups, codes, codes), np.int64)
    for b in range(draws):
        out[b] = np.bincount(dealer.deal(rng) * cells + answer, minlength=groups * cells).reshape(out.shape[1:])
    return out


def auc_null(
    clusters: NDArray[Any], code: NDArray[Any], groups: int, score: NDArray[np.float64], positive: NDArray[np.bool_],
    draws: int, seed: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Return areas (B, G) with group labels dealt out in whole clusters within each class."""
    dealer, rng = Dealer(clusters, code.astype(np.int64), positive), np.random.default_rng([seed, 17])
    return np.stack([auc_groups(score, positive, dealer.deal(rng), groups) for _ in range(draws)])


def share_limits(
    hit: NDArray[np.bool_], clusters: NDArray[Any] | None, level: float
) -> tuple[float, float]:  # fmt: skip
    """Return limits of the share of rows that are hits: Wilson's, on the effective number of rows with clusters.

    The design effect is the variance between clusters over the binomial one, at least 1 (Korn & Graubard 1998, Surv.
    Methodol. 24:193-201, with Wilson's limits as in Dean & Pagano 2015, J. Surv. Stat. Methodol. 3:484-503). Where all
    rows agree each cluster counts once.
    """
    n, share = hit.size, float(hit.mean()) if hit.size else float("nan")
    if n == 0:
        return float("nan"), float("nan")
    effective = float(n)
    if clusters is not None:
        number = np.unique(clusters, return_inverse=True)[1]
        units = int(number.max()) + 1
        if share in (0.0, 1.0) or units < 2:
            effective = float(units)
        else:
            left = np.bincount(number, hit - share)
            between = np.square(left).sum() * units / (units - 1) / n**2
            effective = n / max(1.0, between / (share * (1 - share) / n))
    low, high = wilson(share * effective, effective, level)
    return float(low), float(high)
