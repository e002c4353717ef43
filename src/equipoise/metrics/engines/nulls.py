"""What chance alone gives: ranking metrics when group labels are shuffled over the rows of the pool.

One query's top k is then a random subset of the pool, so its counts are multivariate hypergeometric and one null serves
all queries. The mean over a family has no such null, since its queries share rows: labels are shuffled with the rankings
held fixed. Score moments under shuffled labels are normal with the permutation covariance (Hoeffding 1951, "A
combinatorial central limit theorem"), correlated between queries as their scores are. Rows in clusters: ``clusters.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.engines.clusters import moments_null
from equipoise.metrics.engines.ranking import Pool, Ranked
from equipoise.protocols import Metric, MetricDescriptor, Moments, TopCounts

CHUNK = 50


def harm_size(descriptor: MetricDescriptor, values: Any) -> NDArray[np.float64]:
    """Return how far values lie on the harmful side: |x| of signed metrics, x or -x of one-sided ones."""
    values = np.asarray(values, np.float64)
    return np.abs(values) if descriptor.signed else values if descriptor.direction == "lower" else -values


def with_no_disparity(descriptor: MetricDescriptor, low: Any, high: Any, p: Any, level: float) -> tuple[Any, Any]:
    """Extend limits to "no disparity" (0; 1 for a ratio that is best at 1) where the permutation test does not exclude it.

    A bootstrap of a maximum over groups never reaches "no disparity" by itself; so the interval and the test agree.
    """
    if descriptor.role != "bias":
        return low, high
    parity = 0.0 if descriptor.signed or descriptor.direction == "lower" else 1.0
    inside = np.asarray(p) > (1 - level) / 2
    return np.where(inside, np.fmin(low, parity), low), np.where(inside, np.fmax(high, parity), high)


def permutation_p(observed: Any, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (1 + #{null >= observed}) / (1 + draws); ``null`` is (draws, ...) and broadcasts (Phipson & Smyth 2010)."""
    observed = np.asarray(observed, np.float64)
    reached = (null >= observed - 1e-12).sum(0)
    return np.where(np.isnan(observed), np.nan, (1 + reached) / (1 + null.shape[0]))


def one_query(pool: Pool, key: str, k: int, metric: Metric, draws: int, seed: int) -> NDArray[np.float64]:
    """Return the metric of random top-k subsets: (draws,) or (draws, G) when it is per group."""
    counts = pool.counts[key]
    sizes = np.append(counts, pool.n - counts.sum())
    top = np.random.default_rng([seed, 11]).multivariate_hypergeometric(sizes, k, size=draws, method="marginals")
    return metric.statistic(TopCounts(top[:, :-1].astype(np.float64), counts.astype(float), k, pool.valid[key]))


def families_top(
    ranked: Ranked,
    keys: Sequence[str],
    metrics: Sequence[Metric],
    families: Sequence[NDArray[Any]],
    draws: int,
    seed: int,
) -> dict[tuple[str, str, int], NDArray[np.float64]]:
    """Return, by (metric, key, family number), the family mean under shuffled labels: (draws,) or (draws, G)."""
    pool, best = ranked.pool, ranked.best
    joint, sums = pool.cells
    cells = next(iter(sums.values())).shape[0]
    union, place = np.unique(best, return_inverse=True)
    place = place.reshape(best.shape)
    offset = cells * np.arange(best.shape[0])[:, None]
    rng = np.random.default_rng([seed, 12])
    sizes = np.bincount(joint, minlength=cells)
    found: dict[tuple[str, str, int], list[Any]] = {}
    for start in range(0, draws, CHUNK):
        count = min(CHUNK, draws - start)
        tops = np.empty((count, best.shape[0], cells))
        for i in range(count):
            drawn = rng.multivariate_hypergeometric(sizes, union.size, method="marginals")
            labels = rng.permutation(np.repeat(np.arange(cells), drawn))
            tops[i] = np.bincount((labels[place] + offset).ravel(), minlength=offset.size * cells).reshape(-1, cells)
        for key in keys:
            evidence = TopCounts(tops @ sums[key], pool.counts[key].astype(float), ranked.k, pool.valid[key])
            for metric in metrics:
                values = metric.statistic(evidence)
                for f, members in enumerate(families):
                    found.setdefault((metric.descriptor.name, key, f), []).append(values[:, members].mean(1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def families_moments(
    ranked: Ranked,
    keys: Sequence[str],
    metrics: Sequence[Metric],
    families: Sequence[NDArray[Any]],
    draws: int,
    seed: int,
) -> tuple[dict[tuple[str, str], NDArray[np.float64]], dict[tuple[str, str, int], NDArray[np.float64]]]:
    """Return nulls of score-moment metrics: each query's (draws, Q) by (metric, key), family means (draws,) by (.., family)."""
    pool = ranked.pool
    scores = ranked.scores
    mean = scores.mean(1, dtype=np.float64)
    centred = scores - mean[:, None].astype(np.float32)
    cov = (centred @ centred.T).astype(np.float64) / pool.n
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    if pool.clusters is not None:
        return moments_null(centred, mean, sd, pool, keys, metrics, families, draws, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(cov / np.outer(sd, sd))
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    single: dict[tuple[str, str], NDArray[np.float64]] = {}
    family: dict[tuple[str, str, int], NDArray[np.float64]] = {}
    for key in keys:
        n = pool.counts[key].astype(np.float64)
        rng = np.random.default_rng([seed, 13])
        with np.errstate(divide="ignore"):
            noise = rng.standard_normal((draws, n.size, sd.size)) @ root.T * sd
            z = np.swapaxes(noise, 1, 2) / np.sqrt(n) * np.sqrt(pool.n / max(pool.n - 1, 1))
        variance = np.broadcast_to(sd[:, None] ** 2, z.shape)
        evidence = Moments(n, mean[:, None] + z, variance, pool.null_norms(key), pool.valid[key])
        for metric in metrics:
            drawn = metric.statistic(evidence)
            single[metric.descriptor.name, key] = drawn
            for f, members in enumerate(families):
                family[metric.descriptor.name, key, f] = drawn[:, members].mean(1)
    return single, family
