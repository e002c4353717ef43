"""Representation and association bias with weights, on the truth that people wrote down instead of an annotator's answers.

The one number that also holds errors that depend on what is measured: an annotator that reads women as men more often where
they are pilots. Each labelled row counts represents * drawn / labelled rows of its stratum (what it stands for), times its
weight m. With v the product of both, s_k the group that a person saw and pi_k its wanted share, over the rows of some group:

    RB = max_k |E_v[s_k] - pi_k|        AB = max_kr |E_v[y_r | s_k = 1] - E_v[y_r | s_k = 0]|

Intervals: a bootstrap of rows within strata that draws one row fewer than there are and raises their weights by n / (n - 1)
(Rao & Wu 1988, J. Am. Stat. Assoc. 83:231-241), as plain draws are too narrow for strata of few rows. A largest value is
above 0 by chance alone: ``null_value`` is what it would be by chance if there were no bias, from the same draws, centred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.annotate.tag_error import FEW, short
from equipoise.errors import InputError, listed
from equipoise.estimate import Estimate, Status
from equipoise.stats import bootstrap_interval

CELLS = 8_000_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GoldBalance:
    """RB and AB of labelled rows, with equal weights and with those given.

    Attributes
    ----------
    rb, ab, rb_before, ab_before : Estimate
        In [0, 1]; ``before`` is with equal weights.
    shares, shares_before : dict of str to float
        Share of each group.
    gaps : dict of (group, label) to float
        E_v[y_r | s_k = 1] - E_v[y_r | s_k = 0], with the weights.
    rows : dict of str to int
        Labelled rows of each group.
    left_out : tuple of str
        Labels that no labelled row of a group has.
    """

    rb: Estimate
    ab: Estimate
    rb_before: Estimate
    ab_before: Estimate
    shares: dict[str, float]
    shares_before: dict[str, float]
    gaps: dict[tuple[str, str], float]
    rows: dict[str, int]
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = {}
        for name in ("rb", "ab", "rb_before", "ab_before"):
            estimate: Estimate = getattr(self, name)
            chance = {"chance": estimate.null_value} if np.isfinite(estimate.null_value) else {}
            found[name] = {**short(estimate), **chance}
        gaps: dict[str, dict[str, float]] = {group: {} for group in self.rows}
        for (group, label), gap in self.gaps.items():
            gaps[group][label] = gap
        return found | {
            "shares": self.shares, "shares_before": self.shares_before, "gaps": gaps, "rows": self.rows,
            "left_out": [*self.left_out],
        }  # fmt: skip


def gold_balance(
    group: Sequence[str],
    labels: Mapping[str, ArrayLike],
    weights: ArrayLike,
    represents: ArrayLike,
    stratum: ArrayLike,
    *,
    groups: Sequence[str],
    shares: Mapping[str, float] | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> GoldBalance:
    """Measure RB and AB on labelled rows.

    Parameters
    ----------
    group : sequence of str (n,)
        What a person saw; rows of none of ``groups`` are masked.
    labels : mapping of name to (n,) bool
        Where each label holds.
    weights : array_like (n,), float64
        Those of the balance, at least 0.
    represents : array_like (n,), float64
        Rows that each labelled row stands for, above 0.
    stratum : array_like (n,), int
    groups : sequence of str
        At least 2.
    shares : mapping of group to its wanted share, optional
        Equal shares unless given.
    draws, seed, level
        Of the bootstrap.

    Raises
    ------
    InputError
        For weights that are none, lengths that differ, or shares that are not of the groups.
    """
    names = tuple(groups)
    truth = np.asarray(group, object)
    m, design = np.asarray(weights, np.float64), np.asarray(represents, np.float64)
    strata = np.unique(np.asarray(stratum), return_inverse=True)[1] if len(truth) else np.zeros(0, np.int64)
    held = {name: np.asarray(values, bool) for name, values in labels.items()}
    if any(len(values) != len(truth) for values in (m, design, strata, *held.values())):
        raise InputError("Labelled rows, weights and labels are not as many.", "Give one of each a row.")
    if not (np.isfinite(m).all() and (m >= 0).all() and (design > 0).all()):
        raise InputError("A weight is below 0, or no number.", "Leave out rows that were set aside.")
    if len(names) < 2:
        raise InputError(f"There are {len(names)} groups.", "A share needs two or more.", value=names)
    wanted = _wanted(names, shares)
    member = np.column_stack([truth == name for name in names]).astype(np.float64)
    there = {name: values for name, values in held.items() if (values & member.any(1)).any()}
    y = np.column_stack([*there.values(), np.ones(len(truth))]).astype(np.float64)
    count = member.sum(0)
    rows = {name: int(n) for name, n in zip(names, count, strict=True)}
    lone = int((np.bincount(strata, minlength=1) == 1).sum()) if len(np.unique(strata)) > 1 else 0
    found: list[tuple[Estimate, Estimate]] = []
    parts = []
    for mass in (design, design * m):
        share, gap = _measures((mass * np.ones((1, len(mass)))), member, y)
        drawn = _bootstrap(mass, strata, member, y, draws, seed)
        parts.append((share[0], gap[0]))
        bias, drawn_bias = np.abs(share - wanted), np.abs(drawn[0] - wanted)
        missing = "" if count.min() > 0 else f"no labelled row is {listed([n for n in names if not rows[n]])}"
        chance = np.abs(drawn[0] - share).max(1)
        rb = _estimate(bias[0].max(), drawn_bias.max(1), chance, count, lone, level, missing)
        if not there:
            ab = Estimate.without("not_estimable", "no labelled row has a label", n=int(count.sum()), level=level)
        else:
            size, drawn_size = np.abs(gap).max((1, 2)), np.abs(drawn[1]).max((1, 2))
            ab = _estimate(size[0], drawn_size, np.abs(drawn[1] - gap).max((1, 2)), count, lone, level, missing)
        found.append((rb, ab))
    (share_before, _), (share, gap) = parts
    gaps = {
        (k, r): float(gap[i, j]) for i, k in enumerate(names) for j, r in enumerate(there) if np.isfinite(gap[i, j])
    }
    return GoldBalance(
        *found[1], *found[0], _named(names, share), _named(names, share_before), gaps, rows,
        tuple(name for name in held if name not in there),
    )  # fmt: skip


def _wanted(names: tuple[str, ...], shares: Mapping[str, float] | None) -> Floats:
    if shares is None:
        return np.full(len(names), 1 / len(names))
    found = np.array([float(shares.get(name, np.nan)) for name in names])
    if set(shares) != set(names) or not np.isclose(found.sum(), 1) or (found < 0).any():
        raise InputError(
            f"The wanted shares are {dict(shares)}.",
            f"Give one for each of {listed(names)}; they sum to 1.",
            value=shares,
        )
    return found


def _measures(mass: Floats, member: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return shares (D, G) and gaps (D, G, L) of D sets of masses (D, n); the last column of ``y`` is all rows."""
    joint = (member[:, :, None] * y[:, None, :]).reshape(len(member), -1)
    sums = (mass @ joint).reshape(len(mass), member.shape[1], y.shape[1])
    rest = sums.sum(1, keepdims=True) - sums
    gap = _divided(sums[..., :-1], sums[..., -1:]) - _divided(rest[..., :-1], rest[..., -1:])
    return _divided(sums[..., -1], sums[..., -1].sum(1, keepdims=True)), gap


def _divided(one: Floats, other: Floats) -> Floats:
    """Return the quotient, NaN where nothing is left to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(other > 0, one / other, np.nan)


def _bootstrap(
    mass: Floats, strata: NDArray[Any], member: Floats, y: Floats, draws: int, seed: int
) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(strata == number) for number in np.unique(strata)]
    size = max(1, CELLS // max(len(mass), 1))
    parts = []
    for start in range(0, draws, size):
        some = min(size, draws - start)
        factor = np.ones((some, len(mass)))
        for rows in places:
            n = len(rows)
            if n > 1:
                factor[:, rows] = rng.multinomial(n - 1, np.full(n, 1 / n), size=some) * (n / (n - 1))
        parts.append(_measures(factor * mass, member, y))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _estimate(
    value: float, drawn: Floats, chance: Floats, count: Floats, lone: int, level: float, missing: str
) -> Estimate:
    n = int(count.sum())
    if missing or not np.isfinite(value):
        return Estimate.without("not_estimable", missing or "no weight of a group is left", n=n, level=level)
    low, high = bootstrap_interval(value, drawn, level, bounds=(0.0, 1.0))
    if not np.isfinite(low + high):
        return Estimate.without("not_estimable", "too many draws have no row of a group", n=n, level=level)
    reasons = [f"{int(count.min())} labelled rows of a group"] if count.min() < FEW else []
    reasons += [f"{lone} strata have one labelled row, whose chance is not in the interval"] if lone else []
    status: Status = "weak" if reasons else "ok"
    return Estimate(
        float(value), min(float(low), float(value)), max(float(high), float(value)), level=level, n=n,
        null_value=float(np.nanmean(chance)), status=status, reason="; ".join(reasons),
    )  # fmt: skip


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True) if np.isfinite(value)}
