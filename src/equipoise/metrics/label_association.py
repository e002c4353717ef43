"""AB over many labels: by how much a model's probability of a label differs between groups.

The many-label form of Alabdulmohsin et al. (2024), ICLR: max over labels r of |E[f_r | a] - E[f_r | b]|, f_r the softmax over
the labels' cosines times the model's logit scale. Unlike a pair, it depends on which labels stand beside each other.

Notation: n images, d dimensions, L labels r, G groups a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise.errors import InputError
from equipoise.estimate import Estimate
from equipoise.metrics import gaps
from equipoise.metrics.engines.images import groups_of, images_of
from equipoise.metrics.engines.limits import largest_limits, reaching_parity
from equipoise.metrics.engines.nulls import permutation_p
from equipoise.metrics.preference import AB
from equipoise.stats import holm, mean_gap_null, mean_interval, welch
from equipoise.stats.intervals import Interval
from equipoise.store.embeddings import EmbeddingSet

NULL_DRAWS = 2000


@dataclass(frozen=True)
class LabelAssociation:
    """The association bias of a model over one attribute and many labels.

    Attributes
    ----------
    groups, labels : tuple of str
    bias : tuple of Estimate
        By label: the largest difference over groups of the mean probability.
    p_adjusted : tuple of float
        ``p`` of the labels after Holm's correction over them.
    maximum : Estimate
        The largest ``bias``; its ``null_value`` and ``p`` are those of the maximum when groups are shuffled. Its limits
        go from the largest of lower limits that hold together (Bonferroni) to the largest upper limit: conservative, 93 to
        100 % measured at a nominal 95 % (400 images, 5 to 30 labels).
    protocol : str
    """

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    bias: tuple[Estimate, ...]
    p_adjusted: tuple[float, ...]
    maximum: Estimate
    protocol: str = f"{AB}-softmax"


def label_association(
    images: EmbeddingSet | ArrayLike,
    by: str | ArrayLike,
    text: ArrayLike | None = None,
    *,
    labels: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    scale: float = 100.0,
    level: float = 0.95,
    min_group: int = 30,
    seed: int = 0,
) -> LabelAssociation:
    """Return the association bias over all labels of a softmax.

    Parameters
    ----------
    images : EmbeddingSet or array (n, d)
    by : str, or array (n,) of int
        As in :func:`equipoise.metrics.balance.association_bias`.
    text : array (L, d), optional
        With an array of images: a vector a label.
    labels : sequence of str
        With an EmbeddingSet the texts; with arrays names.
    groups : sequence of str, optional
        With arrays: names of the groups.
    scale : float, default 100
        The model's logit scale (1 / temperature); 100 is that of CLIP.
    level, min_group, seed

    Returns
    -------
    LabelAssociation
        Intervals of a label: Welch for two groups, folded; simultaneous limits of the means for more. Rows count as
        independent.

    Raises
    ------
    InputError
        If shapes differ, there are fewer than two labels or groups, or rows form clusters.
    """
    if isinstance(images, EmbeddingSet):
        if not labels:
            raise InputError("There are no labels.", "Give the texts of two labels or more.")
        text = images.text(list(labels))
    given = images_of(images, text)
    many = given.text.shape[1]
    names = tuple(labels or (f"label {number + 1}" for number in range(many)))
    if given.text.shape[0] != 1 or many < 2 or len(names) != many or not (np.isfinite(scale) and scale > 0):
        raise InputError(
            f"Text of shape {given.text.shape}, {len(names)} labels, scale {scale!r}.",
            "Give two labels or more, (L, d), and a positive scale.",
        )
    if given.clusters is not None:
        raise InputError("The rows form clusters, and this form takes rows as independent.", "Use association_bias.")
    code, groups, valid = groups_of(images, by, groups, min_group)
    counts = np.bincount(code[code >= 0], minlength=valid.size).astype(np.float64)
    from scipy.special import softmax

    inside = (code >= 0) & valid[np.maximum(code, 0)]
    chances = softmax(scale * given.scores()[0].astype(np.float64), axis=0)[:, inside]
    member = (code[inside, None] == np.arange(len(groups))).astype(np.float64)
    # gaps do not hang on the offset; without it equal rows differ by exactly 0
    chances -= chances[:, :1]
    means = _means(chances, member)
    values = gaps.spread(means, valid)
    away = chances - means[:, code[inside]]
    deviations = np.sqrt(_means(away**2, member)) * np.sqrt(counts / np.maximum(counts - 1, 1))

    def limits(at: float) -> Interval:
        if len(groups) == 2:
            (m1, m2), (s1, s2), (n1, n2) = means.T, deviations.T, counts
            return gaps.folded(*welch(m1, s1, n1, m2, s2, n2, at))
        return gaps.spread_limits(means, lambda each: mean_interval(means, deviations, counts, each), valid, at)

    low, high = limits(level)
    place = np.cumsum(valid) - 1
    null, _ = mean_gap_null(chances, place[code[inside]], int(valid.sum()), NULL_DRAWS, seed)
    p, n = permutation_p(values, null), int(inside.sum())
    return LabelAssociation(
        groups, names,
        tuple(_estimate(values[r], low[r], high[r], level, n, null[:, r]) for r in range(many)), tuple(holm(p).tolist()),
        _estimate(values.max(), *largest_limits(limits, many, level), level, n, null.max(1)),
    )  # fmt: skip


def _means(values: Any, member: Any) -> Any:
    """Return means (L, G) of values (L, n) by the columns of a weighted membership (n, G)."""
    return gaps.divide(values @ member, member.sum(0))


def _estimate(value: Any, low: Any, high: Any, level: float, n: int, null: Any) -> Estimate:
    p = float(permutation_p(value, null))
    low = float(reaching_parity(low, p, level))
    return Estimate(
        float(value),
        min(float(low), float(value)),
        max(float(high), float(value)),
        level,
        n,
        null_value=float(null.mean()),
        p=p,
    )
