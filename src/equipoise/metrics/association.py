"""How a query leans towards groups by its scores alone, without a cut at k.

Notation: s_i = cos(query, image i); per group a: n_a rows, mean m_a, population variance v_a of s; |c_a| the length of
the mean of the group's unit image embeddings. The images are those of the audit, never the ones a method was fitted on:
on those the bias of a debiased query is 0 by construction.
"""

from __future__ import annotations

import numpy as np

from equipoise.metrics import gaps
from equipoise.protocols import Floats, Metric, MetricDescriptor, Moments
from equipoise.stats.intervals import Interval, cohen_d_interval, normal_interval

COSINE_BIAS_MARGIN = 0.01
SCORE_GAP_MARGIN = 0.10


def group_cosines(evidence: Moments) -> Floats:
    """Return cos(query, mean image of group a) = m_a / |c_a|, (..., G); NaN where the length is 0 or not known."""
    return gaps.divide(_mean(evidence), np.broadcast_to(np.asarray(evidence.norm, np.float64), np.shape(evidence.mean)))


class CosineBias(Metric):
    """Largest difference between groups of the cosine of a query and the group's mean image.

    Interval: normal limits of each group's mean with the lengths |c_a| as they are; two groups combined by
    square-and-add and folded, more groups simultaneous and conservative.
    """

    descriptor = MetricDescriptor(
        name="cosine_bias",
        protocol="group_mean_cosine",
        evidence="moments",
        role="bias",
        direction="lower",
        signed=False,
        margin=COSINE_BIAS_MARGIN,
        unit="difference of cosines in [0, 2]",
        formula="max_a - min_a cos(v, c_a), c_a the mean image embedding of group a",
        source="bias of Gerych et al. (2026), ICLR (WRING), section 3, max - min over all groups",
        title="largest difference of cosine to the groups' mean images",
    )

    def statistic(self, evidence: Moments) -> Floats:
        """Return the spread over groups, (...)."""
        return gaps.spread(group_cosines(evidence), evidence.valid)

    def interval(self, evidence: Moments, level: float) -> Interval:
        """Return limits of the spread."""
        values = group_cosines(evidence)
        error = gaps.divide(_standard_errors(evidence), np.broadcast_to(evidence.norm, values.shape))
        return gaps.spread_limits(values, lambda each: normal_interval(values, error, each), evidence.valid, level)


class StandardisedScoreGap(Metric):
    """Largest difference between groups of the mean score, in standard deviations within groups; free of scale.

    Rescaling a query, or all its scores, changes no ranking and no score gap. Interval: Hedges &
    Olkin for two groups, folded; simultaneous normal limits of the means, the deviation taken as it is, for more.
    """

    descriptor = MetricDescriptor(
        name="score_gap",
        protocol="pooled_sd",
        evidence="moments",
        role="bias",
        direction="lower",
        signed=False,
        margin=SCORE_GAP_MARGIN,
        unit="standard deviations within groups",
        formula="(max_a m_a - min_a m_a) / s, s^2 = sum_a n_a v_a / (sum_a n_a - G) over the groups that take part",
        source="Cohen's d (1988) with the pooled deviation, max - min over all groups",
        title="largest difference of mean score, standardised",
        secondary=True,
    )

    def statistic(self, evidence: Moments) -> Floats:
        """Return the standardised gap over groups, (...); NaN where scores do not vary within groups."""
        return gaps.divide(gaps.spread(_mean(evidence), evidence.valid), self.deviation(evidence))

    def interval(self, evidence: Moments, level: float) -> Interval:
        """Return limits of the standardised gap."""
        values, deviation = _mean(evidence), self.deviation(evidence)
        scaled = gaps.divide(values, deviation[..., None])
        groups = np.flatnonzero(evidence.valid)
        if groups.size == 2:
            one, two = groups
            n = np.broadcast_to(np.asarray(evidence.n, np.float64), values.shape)
            low, high = cohen_d_interval(scaled[..., one] - scaled[..., two], n[..., one], n[..., two], level)
            return gaps.folded(low, high)
        error = gaps.divide(_standard_errors(evidence), deviation[..., None])
        return gaps.spread_limits(scaled, lambda each: normal_interval(scaled, error, each), evidence.valid, level)

    @staticmethod
    def deviation(evidence: Moments) -> Floats:
        """Return the pooled standard deviation within the groups that take part, (...); NaN where it is 0."""
        values = _mean(evidence)
        taking_part, enough = gaps.participants(values, evidence.valid)
        n = np.where(taking_part, np.broadcast_to(evidence.n, values.shape), 0.0)
        squares = np.where(taking_part, n * np.asarray(evidence.var, np.float64), 0.0).sum(-1)
        freedom = n.sum(-1) - taking_part.sum(-1)
        usable = enough & (freedom > 0) & (squares > 0)
        return np.sqrt(np.where(usable, squares, np.nan) / np.where(usable, freedom, 1.0))


def _mean(evidence: Moments) -> Floats:
    """Return m_a, NaN where a group has no rows."""
    mean = np.asarray(evidence.mean, dtype=np.float64)
    return np.where(np.broadcast_to(evidence.n, mean.shape) > 0, mean, np.nan)


def _standard_errors(evidence: Moments) -> Floats:
    """Return the standard error sqrt(v_a / (n_a - 1)) of each mean; NaN where a group has fewer than two rows."""
    n = np.broadcast_to(np.asarray(evidence.n, np.float64), np.shape(evidence.mean))
    return np.sqrt(np.asarray(evidence.var, np.float64) / np.where(n > 1, n - 1, np.nan))
