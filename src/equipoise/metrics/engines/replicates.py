"""Bootstrap replicates of ranking metrics: by query, and of the mean over a family of queries.

Rows are resampled once a draw for all arms and queries; the queries of a family are resampled as well, by the same
numbers in every arm. A difference of two arms' replicates is therefore a replicate of the paired change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.engines.ranking import Ranked, draw, explicit_shares
from equipoise.protocols import Metric
from equipoise.stats.ranked import row_weights, taken_weights

EXPLICIT = "explicit"


@dataclass(frozen=True)
class Families:
    """Queries by family.

    Attributes
    ----------
    names : tuple of str
        Families of ordinary queries in order of appearance; explicit queries stand apart.
    members : tuple of ndarray of int
        Row numbers of each family's queries in the score matrix.
    explicit : ndarray of int
        Row numbers of the explicit queries.
    """

    names: tuple[str, ...]
    members: tuple[NDArray[np.int64], ...]
    explicit: NDArray[np.int64]

    @classmethod
    def of(cls, families: Sequence[str]) -> Families:
        """Group query numbers by their family."""
        names = tuple(dict.fromkeys(name for name in families if name != EXPLICIT))
        array = np.asarray(families, object)
        members = tuple(np.flatnonzero(array == name) for name in names)
        return cls(names, members, np.flatnonzero(array == EXPLICIT))

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """Row numbers of all ordinary queries, ascending."""
        return np.sort(np.concatenate([*self.members, np.zeros(0, np.int64)]))


@dataclass
class Replicates:
    """Draws by arm.

    Attributes
    ----------
    query : dict of (arm, metric, key) to ndarray (B, Q) or (B, Q, G)
        One value a query, of metrics over all groups; of metrics by group where the closed form will not do.
    family : dict of (arm, metric, key, family number) to ndarray (B,) or (B, G)
        Mean over the family's resampled queries.
    explicit : dict of arm to ndarray (B, E)
        Share of the named group in the top k, by explicit query.
    overlap : dict of arm to ndarray (B, Q)
        Overlap of the top k with that of the base arm.
    """

    query: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    family: dict[tuple[str, str, str, int], Any] = field(default_factory=dict)
    explicit: dict[str, Any] = field(default_factory=dict)
    overlap: dict[str, Any] = field(default_factory=dict)


def query_weights(sizes: Sequence[int], draws: int, seed: int) -> list[NDArray[np.int64]]:
    """Return how often each query of each family is present in each draw, (B, Q_f) a family."""
    return [
        np.random.default_rng([seed, 21, f]).multinomial(size, np.full(size, 1 / size), size=draws)
        for f, size in enumerate(sizes)
    ]


def family_mean(values: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weighted mean over queries of (b, Q_f) or (b, Q_f, G); NaN values (no estimate) are skipped."""
    weights = weights.reshape(weights.shape + (1,) * (values.ndim - 2))
    known = np.isfinite(values)
    total = (weights * known).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (weights * np.where(known, values, 0.0)).sum(1) / total, np.nan)


def replicate(
    arms: Mapping[str, Ranked],
    families: Families,
    keys: Sequence[str],
    metrics: Sequence[Metric],
    named: Sequence[tuple[str, int]],
    draws: int,
    seed: int,
    base: str | None = None,
    detail: str | None = None,
) -> Replicates:
    """Draw all replicates of all arms.

    Parameters
    ----------
    arms : mapping of str to Ranked
    families : Families
    keys : sequence of str
        Attributes and intersections to measure.
    metrics : sequence of Metric
        Of evidence ``top`` or ``moments``.
    named : sequence of (key, group number)
        The group that each explicit query names; ``("", -1)`` where it is not among the keys of the pool.
    draws, seed : int
    base : str, optional
        Arm whose top k the others are compared with.
    detail : str, optional
        Arm whose single queries need draws by group: rows come in clusters, and closed forms take them as independent.
    """
    found = Replicates()
    weights = query_weights([members.size for members in families.members], draws, seed)
    collected: dict[Any, list[Any]] = {}
    wants_moments = any(metric.descriptor.evidence == "moments" for metric in metrics)
    for numbers, drawn in draw(arms, draws, seed, moments=wants_moments):
        part = slice(numbers.start, numbers.stop)
        for arm, evidence in drawn.items():
            for metric in metrics:
                name = metric.descriptor.name
                for key in keys:
                    source = evidence.top if metric.descriptor.evidence == "top" else evidence.moments
                    values = metric.statistic(source[key])
                    if not metric.descriptor.per_group or arm == detail:
                        collected.setdefault(("query", arm, name, key), []).append(values)
                    for f, members in enumerate(families.members):
                        mean = family_mean(values[:, members], weights[f][part])
                        collected.setdefault(("family", arm, name, key, f), []).append(mean)
            if families.explicit.size:
                collected.setdefault(("explicit", arm), []).append(
                    explicit_shares(evidence.top, families.explicit, named)
                )
    for name, parts in collected.items():
        whole = np.concatenate(parts)
        if name[0] == "query":
            found.query[name[1:]] = whole
        elif name[0] == "family":
            found.family[name[1:]] = whole
        else:
            found.explicit[name[1]] = whole
    if base is not None:
        for arm in arms:
            if arm != base:
                found.overlap[arm] = _overlap_draws(arms[base], arms[arm], draws, seed)
    return found


def overlap(before: Ranked, after: Ranked) -> NDArray[np.float64]:
    """Return the share of each query's top k that stays in it (Q,)."""
    both = [np.intersect1d(one, two).size for one, two in zip(before.best, after.best, strict=True)]
    return np.asarray(both, np.float64) / before.k


def _overlap_draws(before: Ranked, after: Ranked, draws: int, seed: int) -> NDArray[np.float64]:
    pool, k = before.pool, before.k
    one, two = before.prefix, after.prefix
    place = np.full((one.shape[0], two.shape[1]), -1, np.int64)
    where = np.empty(pool.n, np.int64)
    for q in range(one.shape[0]):
        where.fill(-1)
        where[one[q]] = np.arange(one.shape[1])
        place[q] = where[two[q]]
    out = np.empty((draws, one.shape[0]))
    for b in range(draws):
        weights = row_weights(pool.n, b, seed, pool.clusters)
        reached = min(k, int(weights.sum(dtype=np.int64)))
        kept, new = (taken_weights(weights, rows, one.shape[1], reached, pool.n) for rows in (one, two))
        kept = np.concatenate([kept, np.zeros((one.shape[0], one.shape[1] - kept.shape[1] + 1), kept.dtype)], axis=1)
        same = np.take_along_axis(kept, place[:, : new.shape[1]], axis=1)
        out[b] = np.minimum(same, new).sum(1) / reached
    return out
