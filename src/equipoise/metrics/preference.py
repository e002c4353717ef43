"""Which of several words a model prefers: representation bias (RB) and association bias (AB) of an image-text model.

Notation: n images, G groups a, P pairs or prompts. s(x, t) is the cosine of image x and text t; a tie is shared equally.
RB asks what pictures that show no people are nearest to; AB asks whether people of one group are nearer to an occupation
than those of another. Both follow Alabdulmohsin et al. (2024), ICLR ("CLIP the Bias"); neither reads a label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.metrics import gaps
from equipoise.protocols import Floats, Metric, MetricDescriptor, Pairs, Preferences
from equipoise.stats.intervals import Interval, wilson

PREFERENCE_MARGIN = 0.02
RB, AB = "clip-the-bias/rb", "clip-the-bias/ab"


class RepresentationBias(Metric):
    """How far the share of images that are nearest to a group's text is from an equal share, at the worst group.

    Meant for pictures that show no people: nothing in them calls for one word or the other. On pictures of people it is
    the balance of a zero-shot classifier's answers. With two groups it is |share - 1/2|, the same for both. Interval:
    Wilson limits of each share (holding together for more than two groups), folded; of the mean over sets as for the
    association bias. Even without a preference
    n images give 0.399 / sqrt(n) on average (two groups): it is printed beside the value.
    """

    descriptor = MetricDescriptor(
        name="representation_bias",
        protocol=RB,
        evidence="preferences",
        role="bias",
        direction="lower",
        signed=False,
        margin=PREFERENCE_MARGIN,
        unit="distance of a share from an equal share, in [0, 1]",
        formula="max_a |P(s(x, t_a) > s(x, t_b) for all b) - 1/G|, t_a the text of group a",
        source="representation bias of Alabdulmohsin et al. (2024), ICLR, with equal shares wanted",
        title="distance from equal preference for the groups' words",
        sides="word_share",
    )

    def statistic(self, evidence: Preferences) -> Floats:
        """Return the distance, (...)."""
        shares, wanted = self.shares(evidence)
        away = np.abs(shares - wanted)
        return np.where(np.isnan(away).any(-1) | (evidence.valid.sum() < 2), np.nan, away.max(-1, initial=-np.inf))

    def interval(self, evidence: Preferences, level: float) -> Interval:
        """Return limits of the distance."""
        counts = _taking_part(evidence)
        groups = counts.shape[-1]
        n = np.broadcast_to(counts.sum(-1, keepdims=True), counts.shape)
        low, high = wilson(np.minimum(counts, n), n, level if groups == 2 else gaps.each_level(level, groups))
        low, high = gaps.folded(low - 1 / max(groups, 1), high - 1 / max(groups, 1))
        missing = np.isnan(self.statistic(evidence))
        return tuple(np.where(missing, np.nan, each.max(-1, initial=-np.inf)) for each in (low, high))  # type: ignore[return-value]

    def along(self, evidence: Preferences, drawn: Preferences) -> Floats:
        """Return draws (B, ...) of the signed distance of the group that is worst in ``evidence``, towards its side."""
        shares, wanted = self.shares(evidence)
        worst = np.abs(shares - wanted).argmax(-1)[..., None]
        side = np.sign(np.take_along_axis(shares, worst, -1) - wanted)[..., 0]
        again, _ = self.shares(drawn)
        moved = np.take_along_axis(again, np.broadcast_to(worst, (*again.shape[:-1], 1)), -1)[..., 0]
        return np.where(side == 0, 1.0, side) * (moved - wanted)

    @staticmethod
    def shares(evidence: Preferences) -> tuple[Floats, float]:
        """Return each valid group's share of the images (..., valid groups), and the equal share."""
        counts = _taking_part(evidence)
        return gaps.divide(counts, counts.sum(-1, keepdims=True)), 1 / max(counts.shape[-1], 1)


def _taking_part(evidence: Preferences) -> NDArray[np.float64]:
    return np.asarray(evidence.counts, np.float64)[..., np.asarray(evidence.valid, bool)]


class WordShare(Metric):
    """Share of the images that are nearest to a group's text: the shares behind the representation bias."""

    descriptor = MetricDescriptor(
        name="word_share",
        protocol=RB,
        evidence="preferences",
        role="diagnostic",
        direction="lower",
        signed=False,
        margin=PREFERENCE_MARGIN,
        unit="share in [0, 1]",
        formula="P(s(x, t_a) > s(x, t_b) for all b), t_a the text of group a",
        source="Alabdulmohsin et al. (2024), ICLR",
        title="share of images nearest to the group's word",
        per_group=True,
    )

    def statistic(self, evidence: Preferences) -> Floats:
        """Return the share of each group's text, (..., G)."""
        return gaps.divide(*self.counted(evidence))

    def interval(self, evidence: Preferences, level: float) -> Interval:
        """Return Wilson limits."""
        return wilson(*self.counted(evidence), level)

    def counted(self, evidence: Preferences) -> tuple[Floats, Floats]:
        """Return images nearest to the group's text and images, each (..., G)."""
        counts = np.asarray(evidence.counts, np.float64)
        return counts, np.broadcast_to(counts.sum(-1, keepdims=True), counts.shape)


class AssociationBias(Metric):
    """Largest difference between groups of the share of their images that prefer the first text of a pair.

    For two groups the size of P(prefers A | woman) - P(prefers A | man). Interval: Newcombe for two groups, folded;
    simultaneous Wilson limits for more, conservative. A family's value is the mean over its pairs, which chance biases
    upwards: its limits are percentiles of the signed gaps, the lower less twice the bootstrap's bias.
    """

    descriptor = MetricDescriptor(
        name="association_bias",
        protocol=AB,
        evidence="pairs",
        role="bias",
        direction="lower",
        signed=False,
        margin=PREFERENCE_MARGIN,
        unit="difference of shares in [0, 1]",
        formula="max_a - min_a P(s(x, A) > s(x, B) | a), A and B the texts of a pair",
        source="association bias of Alabdulmohsin et al. (2024), ICLR, on pairs as in Wang et al. (2025), arXiv:2502.07617",
        title="largest difference of preference in a pair of words",
        sides="pair_preference",
    )

    def statistic(self, evidence: Pairs) -> Floats:
        """Return the gap over groups, (...)."""
        return gaps.spread(gaps.divide(*_cells(evidence)), evidence.valid)

    def interval(self, evidence: Pairs, level: float) -> Interval:
        """Return limits of the gap."""
        preferred, n = _cells(evidence)
        rates = gaps.divide(preferred, n)
        return gaps.spread_limits(rates, lambda each: wilson(preferred, n, each), evidence.valid, level)

    def along(self, evidence: Pairs, drawn: Pairs) -> Floats:
        """Return draws (B, ...) of the gap between the two groups that are the extremes of ``evidence``."""
        rates, again = (gaps.divide(*_cells(one)) for one in (evidence, drawn))
        return gaps.spread_along(rates, evidence.valid, again)


def _cells(evidence: Pairs) -> tuple[Floats, Floats]:
    """Return the rows of each group that prefer the first text and its rows, each (..., G)."""
    preferred, n = np.broadcast_arrays(np.asarray(evidence.preferred, np.float64), np.asarray(evidence.n, np.float64))
    return preferred, n


class PairPreference(Metric):
    """Share of a group's images that prefer the first text of a pair: the rates behind the association bias."""

    descriptor = MetricDescriptor(
        name="pair_preference",
        protocol=AB,
        evidence="pairs",
        role="diagnostic",
        direction="lower",
        signed=False,
        margin=PREFERENCE_MARGIN,
        unit="share in [0, 1]",
        formula="P(s(x, A) > s(x, B) | a), A the first text of the pair",
        source="Alabdulmohsin et al. (2024), ICLR",
        title="share that prefers the first word of a pair",
        per_group=True,
    )

    def statistic(self, evidence: Pairs) -> Floats:
        """Return the share of each group, (..., G); NaN without rows."""
        return gaps.divide(*_cells(evidence))

    def interval(self, evidence: Pairs, level: float) -> Interval:
        """Return Wilson limits."""
        return wilson(*_cells(evidence), level)

    def counted(self, evidence: Pairs) -> tuple[Floats, Floats]:
        """Return rows of each group that prefer the first text and its rows, each (..., G)."""
        return _cells(evidence)


class MaxAssociationBias(Metric):
    """The association bias of the pair in which it is largest; values (..., P) from :class:`AssociationBias`.

    A maximum of maxima: chance alone gives more than for one pair, so it always stands beside the value that
    shuffled groups give. It says of one pair what the mean says of all, so a ledger tests the mean alone.
    Interval: from the largest of the pairs' lower limits, which hold together (Bonferroni), to the largest of their
    upper limits. It covers the largest bias of an infinite sample, conservatively; no bootstrap of a maximum does.
    """

    descriptor = MetricDescriptor(
        name="max_association_bias",
        protocol=AB,
        evidence="paired",
        role="diagnostic",
        direction="lower",
        signed=False,
        margin=PREFERENCE_MARGIN,
        unit="difference of shares in [0, 1]",
        formula="max over pairs of max_a - min_a P(s(x, A) > s(x, B) | a)",
        source="the maximum over pairs of Wang et al. (2025), arXiv:2502.07617",
        title="largest difference of preference over all pairs of words",
    )

    def statistic(self, evidence: ArrayLike) -> Floats:
        """Return the largest value, (...); NaN where there is none or one is missing."""
        values = np.asarray(evidence, np.float64)
        return values.max(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)


def expected_bias(n: int) -> float:
    """Return E|X/n - 1/2|, X ~ Binomial(n, 1/2): the RB of n images without any preference between two texts.

    Exact, m C(2m, m) / 2^(2m) / n with m = ceil(n / 2) (de Moivre); close to 1 / sqrt(2 pi n) = 0.399 / sqrt(n).

    Examples
    --------
    >>> round(expected_bias(1000), 4), round(expected_bias(50_000), 4)
    (0.0126, 0.0018)
    """
    from scipy.special import gammaln

    if n < 1:
        return float("nan")
    m = (n + 1) // 2
    return float(np.exp(np.log(m) + gammaln(2 * m + 1) - 2 * gammaln(m + 1) - 2 * m * np.log(2)) / n)


def expected_gap(n1: float, n2: float, rate: float = 0.5) -> float:
    """Return E|p1 - p2| of two groups with one rate, sqrt(2/pi) sqrt(rate (1 - rate) (1/n1 + 1/n2)), normal law.

    Examples
    --------
    >>> round(expected_gap(1393, 1607), 4)
    0.0146
    """
    return float(np.sqrt(2 / np.pi) * np.sqrt(rate * (1 - rate) * (1 / n1 + 1 / n2)))


def sign_p(first: float, second: float) -> float:
    """Return the exact two-sided p of the sign test: ``first`` images prefer one text, ``second`` the other, ties apart."""
    from scipy.special import bdtr

    total = round(first + second)
    return min(1.0, 2 * float(bdtr(round(min(first, second)), total, 0.5))) if total else 1.0
