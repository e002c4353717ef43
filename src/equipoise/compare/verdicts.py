"""From changes with standard errors to verdicts: tests, corrections, equivalence, and the words of the contract.

Gated rows (main arm, no single query or group) are one Holm family; all others are exploratory, Benjamini-Hochberg.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.errors import InputError, UnknownNameError, did_you_mean
from equipoise.protocols import MetricDescriptor
from equipoise.registry import METRICS
from equipoise.stats import (
    benjamini_hochberg,
    bootstrap_interval,
    holm,
    minimum_detectable_effect,
    normal_interval,
    standard_error,
    two_sided_p,
)

ALPHA = 0.05
EQUIVALENCE_LEVEL = 0.90
LEVEL = 0.95
ROUNDING = 1e-6


def tested(change: float, draws: Any) -> dict[str, Any]:
    """Return limits, p and detectable effect of a change from its paired bootstrap draws.

    The limits are normal, on the bootstrap's standard error, so that they and p agree.
    """
    return from_error(change, float(standard_error(np.asarray(draws, np.float64))))


def from_error(change: float, se: float) -> dict[str, Any]:
    """Return limits, p and detectable effect of a change from its standard error."""
    if not np.isfinite(change):
        return {"change": np.nan, "reason": "not estimable on both sides"}
    if not np.isfinite(se):
        return {"change": change, "reason": "too few resamples have a value: no error can be formed"}
    if abs(change) < ROUNDING and se < ROUNDING:
        change, se = 0.0, 0.0  # vectors that were left alone differ by rounding only
    if se == 0 and change != 0:
        return {"change": change, "reason": "the change is the same in every resample: no error of it can be formed"}
    low, high = normal_interval(change, se, LEVEL)
    eq_low, eq_high = normal_interval(change, se, EQUIVALENCE_LEVEL)
    return {
        "change": change, "change_low": float(low), "change_high": float(high), "eq_low": float(eq_low),
        "eq_high": float(eq_high), "p": float(two_sided_p(change, se)), "mde": float(minimum_detectable_effect(se)),
    }  # fmt: skip


def changed_sides(before: float, before_draws: Any, after: float, after_draws: Any) -> bool:
    """Return whether a signed bias is shown to lie on one side before and on the other after."""
    if not (np.isfinite(before) and np.isfinite(after)) or before * after >= 0:
        return False
    limits = [
        bootstrap_interval(np.asarray(value), np.asarray(draws, np.float64), LEVEL)
        for value, draws in ((before, before_draws), (after, after_draws))
    ]
    return all(float(low) > 0 or float(high) < 0 for low, high in limits)


def judge(rows: list[dict[str, Any]]) -> None:
    """Fill ``p_adj`` and ``verdict`` of ledger rows in place."""
    gated = np.asarray([bool(row["gated"]) for row in rows], bool)
    p = np.asarray([row.get("p", np.nan) for row in rows], np.float64)
    adjusted = np.full(p.size, np.nan)
    adjusted[gated] = holm(p[gated]) if gated.any() else []
    adjusted[~gated] = benjamini_hochberg(p[~gated]) if (~gated).any() else []
    for row, value in zip(rows, adjusted, strict=True):
        row["p_adj"] = float(value)
        row["verdict"] = verdict(row)


def verdict(row: dict[str, Any]) -> str:
    """Return the word for one row."""
    change, p = row.get("change", np.nan), row["p_adj"]
    if not np.isfinite(change) or not np.isfinite(row.get("eq_low", np.nan)):
        return "insufficient"
    if np.isfinite(p) and p < ALPHA and change != 0:
        return "worse" if change > 0 else "improved"
    if -row["margin"] < row["eq_low"] and row["eq_high"] < row["margin"]:
        return "unchanged"
    return "insufficient"


class Margins:
    """Equivalence margins by metric: the descriptors' own, or those that were set.

    Parameters
    ----------
    given : dict of str to float, optional
        By metric name, with or without ``@k``.
    """

    def __init__(self, given: dict[str, float] | None = None) -> None:
        self.given = dict(given or {})
        self.used: dict[str, float] = {}
        for name, value in self.given.items():
            bare = name.partition("@")[0]
            if bare not in METRICS:
                raise UnknownNameError(
                    f"There is no metric '{name}' to set a margin for.{did_you_mean(bare, METRICS)}",
                    "See 'equipoise ls metrics'.", value=name,
                )  # fmt: skip
            if not (isinstance(value, (int, float)) and 0 < value <= 1):
                raise InputError(
                    f"The margin of '{name}' is {value!r}.",
                    "Give a number above 0 and at most 1, as 0.05.",
                    value=value,
                )

    def of(self, descriptor: MetricDescriptor, k: int | None) -> float:
        """Return the margin of a metric."""
        name = descriptor.called(k)
        value = float(self.given.get(name, self.given.get(descriptor.name, descriptor.margin)))
        self.used[name] = value
        return value

    def unused(self) -> list[str]:
        """Return the margins that were set for metrics of which there is no row, once all rows are made.

        Raises
        ------
        InputError
            If a margin names another ``@k`` than the rows have: it would be ignored.
        """
        found = {name.partition("@")[0]: name for name in self.used}
        left = [name for name in self.given if name not in self.used and name not in found]
        for name in left:
            if "@" in name and (there := found.get(name.partition("@")[0])):
                raise InputError(
                    f"There is no '{name}' to set a margin for; the audits have '{there}'.",
                    f"Name '{there}', or '{name.partition('@')[0]}' for any k.",
                    value=name,
                )
        return left
