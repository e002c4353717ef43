"""Bias of data: shares of groups, and how much labels depend on them, of rows with weights.

Alabdulmohsin et al., "CLIP the Bias: How Useful is Balancing Data in Multimodal Learning?", ICLR 2024, arXiv 2403.04547.
With weights w, E_w the weighted mean over the rows in which a group of the attribute holds, s_k a group, pi_k its wanted
share, y_r a label:

    RB = max_k |E_w[s_k] - pi_k|                    AB = max_kr |E_w[y_r | s_k = 1] - E_w[y_r | s_k = 0]|
    share error = max_kr |E_w[s_k | y_r] - pi_kr|   ESS = (sum w)^2 / (N sum w^2)

All are exact numbers of the data at hand: they have no sampling error, only the rows they are of.

Notation: G groups, R = L + 1 columns of labels, the last of which stands for every row; ``...`` leading axes (arms).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.gaps import divide
from equipoise.protocols import Floats, Metric, MetricDescriptor

SOURCE = "Alabdulmohsin et al. 2024 (CLIP the Bias), section on data"
OURS = "equipoise, after Alabdulmohsin et al. 2024"


@dataclass(frozen=True, slots=True)
class GroupSums:
    """Weight of the rows of each group inside each label.

    Attributes
    ----------
    group : ndarray (..., G, R), float64
        Sum of weights; the last column is over all rows of the group.
    inside : ndarray (..., R), float64
        The same over all rows in which some group holds.
    rows : ndarray (G, R), float64
        Rows without weights.
    wanted : ndarray (G, R), float64
        Wanted shares; NaN where none is wanted.
    valid : ndarray (G,), bool
        Groups that take part in a largest value.
    """

    group: Floats
    inside: Floats
    rows: Floats
    wanted: Floats
    valid: NDArray[np.bool_]

    def only(self, label: int) -> GroupSums:
        """Return the sums of one label, and of all rows."""
        columns = [label % self.rows.shape[1], self.rows.shape[1] - 1]
        return replace(
            self, group=self.group[..., columns], inside=self.inside[..., columns], rows=self.rows[:, columns],
            wanted=self.wanted[:, columns],
        )  # fmt: skip

    @property
    def share(self) -> Floats:
        """Return (..., G, R) the share of each group inside each label."""
        return divide(self.group, self.inside[..., None, :])

    @property
    def gaps(self) -> Floats:
        """Return (..., G, L) signed differences of label rates: in the group minus outside it."""
        own, rest = self.group, self.inside[..., None, :] - self.group
        return divide(own[..., :-1], own[..., -1:]) - divide(rest[..., :-1], rest[..., -1:])


@dataclass(frozen=True, slots=True)
class WeightSums:
    """What a set of weights is like.

    Attributes
    ----------
    rows : float
        N, rows without weights.
    kept, squares, largest : ndarray (...), float64
        Sum, sum of squares and largest of the weights.
    before : ndarray (L,), float64
        Rows of each label without weights.
    after : ndarray (..., L), float64
        Weight of each label.
    """

    rows: Floats
    kept: Floats
    squares: Floats
    largest: Floats
    before: Floats
    after: Floats

    def only(self, label: int) -> WeightSums:
        """Return the sums with one label."""
        return replace(self, before=self.before[label : label + 1], after=self.after[..., label : label + 1])

    @property
    def prevalence(self) -> Floats:
        """Return (..., L) the share of the weight that each label has."""
        return divide(self.after, np.asarray(self.kept)[..., None])

    @property
    def drift(self) -> Floats:
        """Return (..., L) by which factor the prevalence of each label changed; NaN for a label without rows."""
        return divide(self.prevalence, divide(self.before, np.asarray(self.rows)[..., None]))


def _largest(values: Floats, taking_part: NDArray[np.bool_]) -> Floats:
    """Return the largest defined value of (..., G, L) -> (...) over groups that take part; NaN where there is none."""
    usable = taking_part[:, None] & np.isfinite(values)
    found = np.where(usable, values, -np.inf).max((-2, -1), initial=-np.inf)
    enough = usable.any((-2, -1)) & (taking_part.sum() >= 2)
    return np.where(enough, found, np.nan)


def _masked(sums: GroupSums) -> GroupSums:
    """Return the sums without the rows of groups that take no part."""
    if sums.valid.all():
        return sums
    lost = np.where(sums.valid[:, None], 0.0, sums.group).sum(-2)
    return replace(sums, inside=sums.inside - lost)


class _Data(Metric):
    """A statistic of weighted rows."""


class Share(_Data):
    """The share of each group among the rows in which some group holds; the wanted share is its null value."""

    descriptor: ClassVar = MetricDescriptor(
        name="share", protocol="weighted_rows", evidence="cells", role="diagnostic", direction="lower", signed=False,
        margin=0.02, unit="share in [0, 1]", formula="E_w[s_k | y_r]", source=SOURCE, per_group=True,
        title="share of the group",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (..., G), inside the first label, or over all rows where there is no other column."""
        return evidence.share[..., 0]

    def counted(self, evidence: GroupSums) -> tuple[Floats, Floats] | None:
        """Return the weight of the group and of all groups."""
        group = evidence.group[..., 0]
        return group, np.broadcast_to(evidence.inside[..., None, 0], group.shape)


class ShareDeviation(_Data):
    """How far the share of each group lies from the wanted one: above it is positive."""

    descriptor: ClassVar = MetricDescriptor(
        name="share_deviation", protocol="weighted_rows", evidence="cells", role="bias", direction="lower", signed=True,
        margin=0.02, unit="difference of shares in [-1, 1]", formula="E_w[s_k | y_r] - pi_kr", source=SOURCE,
        per_group=True, title="distance of the share from the wanted one",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (..., G), inside the first label, or over all rows where there is no other column."""
        return evidence.share[..., 0] - evidence.wanted[:, 0]


class RepresentationBias(_Data):
    """Largest distance of a group's share over all rows from the wanted one."""

    descriptor: ClassVar = MetricDescriptor(
        name="rb", protocol="clip_the_bias_data", evidence="cells", role="bias", direction="lower", signed=False,
        margin=0.02, unit="share in [0, 1]", formula="max_k |E_w[s_k] - pi_k|", source=SOURCE,
        title="representation bias (RB)",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (...)."""
        found = _masked(evidence)
        return _largest(np.abs(found.share - found.wanted)[..., -1:], found.valid)


class AssociationBias(_Data):
    """Largest difference of a label's rate between the rows of a group and the other rows."""

    descriptor: ClassVar = MetricDescriptor(
        name="ab", protocol="clip_the_bias_data", evidence="cells", role="bias", direction="lower", signed=False,
        margin=0.02, unit="share in [0, 1]", formula="max_kr |E_w[y_r | s_k = 1] - E_w[y_r | s_k = 0]|", source=SOURCE,
        title="association bias (AB)",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (...)."""
        found = _masked(evidence)
        return _largest(np.abs(found.gaps), found.valid)


class ShareError(_Data):
    """Largest distance of a group's share inside a label from the wanted one."""

    descriptor: ClassVar = MetricDescriptor(
        name="share_error", protocol="weighted_rows", evidence="cells", role="bias", direction="lower", signed=False,
        margin=0.02, unit="share in [0, 1]", formula="max_kr |E_w[s_k | y_r] - pi_kr|", source=SOURCE,
        title="largest share error inside a label",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (...)."""
        found = _masked(evidence)
        return _largest(np.abs(found.share - found.wanted)[..., :-1], found.valid)


class Retention(_Data):
    """Mean weight of the rows of each group: the share that is kept, where weights are probabilities."""

    descriptor: ClassVar = MetricDescriptor(
        name="retention", protocol="weighted_rows", evidence="cells", role="utility", direction="higher", signed=False,
        margin=0.10, unit="mean weight; a share in [0, 1] where weights are probabilities", formula="sum_i w_i / N over the rows of the group", source=OURS,
        per_group=True, title="share of the rows kept (mean weight)",
    )  # fmt: skip

    def statistic(self, evidence: GroupSums) -> Floats:
        """Return (..., G), inside the first label, or over all rows where there is no other column."""
        return divide(evidence.group[..., 0], evidence.rows[:, 0])

    def counted(self, evidence: GroupSums) -> tuple[Floats, Floats] | None:
        """Return the weight and the number of rows."""
        group = evidence.group[..., 0]
        return group, np.broadcast_to(evidence.rows[:, 0], group.shape)


class EffectiveSampleSize(_Data):
    """Rows that equal weights would need for the same variance, as a share of all rows (Kish)."""

    descriptor: ClassVar = MetricDescriptor(
        name="ess", protocol="weighted_rows", evidence="weights", role="utility", direction="higher", signed=False,
        margin=0.10, unit="share in [0, 1]", formula="(sum w)^2 / (N sum w^2)", source="Kish 1965",
        title="effective sample size",
    )  # fmt: skip

    def statistic(self, evidence: WeightSums) -> Floats:
        """Return (...)."""
        return divide(np.square(evidence.kept), np.multiply(evidence.rows, evidence.squares))


class LargestWeight(_Data):
    """The largest weight in units of the mean weight."""

    descriptor: ClassVar = MetricDescriptor(
        name="max_weight", protocol="weighted_rows", evidence="weights", role="utility", direction="lower", signed=False,
        margin=1.0, unit="times the mean weight", formula="N max w / sum w", source=OURS, title="largest weight",
    )  # fmt: skip

    def statistic(self, evidence: WeightSums) -> Floats:
        """Return (...)."""
        return divide(np.multiply(evidence.largest, evidence.rows), evidence.kept)


class Prevalence(_Data):
    """The share of the rows that have a label; of several labels, that of the rarest."""

    descriptor: ClassVar = MetricDescriptor(
        name="prevalence", protocol="weighted_rows", evidence="weights", role="utility", direction="higher", signed=False,
        margin=0.02, unit="share in [0, 1]", formula="E_w[y_r]", source=OURS, title="prevalence",
    )  # fmt: skip

    def statistic(self, evidence: WeightSums) -> Floats:
        """Return (...)."""
        values = evidence.prevalence
        found = np.where(np.isfinite(values), values, np.inf).min(-1, initial=np.inf)
        return np.where(np.isfinite(found), found, np.nan)


class PrevalenceFactor(_Data):
    """By which factor the prevalence of a label changed, up or down; of several labels, the largest."""

    descriptor: ClassVar = MetricDescriptor(
        name="prevalence_factor", protocol="weighted_rows", evidence="weights", role="utility", direction="lower",
        signed=False, margin=0.5, unit="factor of at least 1", formula="max_r max(p'_r / p_r, p_r / p'_r)", source=OURS,
        title="largest change of a label's prevalence (factor)",
    )  # fmt: skip

    def statistic(self, evidence: WeightSums) -> Floats:
        """Return (...)."""
        drift = evidence.drift
        either = np.stack([drift, divide(np.ones_like(drift), drift)])
        found = np.where(np.isfinite(either), either, -np.inf).max((0, -1), initial=-np.inf)
        gone = (drift == 0).any(-1)  # a label without rows after has no factor
        return np.where(np.isfinite(found) & ~gone, found, np.nan)


GROUP_METRICS: dict[str, Metric] = {
    metric.descriptor.name: metric
    for metric in (RepresentationBias(), AssociationBias(), ShareError(), Share(), ShareDeviation(), Retention())
}
WEIGHT_METRICS: dict[str, Metric] = {
    metric.descriptor.name: metric
    for metric in (EffectiveSampleSize(), LargestWeight(), Prevalence(), PrevalenceFactor())
}
