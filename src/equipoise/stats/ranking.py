"""The top of a ranking, and how its groups compare with the pool: shares, skews, their largest and smallest.

Notation: Q queries, n rows of the pool, k results, p_a the share of group a in the top k, pi_a its share of the pool
(the prior is the searched pool's). Skew_a = ln(p_a / pi_a), MaxSkew = max_a, MinSkew = min_a: Geyik, Ambler &
Kenthapadi (2019), KDD, section 4.1; a share of zero counts as 1/k in MinSkew (Berg et al. 2022, AACL).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.stats._checks import Floats, as_float, check_count


def prefix_length(k: int, n: int) -> int:
    """Return how much of a ranking resampling the top k needs: min(n, ceil(k + 10 sqrt(k))).

    Resampled weights of a prefix of m rows sum to m -+ sqrt(m), so a sum below k is a 7-sigma event at k = 200.
    """
    return min(n, math.ceil(check_count(k, "k") + 10 * math.sqrt(k)))


def top_rows(scores: ArrayLike, length: int, tie_order: ArrayLike | None = None) -> np.ndarray:
    """Return the rows (Q, length) of the highest scores, best first, ties by ``tie_order``.

    Parameters
    ----------
    scores : array_like, shape (Q, n)
        Finite; float32 is kept.
    length : int
        1 .. n.
    tie_order : array_like of int, shape (n,), optional
        Rank of each row among equals (say, of its row id); its position by default. With distinct ranks that belong to
        the rows, the order of rows in the table is irrelevant.

    Returns
    -------
    ndarray of int64, shape (Q, length)

    Raises
    ------
    InputError
        If a score is not finite, shapes disagree, or ``length`` is not in 1 .. n.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.dtype.kind != "f":
        raise InputError(
            f"scores are {scores.dtype} of shape {scores.shape}, expected floats (Q, n).", "Give a matrix."
        )
    n = scores.shape[1]
    if check_count(length, "length") > n:
        raise InputError(f"the top {length} of {n} rows was asked for.", f"Ask for at most {n}.")
    ties = np.arange(n) if tie_order is None else np.asarray(tie_order)
    if ties.shape != (n,):
        raise InputError(f"tie_order has shape {ties.shape}, expected ({n},).", "Give one rank a row.")
    out = np.empty((scores.shape[0], length), dtype=np.int64)
    for q, row in enumerate(scores):
        if not np.isfinite(row).all():
            raise InputError(f"query {q} has scores that are NaN or infinite.", "Set those rows aside first.")
        edge = np.partition(row, n - length)[n - length]
        near = np.flatnonzero(row >= edge)
        out[q] = near[np.lexsort((ties[near], -row[near]))[:length]]
    return out


def shares_of(rows: ArrayLike, codes: ArrayLike, groups: int) -> Floats:
    """Return the share (Q, groups) of each group among rows (Q, k)."""
    rows, codes = np.asarray(rows), np.asarray(codes)
    q, k = rows.shape
    flat = codes[rows] + groups * np.arange(q)[:, None]
    return np.bincount(flat.ravel(), minlength=q * groups).reshape(q, groups) / k


def _included(skews: Floats, include: ArrayLike | None, fill: float) -> Floats:
    if include is not None:
        keep = np.asarray(include, dtype=bool)
        if keep.shape != skews.shape[-1:]:
            raise InputError(f"include has shape {keep.shape}, expected {skews.shape[-1:]}.", "Give one flag a group.")
        if keep.sum() < 2:
            raise InputError(f"{int(keep.sum())} groups are included.", "Include at least two groups.")
        skews = np.where(keep, skews, fill)
    return skews


def skews(shares: ArrayLike, prior: ArrayLike, floor: float = 0.0) -> Floats:
    """Return ln(max(p_a, floor) / pi_a) over the last axis; -inf where p_a and the floor are 0, NaN where pi_a is 0."""
    shares, prior = as_float(shares), as_float(prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(prior > 0, np.log(np.maximum(shares, floor)) - np.log(prior), np.nan)


def max_skew(shares: ArrayLike, prior: ArrayLike, include: ArrayLike | None = None) -> Floats:
    """Return max_a ln(p_a / pi_a) over the last axis of shares (..., groups).

    ``include`` (groups,) leaves groups out of the maximum (not out of the shares). A group with pi_a = 0 (absent from a
    resampled pool) is skipped. NaN where no group is left.
    """
    value = _included(skews(shares, prior), include, np.nan)
    value = np.where(np.isnan(value), -np.inf, value).max(-1)
    return np.where(np.isneginf(value), np.nan, value)


def min_skew(shares: ArrayLike, prior: ArrayLike, k: int, include: ArrayLike | None = None) -> Floats:
    """Return min_a ln(max(p_a, 1/k) / pi_a) over the last axis; a share under 1/k counts as 1/k; see `max_skew`."""
    value = _included(skews(shares, prior, 1.0 / check_count(k, "k")), include, np.nan)
    value = np.where(np.isnan(value), np.inf, value).min(-1)
    return np.where(np.isposinf(value), np.nan, value)


def rate_gap(shares: ArrayLike, prior: ArrayLike, fraction: float, include: ArrayLike | None = None) -> Floats:
    """Return max_a r_a - min_a r_a, r_a = fraction p_a / pi_a the rate at which group a's rows are in the top k.

    ``fraction`` is k/n: demographic parity at k. Groups with pi_a = 0 are skipped.
    """
    shares, prior = as_float(shares), as_float(prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(prior > 0, fraction * shares / prior, np.nan)
    rates = _included(rates, include, np.nan)
    high = np.where(np.isnan(rates), -np.inf, rates).max(-1)
    low = np.where(np.isnan(rates), np.inf, rates).min(-1)
    return np.where(np.isinf(high), np.nan, high - low)
