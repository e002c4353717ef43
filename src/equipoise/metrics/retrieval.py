"""Who is found: groups among the k rows with the highest score of a query, and how they compare with the pool.

Notation: n rows in the pool, N_a of them of group a, T_a of group a in the top k; p_a = T_a / sum_b T_b the share of
group a among the rows of known group in the top k, pi_a = N_a / sum_b N_b its share of the pool: the prior is always
the searched pool's. Shares count every group, also those with too few rows to take part in a gap.

Traps that these definitions avoid: an absent group makes no MaxSkew infinite; the gap of rates is no gap of true
positive rates; k never defaults to the whole pool, where every gap is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError
from equipoise.metrics import gaps
from equipoise.protocols import Floats, Metric, MetricDescriptor, TopCounts
from equipoise.stats.intervals import Interval, wilson
from equipoise.stats.ranking import skews, top_rows

SHARE_MARGIN = 0.02
SKEW_MARGIN = 0.10
RECALL_MARGIN = 0.01
MOST_K = 200


def default_k(n: int) -> int:
    """Return min(200, n // 5), the size of the top when none is given; 0 for pools of fewer than 5 rows."""
    return min(MOST_K, n // 5)


def top_k(scores: NDArray[np.floating[Any]], k: int) -> NDArray[np.int32]:
    """Return the k rows with the highest score of each query, best first.

    Parameters
    ----------
    scores : ndarray (Q, n), float
        Columns in the order of row ids: ties are broken by position, so the result depends on nothing else.
    k : int
        1 .. n.

    Returns
    -------
    ndarray (Q, k), int32

    Raises
    ------
    InputError
        If k is not within 1 .. n, or a score is NaN or infinite.
    """
    n = np.shape(scores)[-1]
    whole = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
    if not whole or not 1 <= k <= n:
        raise InputError(f"k is {k!r} and the pool has {n} rows.", f"Give a whole number from 1 to {n}.", value=k)
    return top_rows(scores, int(k)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of the right row in the ranking of each query.

    Attributes
    ----------
    ranks : ndarray (..., n), int
        0 is first; at least 0.
    k : int
        How many places count as found.
    """

    ranks: NDArray[Any]
    k: int

    def __post_init__(self) -> None:
        if np.size(self.ranks) and np.min(self.ranks) < 0:
            raise InputError(f"A rank is {np.min(self.ranks)}.", "Ranks begin at 0, the first place.")
        if self.k < 1:
            raise InputError(f"k is {self.k}.", "Give a whole number of at least 1.", value=self.k)


def known(evidence: TopCounts) -> Floats:
    """Return the rows of known group in the top k, (..., 1)."""
    return np.asarray(evidence.top, dtype=np.float64).sum(-1, keepdims=True)


def prior(evidence: TopCounts) -> Floats:
    """Return each group's share of the searched pool, (..., G)."""
    pool = np.asarray(evidence.pool, dtype=np.float64)
    return gaps.divide(pool, pool.sum(-1, keepdims=True))


def shares(evidence: TopCounts) -> Floats:
    """Return each group's share of the top k, (..., G)."""
    return gaps.divide(np.asarray(evidence.top, dtype=np.float64), known(evidence))


def group_skews(evidence: TopCounts, floor: float) -> NDArray[np.float64]:
    """Return ln(max(p_a, floor) / pi_a), (..., G); NaN where pi_a is 0 or nobody of known group is in the top."""
    return skews(shares(evidence), prior(evidence), floor)


def _skew_limits(evidence: TopCounts, floor: float, level: float) -> Interval:
    """Wilson limits of each p_a, carried through the logarithm; the pool is taken as it is."""
    low, high = wilson(evidence.top, np.broadcast_to(known(evidence), np.shape(evidence.top)), level)
    expected = prior(evidence)
    return skews(low, expected, floor), skews(high, expected, floor)


def _simultaneous(evidence: TopCounts, level: float) -> float:
    # with two groups in all, p_b = 1 - p_a: limits of one are limits of both
    return level if np.shape(evidence.top)[-1] == 2 else gaps.each_level(level, int(np.sum(evidence.valid)))


def _descriptor(
    name: str,
    protocol: str,
    title: str,
    formula: str,
    source: str,
    *,
    evidence: Literal["top", "ranks"] = "top",
    role: Literal["bias", "utility"] = "bias",
    direction: Literal["lower", "higher"] = "lower",
    signed: bool = False,
    margin: float = SKEW_MARGIN,
    unit: str = "natural log",
    per_group: bool = False,
    sides: str = "",
    secondary: bool = False,
) -> MetricDescriptor:
    return MetricDescriptor(
        name=name, protocol=protocol, evidence=evidence, role=role, direction=direction, signed=signed, margin=margin,
        unit=unit, formula=formula, source=source, at_k=True, per_group=per_group, title=title,
        sides=sides, secondary=secondary,
    )  # fmt: skip


_GEYIK = "Geyik, Ambler & Kenthapadi (2019), KDD, section 4.1, with the searched pool as the wanted distribution"


class Skew(Metric):
    """Log of a group's share of the top k over its share of the pool; 0 is parity, below 0 is found too seldom.

    Interval: Wilson for the share, carried through the logarithm; the pool is taken as it is.
    """

    descriptor = _descriptor(
        "skew", "pool_prior", "skew in the top k (natural log)", "ln(max(p_a, 1/k) / pi_a)",
        f"{_GEYIK}; a share of zero counts as 1/k (Berg et al. 2022, AACL)", signed=True, per_group=True,
    )  # fmt: skip

    def statistic(self, evidence: TopCounts) -> Floats:
        """Return the skew of each group, (..., G)."""
        return group_skews(evidence, 1.0 / evidence.k)

    def interval(self, evidence: TopCounts, level: float) -> Interval:
        """Return limits of each group's skew; they too count a share below 1/k as 1/k."""
        return _skew_limits(evidence, 1.0 / evidence.k, level)


class MaxSkew(Metric):
    """The skew of the group that is found most above its share of the pool.

    An absent group has a skew of minus infinity and is never the largest. Interval: the largest of simultaneous limits
    of all groups, which is conservative.
    """

    descriptor = _descriptor(
        "max_skew", "pool_prior", "largest skew in the top k (natural log)", "max_a ln(p_a / pi_a)", _GEYIK,
        sides="skew",
    )  # fmt: skip

    def statistic(self, evidence: TopCounts) -> Floats:
        """Return the largest skew, (...)."""
        return self._of(group_skews(evidence, 0.0), evidence)

    def interval(self, evidence: TopCounts, level: float) -> Interval:
        """Return the largest low and the largest high of simultaneous limits."""
        low, high = _skew_limits(evidence, 0.0, _simultaneous(evidence, level))
        missing = np.isnan(self.statistic(evidence))
        return np.where(missing, np.nan, self._of(low, evidence)), np.where(missing, np.nan, self._of(high, evidence))

    @staticmethod
    def _of(values: NDArray[np.float64], evidence: TopCounts) -> NDArray[np.float64]:
        taking_part, enough = gaps.participants(values, evidence.valid)
        top = gaps.largest(values, taking_part)
        # all groups that take part are absent from the top
        return np.where(enough & np.isfinite(top), top, np.nan)


class MinSkew(Metric):
    """The skew of the group that is found most below its share of the pool: negative, and better the closer to 0.

    Interval: the smallest of simultaneous limits of all groups, which is conservative.
    """

    descriptor = _descriptor(
        "min_skew", "pool_prior", "smallest skew in the top k (natural log)", "min_a ln(max(p_a, 1/k) / pi_a)",
        f"{_GEYIK}; a share of zero counts as 1/k (Berg et al. 2022, AACL)", direction="higher", signed=True,
        sides="skew", secondary=True,
    )  # fmt: skip

    def statistic(self, evidence: TopCounts) -> Floats:
        """Return the smallest skew, (...)."""
        return self._of(group_skews(evidence, 1.0 / evidence.k), evidence)

    def interval(self, evidence: TopCounts, level: float) -> Interval:
        """Return the smallest low and the smallest high of simultaneous limits."""
        low, high = _skew_limits(evidence, 1.0 / evidence.k, _simultaneous(evidence, level))
        return self._of(low, evidence), self._of(high, evidence)

    @staticmethod
    def _of(values: NDArray[np.float64], evidence: TopCounts) -> NDArray[np.float64]:
        taking_part, enough = gaps.participants(values, evidence.valid)
        return np.where(enough, gaps.smallest(values, taking_part), np.nan)


class DemographicParity(Metric):
    """Largest difference between groups of the share of their rows that is in the top k.

    It looks at who is found and at no label: not a gap of true positive rates, which some published code calls by the
    same name. Interval: Newcombe for two groups, folded; simultaneous Wilson limits for more, conservative.
    """

    descriptor = _descriptor(
        "dp", "retrieval_parity", "largest difference of the rate of being in the top k",
        "max_a - min_a T_a / N_a", "demographic parity of retrieval, as used by Gerych et al. (2026), ICLR (WRING)",
        margin=SHARE_MARGIN, unit="share of a group's rows, in [0, 1]", sides="skew", secondary=True,
    )  # fmt: skip

    def statistic(self, evidence: TopCounts) -> Floats:
        """Return the gap over groups, (...)."""
        return gaps.spread(gaps.divide(*self.cells(evidence)), evidence.valid)

    def interval(self, evidence: TopCounts, level: float) -> Interval:
        """Return limits of the gap."""
        found, rows = self.cells(evidence)
        rates = gaps.divide(found, rows)
        return gaps.spread_limits(rates, lambda each: wilson(found, rows, each), evidence.valid, level)

    @staticmethod
    def cells(evidence: TopCounts) -> tuple[Floats, Floats]:
        """Return T_a and N_a, each (..., G)."""
        found, rows = np.broadcast_arrays(
            np.asarray(evidence.top, dtype=np.float64), np.asarray(evidence.pool, dtype=np.float64)
        )
        return found, rows


class ExplicitShare(Metric):
    """Share of the top k that belongs to the group which the query names ("a photo of a female doctor").

    The statistic gives the share of every group; :meth:`named` picks the one a query asked for.
    """

    descriptor = _descriptor(
        "explicit_share", "named_group", "share of the named group in the top k",
        "p_a, a the group that the query names", "share of known rows in the top k", role="utility", direction="higher",
        margin=SHARE_MARGIN, unit="share in [0, 1]", per_group=True,
    )  # fmt: skip

    def statistic(self, evidence: TopCounts) -> Floats:
        """Return the share of each group, (..., G)."""
        return shares(evidence)

    share = statistic

    @staticmethod
    def named(values: Floats, group: ArrayLike) -> Floats:
        """Return of values (..., Q, G) those of the named groups, (..., Q); ``group`` (Q,) are indices."""
        index = np.broadcast_to(np.asarray(group, dtype=np.intp), np.shape(values)[:-1])
        return np.take_along_axis(values, index[..., None], -1)[..., 0]

    def interval(self, evidence: TopCounts, level: float) -> Interval:
        """Return Wilson limits of each group's share."""
        return wilson(*self.counted(evidence), level)

    def counted(self, evidence: TopCounts) -> tuple[Floats, Floats]:
        """Return rows of each group and rows of known group in the top k, each (..., G)."""
        top = np.asarray(evidence.top, dtype=np.float64)
        return top, np.broadcast_to(known(evidence), top.shape)


class Recall(Metric):
    """Share of queries whose right row is among the first k. Interval: Wilson."""

    descriptor = _descriptor(
        "recall", "caption_to_image", "share of captions that find their picture in the top k",
        "share of queries with rank < k", "recall at k of cross-modal retrieval, one right row a query",
        evidence="ranks", role="utility", direction="higher", margin=RECALL_MARGIN, unit="share in [0, 1]",
    )  # fmt: skip

    def statistic(self, evidence: Ranks) -> Floats:
        """Return the share found, (...)."""
        return gaps.divide(*self.counted(evidence))

    def interval(self, evidence: Ranks, level: float) -> Interval:
        """Return Wilson limits of the share found."""
        return wilson(*self.counted(evidence), level)

    def counted(self, evidence: Ranks) -> tuple[Floats, Floats]:
        """Return queries that found their row and queries, each (...)."""
        ranks = np.asarray(evidence.ranks)
        found = (ranks < evidence.k).sum(-1).astype(np.float64)
        return found, np.full(found.shape, float(ranks.shape[-1]))
