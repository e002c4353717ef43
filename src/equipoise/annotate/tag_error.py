"""How often one tag errs, from rows that were drawn by strata and labelled by hand.

A drawn row stands for ``weight`` rows. Rows of one stratum for which the annotator said the same form a post-stratum h:
N_h rows of the population, n_h labelled ones, p_h the share of them that truly have the tag. Then

    PPV = precision    = sum_said N_h p_h / sum_said N_h                 NPV  the same of the others, with 1 - p_h
    sens = recall      = X / (X + Y),  X = sum_said N_h p_h,  Y = sum_others N_h p_h        spec  likewise

Intervals: Wilson's where all rows weigh alike. Else those of the p_h (Wilson) are squared and added for a sum (Zou & Donner
2008, Stat. Med. 27:1693-1702), and a ratio X / (X + Y) has the limits of Y / X (Donner & Zou 2012, Stat. Methods Med. Res.
21:347-359). A stratum of many rows in which no miss was found among the few labelled still widens the interval of the recall,
which an effective sample size would not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.estimate import Estimate, Status
from equipoise.stats import mover, wilson

FEW = 30
"""Below this many labelled rows an estimate is weak."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class TagError:
    """The error of one tag.

    Attributes
    ----------
    value : str
        The tag.
    tp, fp, fn, tn : int
        Labelled rows: said and true, said only, true only, neither.
    precision, recall, specificity, npv : Estimate
        Of the population that the rows were drawn from; ``precision`` is the PPV, ``recall`` the sensitivity.
    prevalence : Estimate
        Share of the rows that truly have the tag.
    """

    value: str
    tp: int
    fp: int
    fn: int
    tn: int
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    npv: Estimate
    prevalence: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in ("tp", "fp", "fn", "tn")}
        shares = ("precision", "recall", "specificity", "npv", "prevalence")
        return counts | {name: short(getattr(self, name)) for name in shares}


def tag_error(
    value: str, said: Bools, true: Bools, weight: NDArray[np.float64], stratum: NDArray[np.int64], level: float = 0.95
) -> TagError:
    """Return the error of a tag.

    Parameters
    ----------
    value : str
    said, true : ndarray (n,), bool
        Whether the annotator, and the person who labelled, gave a row the tag.
    weight : ndarray (n,), float64
        Rows that each stands for, above 0.
    stratum : ndarray (n,), int64
    level : float
    """
    counts = [int((a & b).sum()) for a, b in ((said, true), (said, ~true), (~said, true), (~said, ~true))]
    parts = (said, true, weight, stratum, level)
    return TagError(
        value, *counts,
        precision=predictive(said, true, weight, stratum, level, f"no labelled row was called {value}"),
        recall=_found(*parts, f"no labelled row is {value}"),
        specificity=_found(~said, ~true, weight, stratum, level, f"every labelled row is {value}"),
        npv=predictive(~said, ~true, weight, stratum, level, f"every labelled row was called {value}"),
        prevalence=predictive(np.ones_like(said), true, weight, 2 * stratum + said, level, "no row is labelled"),
    )  # fmt: skip


def predictive(
    said: Bools, true: Bools, weight: NDArray[np.float64], stratum: NDArray[np.int64], level: float, none: str
) -> Estimate:
    """Return the share of the rows said that are true: PPV of a tag, NPV of its absence, a prevalence of all rows."""
    n, right = int(said.sum()), int((said & true).sum())
    if not n:
        return Estimate.without("not_estimable", none, level=level)
    if _alike(weight[said]):
        low, high = wilson(right, n, level)
        return _estimate(right / n, low, high, level, n, right, n)
    sizes, shares, lows, highs = _strata(said, true, weight, stratum, level)
    mean = sizes / sizes.sum()
    low, high = mover(shares, lows, highs, mean)
    return _estimate(float(mean @ shares), low, high, level, n, right, n)


def _found(
    said: Bools, true: Bools, weight: NDArray[np.float64], stratum: NDArray[np.int64], level: float, none: str
) -> Estimate:
    """Return the share of the rows true that were said: sensitivity of a tag, specificity of its absence."""
    n, right = int(true.sum()), int((said & true).sum())
    if not n:
        return Estimate.without("not_estimable", none, level=level)
    if _alike(weight) or said.all() or not said.any():
        # of one side no row was labelled, so that no stratum of it tells how many rows it may have
        low, high = wilson(right, n, level)
        return _estimate(right / n, low, high, level, n, right, n)
    hit, hit_low, hit_high = _total(said, true, weight, stratum, level)
    miss, miss_low, miss_high = _total(~said, true, weight, stratum, level)
    least, most = _ratio_limits(miss, miss_low, miss_high, hit, hit_low, hit_high)
    low, high = (0.0 if math.isinf(most) else 1 / (1 + most)), 1 / (1 + least)
    value = hit / (hit + miss)
    return _estimate(value, min(low, value), max(high, value), level, n, right, n)


def _strata(said: Bools, true: Bools, weight: NDArray[np.float64], stratum: NDArray[np.int64], level: float) -> Any:
    """Return size, share and its limits of every post-stratum of the rows said."""
    _, place = np.unique(stratum[said], return_inverse=True)
    sizes = np.bincount(place, weights=weight[said])
    rows, right = np.bincount(place), np.bincount(place, weights=true[said])
    low, high = wilson(right, rows, level)
    return sizes, right / rows, low, high


def _total(
    said: Bools, true: Bools, weight: NDArray[np.float64], stratum: NDArray[np.int64], level: float
) -> tuple[float, float, float]:
    if not said.any():
        return 0.0, 0.0, 0.0
    sizes, shares, lows, highs = _strata(said, true, weight, stratum, level)
    low, high = mover(shares, lows, highs, sizes)
    return float(sizes @ shares), max(float(low), 0.0), float(high)


def _ratio_limits(
    one: float, one_low: float, one_high: float, two: float, two_low: float, two_high: float
) -> tuple[float, float]:
    """Return the limits of one / two for independent amounts of at least 0; the upper may be infinite."""
    cross = one * two
    a, b = one_low * (2 * one - one_low), two_high * (2 * two - two_high)
    c, d = one_high * (2 * one - one_high), two_low * (2 * two - two_low)
    under = cross + math.sqrt(max(cross * cross - a * b, 0))
    low = 0.0 if a <= 0 else a / under if under > 0 else math.inf
    high = (cross + math.sqrt(max(cross * cross - c * d, 0))) / d if d > 0 else math.inf
    return low, high


def _alike(weight: NDArray[np.float64]) -> bool:
    return bool(weight.max() - weight.min() <= 1e-9 * weight.max())


def _estimate(
    value: float, low: Any, high: Any, level: float, n: int, numerator: float, denominator: float
) -> Estimate:
    status: Status = "weak" if n < FEW else "ok"
    value = min(max(value, 0.0), 1.0)  # a weighted mean of ones may round above 1
    low, high = max(float(low), 0.0), min(float(high), 1.0)
    return Estimate(
        value, min(low, value), max(high, value), level=level, n=n, numerator=numerator, denominator=denominator,
        status=status, reason=f"{n} labelled rows" if n < FEW else "",
    )  # fmt: skip


def short(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as the few JSON values that a field's metadata holds."""
    if not estimate.has_value:
        return {"status": estimate.status, "reason": estimate.reason, "n": estimate.n}
    found: dict[str, Any] = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return found | ({"status": estimate.status, "reason": estimate.reason} if estimate.status != "ok" else {})


def long(data: Mapping[str, Any], level: float) -> Estimate:
    """Return the estimate of :func:`short`."""
    if "value" not in data:
        return Estimate.without(data["status"], str(data.get("reason", "")), n=int(data["n"]), level=level)
    return Estimate(
        float(data["value"]), float(data["low"]), float(data["high"]), level=level, n=int(data["n"]),
        status=data.get("status", "ok"), reason=str(data.get("reason", "")),
    )  # fmt: skip
