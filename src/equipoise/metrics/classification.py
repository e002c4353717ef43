"""Rates of a classifier by group, their gaps, and the area under the ROC curve.

Notation: y the label, p the prediction, G groups a. Rates are functions of the counts by group, label and prediction;
for more than two labels the true and false positive rate and the selection rate are those of the positive label
against the rest. A gap is max - min over the groups that take part, as in fairlearn (Bird et al. 2020): fields differ
on what "equalised odds" or "demographic parity" is, so each gap carries its convention as ``protocol``.

Without a positive label the rates that need one are NaN. Weighted counts give weighted rates; their closed-form
intervals then need counts scaled to the effective number of rows.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics import gaps
from equipoise.protocols import Counts, Floats, Metric, MetricDescriptor
from equipoise.stats.delong import auc_interval
from equipoise.stats.intervals import Interval, ratio_interval, wilson

RATE_MARGIN = 0.02
ACCURACY_MARGIN = 0.01
AUC_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class GroupAuc:
    """Areas under the ROC curve by group.

    Attributes
    ----------
    auc : ndarray (..., G), float64
        In [0, 1], ties counted half; NaN where a group shows one class only.
    n_pos, n_neg : ndarray (..., G)
        Rows of the positive and of the other labels.
    valid : ndarray (G,), bool
        Groups with enough rows to take part in a gap.
    var : ndarray (..., G), float64, optional
        DeLong's variance of each area; without it there is no closed-form interval.
    """

    auc: Floats
    n_pos: NDArray[Any]
    n_neg: NDArray[Any]
    valid: NDArray[np.bool_]
    var: Floats | None = None


def _descriptor(
    name: str,
    protocol: str,
    title: str,
    formula: str,
    source: str,
    *,
    evidence: Literal["counts", "auc"] = "counts",
    role: Literal["bias", "utility"] = "bias",
    direction: Literal["lower", "higher"] = "lower",
    margin: float = RATE_MARGIN,
    unit: str = "share in [0, 1]",
    per_group: bool = False,
    sides: str = "",
) -> MetricDescriptor:
    return MetricDescriptor(
        name=name, protocol=protocol, evidence=evidence, role=role, direction=direction, signed=False, margin=margin,
        unit=unit, formula=formula, source=source, per_group=per_group, title=title, sides=sides,
    )  # fmt: skip


def confusion(evidence: Counts) -> tuple[Floats, Floats, Floats, Floats]:
    """Return true positives, false positives, positives, negatives, (..., G) each; zeros without a positive label."""
    counts = np.asarray(evidence.counts, dtype=np.float64)
    if evidence.positive is None:
        nothing = np.zeros(counts.shape[:-2])
        return nothing, nothing, nothing, nothing
    rest = np.arange(counts.shape[-2]) != evidence.positive
    chosen = counts[..., :, evidence.positive]
    hits, alarms = chosen[..., evidence.positive], chosen[..., rest].sum(-1)
    return hits, alarms, counts[..., evidence.positive, :].sum(-1), counts[..., rest, :].sum((-2, -1))


class Rate(Metric):
    """A share of the rows of each group; (..., G), NaN where a group has no such rows. Interval: Wilson."""

    @staticmethod
    @abstractmethod
    def cells(evidence: Counts) -> tuple[Floats, Floats]:
        """Return numerator and denominator, each (..., G)."""

    def statistic(self, evidence: Counts) -> Floats:
        """Return the rate of each group, (..., G)."""
        return gaps.divide(*self.cells(evidence))

    def interval(self, evidence: Counts, level: float) -> Interval:
        """Return Wilson limits of each group's rate."""
        return wilson(*self.cells(evidence), level)

    def counted(self, evidence: Counts) -> tuple[Floats, Floats]:
        """Return numerator and denominator of each group's rate."""
        return self.cells(evidence)


class RateGap(Metric):
    """max - min of a rate over the groups that take part; (...), NaN with fewer than two.

    Interval: Newcombe for two groups, folded to the absolute difference; for more, limits from simultaneous Wilson
    intervals, which are conservative.
    """

    rate: ClassVar[type[Rate]]

    def statistic(self, evidence: Counts) -> Floats:
        """Return the gap over groups, (...)."""
        return gaps.spread(gaps.divide(*self.rate.cells(evidence)), evidence.valid)

    def interval(self, evidence: Counts, level: float) -> Interval:
        """Return limits of the gap."""
        hits, rows = self.rate.cells(evidence)
        return gaps.spread_limits(gaps.divide(hits, rows), lambda each: wilson(hits, rows, each), evidence.valid, level)

    def behind(self, evidence: Counts) -> Floats:
        """Return the denominator of each group's rate."""
        return self.rate.cells(evidence)[1]


class Accuracy(Rate):
    """Share of the rows of a group whose prediction is the label."""

    descriptor = _descriptor(
        "accuracy", "zero_one", "accuracy", "P(p = y | a)", "share of correct predictions (zero-one loss)",
        role="utility", direction="higher", margin=ACCURACY_MARGIN, per_group=True,
    )  # fmt: skip

    @staticmethod
    def cells(evidence: Counts) -> tuple[Floats, Floats]:
        """Return correct rows and rows."""
        counts = np.asarray(evidence.counts, dtype=np.float64)
        return np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1))


class TruePositiveRate(Rate):
    """Share of a group's positives that are predicted positive."""

    null_within_label = True
    descriptor = _descriptor(
        "tpr", "one_vs_rest", "true positive rate", "P(p = positive | y = positive, a)", "sensitivity, recall",
        direction="higher", per_group=True,
    )  # fmt: skip

    @staticmethod
    def cells(evidence: Counts) -> tuple[Floats, Floats]:
        """Return true positives and positives."""
        hits, _, positives, _ = confusion(evidence)
        return hits, positives


class FalsePositiveRate(Rate):
    """Share of a group's negatives that are predicted positive."""

    null_within_label = True
    descriptor = _descriptor(
        "fpr", "one_vs_rest", "false positive rate", "P(p = positive | y != positive, a)", "fall-out, 1 - specificity",
        per_group=True,
    )  # fmt: skip

    @staticmethod
    def cells(evidence: Counts) -> tuple[Floats, Floats]:
        """Return false positives and negatives."""
        _, alarms, _, negatives = confusion(evidence)
        return alarms, negatives


class SelectionRate(Rate):
    """Share of a group's rows that are predicted positive; being selected counts as the favourable outcome."""

    descriptor = _descriptor(
        "selection_rate", "one_vs_rest", "selection rate", "P(p = positive | a)",
        "selection rate of 29 CFR 1607.16 R (selection is the favourable outcome)", direction="higher", per_group=True,
    )  # fmt: skip

    @staticmethod
    def cells(evidence: Counts) -> tuple[Floats, Floats]:
        """Return rows predicted positive and rows."""
        hits, alarms, positives, negatives = confusion(evidence)
        return hits + alarms, positives + negatives


class AccuracyGap(RateGap):
    """Largest difference of accuracy between groups."""

    rate = Accuracy
    descriptor = _descriptor(
        "accuracy_gap", "overall_accuracy_equality", "largest difference of accuracy", "max_a - min_a P(p = y | a)",
        "overall accuracy equality, Berk et al. (2021), Sociol. Methods Res. 50:3-44; max - min as in fairlearn",
        sides="accuracy",
    )  # fmt: skip


class TruePositiveRateGap(RateGap):
    """Largest difference of the true positive rate between groups: equal opportunity."""

    rate = TruePositiveRate
    null_within_label = True
    descriptor = _descriptor(
        "tpr_gap", "equal_opportunity", "largest difference of true positive rate",
        "max_a - min_a P(p = positive | y = positive, a)",
        "equal opportunity, Hardt, Price & Srebro (2016), NeurIPS; max - min as in fairlearn", sides="tpr",
    )  # fmt: skip


class FalsePositiveRateGap(RateGap):
    """Largest difference of the false positive rate between groups: predictive equality."""

    rate = FalsePositiveRate
    null_within_label = True
    descriptor = _descriptor(
        "fpr_gap", "predictive_equality", "largest difference of false positive rate",
        "max_a - min_a P(p = positive | y != positive, a)",
        "predictive equality, Corbett-Davies et al. (2017), KDD; max - min as in fairlearn", sides="fpr",
    )  # fmt: skip


class SelectionRateGap(RateGap):
    """Largest difference of the selection rate between groups: demographic parity of decisions, labels unseen."""

    rate = SelectionRate
    descriptor = _descriptor(
        "selection_rate_gap", "demographic_parity", "largest difference of selection rate",
        "max_a - min_a P(p = positive | a)",
        "demographic parity, Dwork et al. (2012), ITCS; max - min as in fairlearn", sides="selection_rate",
    )  # fmt: skip


class ImpactRatio(Metric):
    """Smallest selection rate over the largest: the four-fifths rule compares it with 0.8.

    Interval: the ratio interval of two independent groups (Katz), folded so that the smaller rate stands above the
    line; for more groups, from simultaneous Wilson limits, which is conservative. NaN where nobody is selected.
    """

    descriptor = _descriptor(
        "impact_ratio", "four_fifths", "smallest selection rate over the largest",
        "min_a P(p = positive | a) / max_a P(p = positive | a)", "four-fifths rule, 29 CFR 1607.4 D (1978)",
        direction="higher", unit="ratio in [0, 1], 1 is parity", sides="selection_rate",
    )  # fmt: skip

    def statistic(self, evidence: Counts) -> Floats:
        """Return the ratio over groups, (...)."""
        rates = gaps.divide(*SelectionRate.cells(evidence))
        taking_part, enough = gaps.participants(rates, evidence.valid)
        top = np.where(enough, gaps.largest(rates, taking_part), 0.0)
        return gaps.divide(np.where(enough, gaps.smallest(rates, taking_part), 0.0), top)

    def interval(self, evidence: Counts, level: float) -> Interval:
        """Return limits of the ratio, within [0, 1]."""
        hits, rows = SelectionRate.cells(evidence)
        groups = np.flatnonzero(evidence.valid)
        if groups.size == 2:
            one, two = groups
            low, high = ratio_interval(hits[..., one], rows[..., one], hits[..., two], rows[..., two], level)
            with np.errstate(divide="ignore"):
                turned_low, turned_high = 1 / high, 1 / low
            high = np.where((low <= 1) & (high >= 1), 1.0, np.minimum(high, turned_high))
            low = np.minimum(low, turned_low)
        else:
            taking_part = np.asarray(evidence.valid, dtype=bool) & (rows > 0)
            lows, highs = wilson(hits, rows, gaps.each_level(level, groups.size))
            low = gaps.divide(gaps.smallest(lows, taking_part), gaps.largest(highs, taking_part))
            with np.errstate(divide="ignore", invalid="ignore"):
                high = np.minimum(gaps.smallest(highs, taking_part) / gaps.largest(lows, taking_part), 1.0)
        defined = ~np.isnan(self.statistic(evidence))
        return np.where(defined, low, np.nan), np.where(defined, high, np.nan)

    def behind(self, evidence: Counts) -> Floats:
        """Return the rows of each group."""
        return SelectionRate.cells(evidence)[1]


class Auc(Metric):
    """Area under the ROC curve within each group. Interval: DeLong on the logit scale."""

    descriptor = _descriptor(
        "auc", "mann_whitney", "area under the ROC curve",
        "P(s+ > s- | a) + P(s+ = s- | a) / 2, s+ and s- scores of a positive and a negative row of the group",
        "Hanley & McNeil (1982), Radiology 143:29-36; interval DeLong et al. (1988), Biometrics 44:837-845",
        evidence="auc", role="utility", direction="higher", margin=AUC_MARGIN,
        unit="probability in [0, 1], 0.5 is chance", per_group=True,
    )  # fmt: skip

    def statistic(self, evidence: GroupAuc) -> Floats:
        """Return the area of each group, (..., G)."""
        return np.asarray(evidence.auc, dtype=np.float64)

    def interval(self, evidence: GroupAuc, level: float) -> Interval | None:
        """Return DeLong limits where the evidence carries variances, else None."""
        if evidence.var is None:
            return None
        return auc_interval(evidence.auc, evidence.var, evidence.n_pos, evidence.n_neg, level)

    def behind(self, evidence: GroupAuc) -> Floats:
        """Return the rows of each group's rarer class."""
        return np.minimum(evidence.n_pos, evidence.n_neg)


class AucGap(Metric):
    """Largest difference of the area under the ROC curve between groups.

    Interval: square-and-add of DeLong's logit limits for two groups, folded; simultaneous limits for more.
    """

    descriptor = _descriptor(
        "auc_gap", "within_group_auc", "largest difference of AUC", "max_a - min_a AUC_a, AUC_a within group a",
        "as in Gerych et al. (2024), NeurIPS (Bend-VLM); positives of a group against negatives of the same group",
        evidence="auc", margin=AUC_MARGIN, unit="difference of AUC in [0, 1]", sides="auc",
    )  # fmt: skip

    def statistic(self, evidence: GroupAuc) -> Floats:
        """Return the gap over groups with both classes, (...)."""
        return gaps.spread(np.asarray(evidence.auc, dtype=np.float64), evidence.valid)

    def interval(self, evidence: GroupAuc, level: float) -> Interval | None:
        """Return limits of the gap where the evidence carries variances, else None."""
        auc, var, n_pos, n_neg = evidence.auc, evidence.var, evidence.n_pos, evidence.n_neg
        if var is None:
            return None
        return gaps.spread_limits(auc, lambda each: auc_interval(auc, var, n_pos, n_neg, each), evidence.valid, level)

    def behind(self, evidence: GroupAuc) -> Floats:
        """Return the rows of each group's rarer class."""
        return np.minimum(evidence.n_pos, evidence.n_neg)
