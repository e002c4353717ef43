"""What errors in an attribute do to whatever is measured with it.

A gap is E[y | s = 1] - E[y | s = 0]. With the attribute read as s_hat, and its error as rows labelled by hand show it:

    y independent of s_hat given s:   gap observed = (PPV + NPV - 1) gap          (1)  :func:`attenuation`
    y_hat independent of s given y:   gap observed = (sens + spec - 1) gap        (2)  :func:`label_noise`
    share of s:                       p = (p observed + spec - 1) / (sens + spec - 1)   (3)  :func:`rogan_gladen`
    gap with weights w(s_hat, Y):     see :func:`weighted_gaps`                          (4)

(1) is for errors in the attribute, (2) for errors in the label (an occupation read from a caption), both non-differential;
they follow from the law of total expectation (Copeland, Checkoway, McMichael & Holbrook 1977, Am. J. Epidemiol.
105:488-495). (3) is Rogan & Gladen (1978), Am. J. Epidemiol. 107:71-76. PPV, NPV, sensitivity and specificity are of the
rows that the gap is over. Errors that depend on what is measured (an annotator that reads women as men more often where
they are pilots) are in none of these: only the same number on gold labels holds those.

(1) is of rows that weigh alike, or by what does not depend on s_hat. Weights of a balance depend on s_hat and on the labels
at once: with them y is not independent of s_hat given s, and (1) would call a gap removed that is only hidden. (4) undoes
the errors where they are non-differential, on the rows without weights, and weighs what they truly are.

Intervals square and add the limits of the parts (Zou & Donner 2008, Stat. Med. 27:1693-1702), linearised where a formula
divides. Where the interval of a factor holds 0, what was observed says nothing of the truth: ``not_estimable``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError
from equipoise.estimate import Estimate

Floats = NDArray[np.float64]


def attenuation(ppv: Estimate, npv: Estimate) -> Estimate:
    """Return the factor PPV + NPV - 1 by which errors in an attribute shrink a gap between its two groups, (1).

    Parameters
    ----------
    ppv, npv : Estimate
        Share of the rows read as the first group that are of it, and the same of the second; in [0, 1], of separate rows.

    Returns
    -------
    Estimate
        In [-1, 1]; a negative factor turns gaps round. ``not_estimable`` where its interval holds 0.
    """
    return _factor("PPV + NPV - 1", ppv, npv)


def label_noise(sens: Estimate, spec: Estimate) -> Estimate:
    """Return the factor sens + spec - 1 (Youden's J) by which errors in a label shrink a gap in its rate, (2).

    Parameters
    ----------
    sens, spec : Estimate
        Share of the rows with the label that are read so, and of those without it that are not; in [0, 1].

    Returns
    -------
    Estimate
        In [-1, 1]. ``not_estimable`` where its interval holds 0.
    """
    return _factor("sens + spec - 1", sens, spec)


def rogan_gladen(p: Estimate, sens: Estimate, spec: Estimate) -> Estimate:
    """Return the share that an attribute truly has, from the share that was observed, (3).

    Parameters
    ----------
    p : Estimate
        Observed share in [0, 1]; one of status ``exact`` has no error of its own.
    sens, spec : Estimate
        As for :func:`label_noise`, of the attribute.

    Returns
    -------
    Estimate
        In [0, 1]: a solution outside is moved to the nearer end, is ``weak`` and says so. ``not_estimable`` where the
        interval of sens + spec - 1 holds 0.

    Notes
    -----
    The interval squares and adds the distances to the limits of the three parts, each times the formula's derivative:
    1/J for p, -share/J for sens, (1 - share)/J for spec, J = sens + spec - 1. With symmetric limits it is the delta method.
    """
    if missing := _missing(p, sens, spec):
        return missing
    factor = label_noise(sens, spec)
    if not factor.has_value:
        return factor
    found = (p.value + spec.value - 1) / factor.value
    share = min(max(found, 0.0), 1.0)
    slopes = (1 / factor.value, -share / factor.value, (1 - share) / factor.value)
    low, high = _squared(found, (p, sens, spec), slopes)
    outside = abs(found - share) > 1e-9
    return Estimate(
        share, min(max(low, 0.0), share), max(min(high, 1.0), share), level=p.level, n=p.n,
        status="weak" if outside else "ok",
        reason=f"the formula gives {found:.3f}, no share: the observed one does not fit this error" if outside else "",
    )  # fmt: skip


def corrected_gap(observed: Estimate, factor: Estimate) -> Estimate:
    """Return the gap that errors of the attribute made of what was observed: observed / factor.

    Parameters
    ----------
    observed : Estimate
        A gap: a difference of rates or means between the two groups that the factor is of.
    factor : Estimate
        From :func:`attenuation` or :func:`label_noise`.

    Returns
    -------
    Estimate
        It may exceed 1 in size where observation and error do not fit. ``not_estimable`` where the factor is.
    """
    if missing := _missing(observed, factor):
        return missing
    if _holds_zero(factor):
        return Estimate.without("not_estimable", _says_nothing("factor", factor), n=observed.n, level=observed.level)
    value = observed.value / factor.value
    low, high = _squared(value, (observed, factor), (1 / factor.value, -value / factor.value))
    if (observed.low >= 0 or observed.status == "exact") and value >= 0 and factor.low > 0:
        low = max(low, 0.0)  # a quotient of what is not negative
    return Estimate(value, low, high, level=observed.level, n=observed.n)


def weighted_gaps(counts: ArrayLike, weights: ArrayLike, labels: ArrayLike, sens: float, spec: float) -> Floats:
    """Return the gap in the rate of each label between the true groups, of rows whose weights came from the read ones, (4).

    Parameters
    ----------
    counts : array_like (P, 2)
        Rows without weights, by pattern Y of all that the weights depend on but the attribute: read as the first group,
        and as the second.
    weights : array_like (P, 2), float64
        Mean weight of those rows, at least 0. Of a pattern without rows on one side, what such a row would get.
    labels : array_like (P, L), bool
        Where each label holds.
    sens, spec : float
        P(read first | is first) and P(read second | is second), whatever Y is.

    Returns
    -------
    ndarray (L,), float64
        Rate in the first group less that in the second; NaN where no weight of a group is left.

    Raises
    ------
    InputError
        If sens + spec is 1, or shapes differ.

    Notes
    -----
    With J = sens + spec - 1 the confusion is inverted in every pattern,

        n(1, Y) = (spec N(1, Y) - (1 - spec) N(0, Y)) / J        n(0, Y) = (sens N(0, Y) - (1 - sens) N(1, Y)) / J

    N being read and n true rows; a true row is read as it would be, and has the weight of what it is read as:

        W(1, Y) = n(1, Y) (sens w(1, Y) + (1 - sens) w(0, Y))    W(0, Y) = n(0, Y) ((1 - spec) w(1, Y) + spec w(0, Y))

    gap of y_r = sum_Y y_r W(1, Y) / sum_Y W(1, Y) - the same of W(0, Y). All is linear in N, so that patterns of few rows
    only add up. With equal weights it is (1) with the PPV and NPV that sens, spec and N imply.
    """
    first, second, y = _weighted(counts, weights, labels, sens, spec)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = first @ y / first.sum() - second @ y / second.sum()
    return np.where((first.sum() > 0) & (second.sum() > 0), gap, np.nan)


def weighted_association(
    counts: ArrayLike, weights: ArrayLike, labels: ArrayLike, sens: Estimate, spec: Estimate
) -> Estimate:
    """Return the largest size of :func:`weighted_gaps`: the association that is left where errors are undone.

    Parameters
    ----------
    counts, weights, labels
        As for :func:`weighted_gaps`.
    sens, spec : Estimate
        Of separate rows.

    Returns
    -------
    Estimate
        In [0, 1]. Its interval is that of ``sens`` and ``spec``, as the rows are all there are: the distances to the values
        at their limits, squared and added. ``weak`` where a part is, or where some label implies a share outside [0, 1]:
        the counts do not fit this error. ``not_estimable`` where the interval of sens + spec - 1 holds 0 or no gap is left.
    """
    factor = label_noise(sens, spec)
    if not factor.has_value:
        return factor

    def at(one: float, two: float) -> float:
        gaps = weighted_gaps(counts, weights, labels, one, two) if abs(one + two - 1) > 1e-9 else np.array([np.nan])
        return float(np.abs(gaps).max(initial=0.0))

    value = at(sens.value, spec.value)
    if not math.isfinite(value):
        return Estimate.without("not_estimable", "no weight of a group is left", n=factor.n, level=factor.level)
    moves = []
    if sens.status != "exact":
        moves.append([at(limit, spec.value) - value for limit in (sens.low, sens.high)])
    if spec.status != "exact":
        moves.append([at(sens.value, limit) - value for limit in (spec.low, spec.high)])
    below = math.sqrt(sum(max(0.0, *(-move for move in pair)) ** 2 for pair in moves))
    above = math.sqrt(sum(max(0.0, *pair) ** 2 for pair in moves))
    if not math.isfinite(below + above):
        return Estimate.without(
            "not_estimable", "at a limit of the error no gap is left", n=factor.n, level=factor.level
        )
    misfit = _misfit(counts, labels, sens.value, spec.value)
    found = min(value, 1.0)
    return Estimate(
        found, min(max(value - below, 0.0), found), min(value + above, 1.0), level=factor.level, n=factor.n,
        status="weak" if misfit or factor.status == "weak" else "ok", reason=misfit or factor.reason,
    )  # fmt: skip


def _weighted(
    counts: ArrayLike, weights: ArrayLike, labels: ArrayLike, sens: float, spec: float
) -> tuple[Floats, Floats, Floats]:
    """Return (P,) weight of the first group and of the second, and (P, L) labels."""
    n, w, y = np.asarray(counts, np.float64), np.asarray(weights, np.float64), np.asarray(labels, np.float64)
    if n.ndim != 2 or n.shape[1] != 2 or w.shape != n.shape or y.ndim != 2 or len(y) != len(n):
        raise InputError(
            f"Counts, weights and labels have shapes {n.shape}, {w.shape} and {y.shape}.",
            "Give (P, 2), (P, 2), (P, L).",
        )
    one, two = _true_rows(n, sens, spec)
    return one * (w @ [sens, 1 - sens]), two * (w @ [1 - spec, spec]), y


def _true_rows(read: Floats, sens: float, spec: float) -> tuple[Floats, Floats]:
    """Return (...) rows of the first and of the second group from (..., 2) rows read as each."""
    j = sens + spec - 1
    if abs(j) < 1e-12:
        raise InputError("sens + spec is 1.", "Such an answer says nothing of the truth.", value=j)
    return read @ [spec, spec - 1] / j, read @ [sens - 1, sens] / j


def _misfit(counts: ArrayLike, labels: ArrayLike, sens: float, spec: float) -> str:
    """Return why the rows with or without some label do not fit an error, or nothing."""
    n, y = np.asarray(counts, np.float64), np.asarray(labels, np.float64)
    sums = np.concatenate([y.T @ n, (1 - y).T @ n])
    one, two = _true_rows(sums, sens, spec)
    slack = 1e-9 * sums.sum(1)
    lost = int(((one < -slack) | (two < -slack)).reshape(2, -1).any(0).sum())
    return (
        f"{lost} of {y.shape[1]} labels do not fit this error: fewer rows of a group than it alone would give"
        if lost
        else ""
    )


def _factor(what: str, one: Estimate, two: Estimate) -> Estimate:
    if missing := _missing(one, two):
        return missing
    for part in (one, two):
        if not 0 <= part.value <= 1:
            raise InputError(f"A part of {what} is {part.value:g}.", "Give shares in [0, 1].", value=part.value)
    if one.level != two.level:
        raise InputError(
            f"The parts of {what} have intervals at {one.level:g} and {two.level:g}.", "Give both at one level."
        )
    value = one.value + two.value - 1
    low, high = _squared(value, (one, two), (1.0, 1.0))
    weak = "weak" in (one.status, two.status)
    reason = "; ".join(dict.fromkeys(part.reason for part in (one, two) if part.reason)) if weak else ""
    found = Estimate(
        value, max(low, -1.0), min(high, 1.0), level=one.level, n=one.n + two.n,
        status="weak" if weak else "ok", reason=reason,
    )  # fmt: skip
    if _holds_zero(found):
        return Estimate.without("not_estimable", _says_nothing(what, found), n=found.n, level=found.level)
    return found


def _squared(value: float, parts: Sequence[Estimate], slopes: Sequence[float]) -> tuple[float, float]:
    """Return limits: the distances of the parts' limits, each times its slope, squared and added."""
    below = above = 0.0
    for part, slope in zip(parts, slopes, strict=True):
        if part.status == "exact":
            continue
        down, up = slope * (part.value - part.low), slope * (part.high - part.value)
        below += (down if slope > 0 else up) ** 2
        above += (up if slope > 0 else down) ** 2
    return value - math.sqrt(below), value + math.sqrt(above)


def _holds_zero(factor: Estimate) -> bool:
    return factor.low <= 0 <= factor.high


def _says_nothing(what: str, factor: Estimate) -> str:
    return (
        f"{what} is {factor.value:.3f} [{factor.low:.3f}, {factor.high:.3f}], an interval that holds 0: "
        "what was observed says nothing of the truth"
    )


def _missing(*parts: Estimate) -> Estimate | None:
    """Return an estimate without a value if a part has none, or no interval."""
    for part in parts:
        if not part.has_value:
            return Estimate.without("not_estimable", part.reason or part.status, n=part.n, level=part.level)
        if part.status != "exact" and not (math.isfinite(part.low) and math.isfinite(part.high)):
            return Estimate.without("not_estimable", "a part has no interval", n=part.n, level=part.level)
    return None
