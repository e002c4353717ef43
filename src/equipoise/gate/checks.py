"""One row held against one limit: what :mod:`equipoise.gate` counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from equipoise.gate.policy import Limit, Policy, best_value
from equipoise.registry import METRICS

if TYPE_CHECKING:
    import pyarrow as pa

Outcome = Literal["pass", "fail", "insufficient"]
_ALPHA = 0.05
_NO_NUMBERS = (math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Check:
    """One row held against one limit.

    Attributes
    ----------
    metric, protocol, attribute, family : str
        The row; of a limit that covers no row, what the policy names.
    rule : str
        ``targeted`` | ``untargeted`` (no policy), ``max_bias`` | ``max_increase`` | ``min_group_n``.
    limit : float
        In the unit of the metric, or rows.
    value, low, high : float
        What is held against the limit: the growth of harm, the size of the bias, or the rows of the smallest group; NaN where
        there is none.
    outcome : str
        ``pass`` | ``fail`` | ``insufficient``.
    reason : str
        One clause that says why.
    """

    metric: str
    protocol: str
    attribute: str
    family: str
    rule: str
    limit: float
    value: float
    low: float
    high: float
    outcome: Outcome
    reason: str

    @property
    def name(self) -> str:
        """What a person calls the row: ``max_skew@200 of gender (occupations)``."""
        text = f"{self.metric} of {self.attribute}" if self.attribute else self.metric
        return f"{text} ({self.family})" if self.family not in ("", "*") else text


def rows_of(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table whose columns equal what is wanted."""
    import pyarrow.compute as pc

    for name, value in wanted.items():
        table = table.filter(pc.field(name) == value)
    return table.to_pylist()


def smallest_groups(estimates: pa.Table) -> dict[str, int]:
    """Return the rows of the smallest group by attribute, from the estimates that speak of one group."""
    found: dict[tuple[str, str], int] = {}
    for row in rows_of(estimates, query="", arm="main"):
        if row["attribute"] and row["group"]:
            key = (row["attribute"], row["group"])
            found[key] = max(found.get(key, 0), row["n"] or 0)
    smallest: dict[str, int] = {}
    for (attribute, _), n in found.items():
        smallest[attribute] = min(n, smallest.get(attribute, n))
    return smallest


def verdict_check(row: Mapping[str, Any]) -> Check:
    """Judge a gated row of a ledger by its verdict: the gate without a policy."""
    change, low, high = (_number(row[name]) for name in ("change", "change_low", "change_high"))
    margin, verdict = _number(row["margin"]), row["verdict"]
    outcome: Outcome = "insufficient"
    if row["targeted"]:
        reason = "too little evidence that the targeted bias moved"
        if verdict == "improved":
            outcome, reason = "pass", "the targeted bias improved"
        elif verdict in ("worse", "unchanged"):
            outcome, reason = "fail", f"the targeted bias is {verdict}"
    elif verdict == "worse" and low > margin:
        outcome, reason = "fail", "worse by more than the margin"
    elif high < margin:
        outcome, reason = "pass", "any growth of harm lies under the margin"
    elif verdict == "worse":
        reason = "worse, but not shown to be by more than the margin"
    else:
        reason = "a growth of harm beyond the margin is not ruled out"
    if outcome == "insufficient" and row["reason"]:
        reason = f"{reason}: {row['reason']}"
    return _check(row, "targeted" if row["targeted"] else "untargeted", margin, (change, low, high), outcome, reason)


def ledger_checks(policy: Policy, rows: list[dict[str, Any]]) -> list[Check]:
    """Hold the gated rows of a ledger against a policy."""
    checks = []
    for limit, rule, top, row in _covered(policy, rows):
        if row is None:
            checks.append(_nothing_measured(limit, rule, top, paired=True))
        elif rule == "min_group_n":
            checks.append(_group_check(row, top, row["n_min"]))
        elif rule == "max_increase":
            numbers = (_number(row["change"]), _number(row["change_low"]), _number(row["change_high"]))
            shown = row["verdict"] == "worse"
            checks.append(_interval_check(row, rule, top, numbers, shown, "it is not significant after correction"))
        else:
            numbers = _size(row["metric"], row["after"], row["after_low"], row["after_high"])
            chance = _size(row["metric"], row["null_after"], None, None)[0]
            beyond = numbers[1] - (0.0 if math.isnan(chance) else max(0.0, chance))
            checks.append(_interval_check(row, rule, top, numbers, beyond > top, "chance alone may explain it"))
    return checks


def audit_checks(policy: Policy, rows: list[dict[str, Any]], smallest: Mapping[str, int]) -> list[Check]:
    """Hold the mean and gap rows of an audit against a policy; the p of its ``max_bias`` rows are one Holm family."""
    from equipoise.stats.multiplicity import holm

    covered = list(_covered(policy, rows))
    tested = {id(row): _number(row["p"]) for _, rule, _, row in covered if rule == "max_bias" and row is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())).tolist(), strict=True))
    checks = []
    for limit, rule, top, row in covered:
        if row is None:
            checks.append(_nothing_measured(limit, rule, top))
        elif rule == "min_group_n":
            checks.append(_group_check(row, top, smallest.get(row["attribute"])))
        elif rule == "max_increase":
            why = "an audit has no before: gate a ledger of `compare`"
            checks.append(_check(row, rule, top, _NO_NUMBERS, "insufficient", why))
        else:
            p = adjusted[id(row)]
            numbers = _size(row["metric"], row["value"], row["low"], row["high"])
            explained = f"chance alone may explain it (p {p:.2g} after correction)"
            checks.append(_interval_check(row, rule, top, numbers, math.isnan(p) or p < _ALPHA, explained))
    return checks


def _covered(policy: Policy, rows: list[dict[str, Any]]) -> Iterator[tuple[Limit, str, float, dict[str, Any] | None]]:
    """Yield (limit, rule, value of the limit, row); row is None where a limit covers none."""
    for limit in policy.limit:
        covered = [row for row in rows if limit.covers(row)]
        for rule in ("max_increase", "max_bias", "min_group_n"):
            top = getattr(limit, rule)
            if top is not None:
                for row in covered or [None]:
                    yield limit, rule, float(top), row


def _nothing_measured(limit: Limit, rule: str, top: float, *, paired: bool = False) -> Check:
    row = {"metric": limit.metric, "protocol": limit.protocol, "attribute": limit.attribute, "family": limit.family}
    reason = "nothing of this kind was measured"
    if paired and METRICS.load(limit.metric.partition("@")[0]).descriptor.secondary:
        reason = "a ledger gates no family of this metric: limit its max_bias and gate the audit"
    return _check(row, rule, top, _NO_NUMBERS, "insufficient", reason)


def _interval_check(
    row: Mapping[str, Any], rule: str, top: float, numbers: tuple[float, float, float], shown: bool, not_shown: str
) -> Check:
    """Hold an interval against a limit: above it and shown to be real fails, under it passes."""
    value, low, high = numbers
    outcome: Outcome = "insufficient"
    if math.isnan(value):
        reason = row["reason"] or "there is no value"
    elif math.isnan(low) or math.isnan(high):
        reason = "there is no interval"
    elif high < top:
        outcome, reason = "pass", "the interval lies under the limit"
    elif low > top and shown:
        outcome, reason = "fail", "the interval lies above the limit"
    elif low > top:
        reason = f"the interval lies above the limit, but {not_shown}"
    else:
        reason = "the limit lies inside the interval"
    return _check(row, rule, top, numbers, outcome, reason)


def _group_check(row: Mapping[str, Any], least: float, n: int | None) -> Check:
    if n is None:
        return _check(row, "min_group_n", least, _NO_NUMBERS, "insufficient", "the sizes of the groups are not known")
    outcome: Outcome = "pass" if n >= least else "insufficient"
    return _check(
        row, "min_group_n", least, (float(n), float(n), float(n)), outcome, f"the smallest group has {n} rows"
    )


def _size(metric: str, value: float | None, low: float | None, high: float | None) -> tuple[float, float, float]:
    """Return the size of a bias and its limits: 0 is best whatever the metric's own scale."""
    descriptor = METRICS.load(metric.partition("@")[0]).descriptor
    value, low, high = _number(value), _number(low), _number(high)
    if descriptor.signed:
        least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        return abs(value), least, max(abs(low), abs(high))
    if descriptor.direction == "higher":
        best = best_value(descriptor)
        return best - value, best - high, best - low
    return value, low, high


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _check(
    row: Mapping[str, Any], rule: str, limit: float, numbers: tuple[float, float, float], outcome: Outcome, reason: str
) -> Check:
    return Check(
        row["metric"], row["protocol"], row["attribute"], row["family"], rule, limit, *numbers, outcome, reason
    )
