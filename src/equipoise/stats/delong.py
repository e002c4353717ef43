"""Area under the ROC curve with ties, and DeLong's covariance in O(n log n).

AUC = P(score+ > score-) + P(score+ = score-) / 2. Placement values from midranks give the covariance of DeLong,
DeLong & Clarke-Pearson (1988), Biometrics 44:837-845, with the algorithm of Sun & Xu (2014), IEEE Signal Process.
Lett. 21:1389-1393. Notation: n rows, m score vectors on the same rows, k groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, Ints, as_float, check_level, codes_array, finite
from equipoise.stats.intervals import Interval, normal_interval, wilson


def _sorted_midranks(ordered: np.ndarray) -> Floats:
    """Midranks (1-based) of values that are already sorted."""
    if ordered.size == 0:
        return np.zeros(0)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, ordered.size))
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def midranks(values: ArrayLike) -> Floats:
    """Return ranks (n,) from 1, ties sharing their mean rank."""
    values = finite(values, "values")
    order = np.argsort(values, kind="stable")
    ranks = np.empty(values.size)
    ranks[order] = _sorted_midranks(values[order])
    return ranks


def _binary(labels: ArrayLike, rows: int) -> np.ndarray:
    array = np.asarray(labels)
    if array.shape != (rows,):
        raise InputError(f"labels have shape {array.shape}, expected ({rows},).", "Give one label a score.")
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise InputError("labels hold values other than 0 and 1.", "Give True for the positive class.")
    return array.astype(bool)


def _placements(order: np.ndarray, ordered: Floats, positive: np.ndarray) -> tuple[Floats, Floats]:
    """Placement values of the positive and of the negative rows, each in the rows' own order.

    ``order`` sorts rows, ``ordered`` are the sorted scores, ``positive`` marks the unsorted rows.
    """
    flag = positive[order]
    ranks = _sorted_midranks(ordered)
    above = (ranks[flag] - _sorted_midranks(ordered[flag])) / max(int((~flag).sum()), 1)
    below = 1 - (ranks[~flag] - _sorted_midranks(ordered[~flag])) / max(int(flag.sum()), 1)
    place = np.empty(positive.size)
    place[order[flag]], place[order[~flag]] = above, below
    return place[positive], place[~positive]


def _covariance(values: Floats) -> Floats:
    """Covariance (m, m) of placement values (m, rows) divided by the rows; NaN with fewer than 2 rows."""
    m, rows = values.shape
    if rows < 2:
        return np.full((m, m), np.nan)
    centred = values - values.mean(1, keepdims=True)
    return centred @ centred.T / ((rows - 1) * rows)


def _delong(orders: np.ndarray, scores: Floats, positive: np.ndarray) -> tuple[Floats, Floats]:
    m = scores.shape[0]
    positives = int(positive.sum())
    if positives == 0 or positives == positive.size:
        return np.full(m, np.nan), np.full((m, m), np.nan)
    pairs = [_placements(o, s[o], positive) for o, s in zip(orders, scores, strict=True)]
    above = np.stack([p[0] for p in pairs])
    below = np.stack([p[1] for p in pairs])
    return above.mean(1), _covariance(above) + _covariance(below)


def delong(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return the AUCs of m score vectors on the same rows, and their covariance.

    Parameters
    ----------
    scores : array_like, shape (m, n)
        Larger means "more positive"; finite. A paired change is AUC_1 - AUC_0, its variance c_11 + c_00 - 2 c_01.
    labels : array_like, shape (n,)
        Bool, or 0 and 1.

    Returns
    -------
    auc : ndarray, shape (m,)
        In [0, 1]; NaN where only one class is present.
    cov : ndarray, shape (m, m)
        NaN where a class has fewer than 2 rows.

    Raises
    ------
    InputError
        If shapes disagree, a score is not finite, or a label is not binary.
    """
    scores = finite(scores, "scores")
    if scores.ndim != 2:
        raise InputError(f"scores have shape {scores.shape}, expected (m, n).", "Give scores[None] for one vector.")
    positive = _binary(labels, scores.shape[1])
    return _delong(np.argsort(scores, axis=1, kind="stable"), scores, positive)


def delong_groups(
    scores: ArrayLike, labels: ArrayLike, codes: ArrayLike, groups: int
) -> tuple[Floats, Floats, Ints, Ints]:
    """Return AUCs and covariances within each of k groups, sorting each score vector once.

    Groups share no rows, so the variance of a gap between two of them is the sum of their variances.

    Parameters
    ----------
    scores : array_like, shape (m, n)
    labels : array_like, shape (n,)
    codes : array_like of int, shape (n,)
        Group of each row, 0 .. groups - 1.
    groups : int

    Returns
    -------
    auc : ndarray, shape (k, m)
    cov : ndarray, shape (k, m, m)
    positives, negatives : ndarray of int64, shape (k,)
    """
    scores = finite(scores, "scores")
    if scores.ndim != 2:
        raise InputError(f"scores have shape {scores.shape}, expected (m, n).", "Give scores[None] for one vector.")
    m, n = scores.shape
    positive = _binary(labels, n)
    codes = codes_array(codes, groups, rows=n)
    orders = np.argsort(scores, axis=1, kind="stable")
    auc, cov = np.full((groups, m), np.nan), np.full((groups, m, m), np.nan)
    new_place = np.empty(n, dtype=np.int64)
    for g in range(groups):
        rows = np.flatnonzero(codes == g)
        new_place[rows] = np.arange(rows.size)
        inside = np.stack([new_place[o[codes[o] == g]] for o in orders]) if m else np.empty((0, rows.size), np.int64)
        auc[g], cov[g] = _delong(inside, scores[:, rows], positive[rows])
    positives = np.bincount(codes[positive], minlength=groups)
    return auc, cov, positives, np.bincount(codes, minlength=groups) - positives


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the AUC of one score vector (n,) against binary labels (n,); NaN where one class is missing."""
    scores = finite(scores, "scores")
    return float(auc_groups(scores, labels, np.zeros(scores.shape, np.int64), 1)[0])


def auc_groups(scores: ArrayLike, labels: ArrayLike, codes: ArrayLike, groups: int) -> Floats:
    """Return the AUC (k,) within each group of one score vector (n,), from one sort; NaN where a class is missing."""
    scores = finite(scores, "scores")
    if scores.ndim != 1:
        raise InputError(f"scores have shape {scores.shape}, expected (n,).", "Give one score vector.")
    positive = _binary(labels, scores.size)
    codes = codes_array(codes, groups, rows=scores.size)
    order, ties = sorted_ties(scores)
    return auc_from_sorted(ties, positive[order], codes[order], groups)


def sorted_ties(scores: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (n,) in ascending order of score, and in that order the number (n,) of their block of ties."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    return order, np.cumsum(np.concatenate(([False], ordered[1:] != ordered[:-1])))


def auc_from_sorted(ties: np.ndarray, positive: np.ndarray, codes: np.ndarray, groups: int) -> Floats:
    """Return the AUC (k,) within each group, in O(n), from rows in ascending order of score (see `sorted_ties`)."""
    if codes.size == 0:
        return np.full(groups, np.nan)
    # a stable sort by a small integer is a radix sort, and keeps the order of scores within each group
    by_group = np.argsort(codes.astype(np.int16) if groups < 2**15 else codes, kind="stable")
    ties, positive, codes = ties[by_group], positive[by_group], codes[by_group]
    starts = np.flatnonzero(np.concatenate(([True], (ties[1:] != ties[:-1]) | (codes[1:] != codes[:-1]))))
    pos = np.add.reduceat(positive.astype(np.int64), starts)
    neg = np.diff(np.append(starts, codes.size)) - pos
    block = codes[starts]
    positives = np.bincount(block, pos, groups)
    negatives = np.bincount(block, neg, groups)
    below = np.cumsum(neg) - neg - (np.cumsum(negatives) - negatives)[block]
    wins = np.bincount(block, pos * (below + neg / 2), groups)
    with np.errstate(invalid="ignore"):
        return wins / np.where(positives * negatives > 0, positives * negatives, np.nan)


def auc_interval(
    auc: ArrayLike,
    variance: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    level: float = 0.95,
    scale: str = "logit",
) -> Interval:
    """Return the interval of an AUC from DeLong's variance.

    ``scale="logit"`` (default): expit(logit A -+ z se / (A (1 - A))), which stays in (0, 1) and covers better near the
    ends (Qin & Hotilovac 2008, Stat. Methods Med. Res. 17:207-221); ``"linear"``: A -+ z se, clipped to [0, 1].
    Perfect separation has variance 0, which says nothing: there the limits are Wilson's for min(positives, negatives)
    independent pairs, which is conservative [own choice]. NaN where AUC or variance is.

    Raises
    ------
    InputError
        If ``scale`` is neither of the two.
    """
    from scipy.special import expit, logit

    check_level(level)
    if scale not in ("logit", "linear"):
        raise InputError(f"scale is {scale!r}.", "Give 'logit' or 'linear'.")
    auc, variance, pairs = np.broadcast_arrays(
        as_float(auc), as_float(variance), np.minimum(as_float(positives), as_float(negatives))
    )
    se = np.sqrt(np.maximum(variance, 0))
    ends = (auc <= 0) | (auc >= 1)
    if scale == "linear":
        low, high = (np.clip(v, 0, 1) for v in normal_interval(auc, se, level))
    else:
        inner = np.where(ends, 0.5, auc)
        low, high = (expit(v) for v in normal_interval(logit(inner), se / (inner * (1 - inner)), level))
    wide_low, wide_high = wilson(np.where(ends, np.clip(auc, 0, 1), 0) * pairs, pairs, level)
    return np.where(ends, wide_low, low), np.where(ends, wide_high, high)
