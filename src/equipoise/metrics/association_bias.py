"""AB of an image-text model, from arrays or an EmbeddingSet: with which group it associates which word of a pair.

Protocol ``clip-the-bias/ab``, after Alabdulmohsin et al. (2024), ICLR, on pairs of occupations as in Wang et al. (2025),
arXiv:2502.07617. ``equipoise.audit`` gives the same numbers as rows, with evidence that ``compare`` can pair.

Notation: n images, d dimensions, G groups a, P pairs (A, B); r_a = P(s(x, A) > s(x, B) | a), ties 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.data.queries import read_queries
from equipoise.errors import InputError, listed
from equipoise.estimate import Estimate
from equipoise.metrics import gaps
from equipoise.metrics.engines import preferences as words
from equipoise.metrics.engines.images import groups_of, images_of
from equipoise.metrics.engines.limits import drawn_limits, largest_limits, mean_limits, reaching_parity
from equipoise.metrics.engines.nulls import permutation_p
from equipoise.metrics.preference import AB, PairPreference
from equipoise.protocols import Floats, Pairs
from equipoise.stats import bootstrap_interval, holm, newcombe, normal_interval, ratio_interval, wilson
from equipoise.stats.intervals import Interval
from equipoise.store.embeddings import EmbeddingSet

NULL_DRAWS = 2000
PAIRS = "association-pairs"
Scale = Literal["difference", "ratio", "log_odds"]


@dataclass(frozen=True)
class Association:
    """The association bias of a model over one attribute.

    Attributes
    ----------
    groups, pairs : tuple of str
    rates : tuple of tuple of Estimate
        By pair and group: share of the group's images that prefer the first word.
    gaps : tuple of Estimate
        By pair, for two groups: that of ``groups[0]`` against that of ``groups[1]``, signed; empty for more.
    bias : tuple of Estimate
        By pair: the largest difference over groups that take part. ``null_value`` and ``p`` are those of shuffled groups.
    p_adjusted : tuple of float
        ``p`` of the pairs after Holm's correction over them.
    mean, maximum : Estimate
        Over the pairs, which are taken as they are. Chance biases both upwards (see ``null_value``). Mean: percentiles of
        the signed gaps over resampled images, the lower less twice the bias that the resampling shows. Maximum: from
        the largest of lower limits that hold together (Bonferroni) to the largest upper limit, conservative. Coverage of
        the value of an infinite sample, nominal 95 %, 400 images and 5 pairs: mean 95 to 99 %, maximum 96 to 100 %.
    scale : str
        ``difference``: r_1 - r_2, the gap is max - min; ``ratio``: r_1 / r_2, the gap is max / min (1 is parity);
        ``log_odds``: difference of ln(r / (1 - r)), 1/2 added to every count (Haldane; Anscombe).
    protocol : str
    """

    groups: tuple[str, ...]
    pairs: tuple[str, ...]
    rates: tuple[tuple[Estimate, ...], ...]
    gaps: tuple[Estimate, ...]
    bias: tuple[Estimate, ...]
    p_adjusted: tuple[float, ...]
    mean: Estimate
    maximum: Estimate
    scale: str
    protocol: str = AB


def association_bias(
    images: EmbeddingSet | ArrayLike,
    by: str | ArrayLike,
    text: ArrayLike | None = None,
    *,
    pairs: Any = PAIRS,
    groups: Sequence[str] | None = None,
    scale: Scale = "difference",
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    min_group: int = 30,
    draws: int = 500,
    seed: int = 0,
) -> Association:
    """Return by how much the preference within pairs of words differs between groups of people.

    Parameters
    ----------
    images : EmbeddingSet or array (n, d)
        Of pictures of people (the paper: FairFace). Vectors need not be normalised.
    by : str, or array (n,) of int
        With an EmbeddingSet an attribute or intersection; with an array the group of each image, -1 where unknown.
    text : array (P, 2, d) or (2, d), optional
        With an array of images: the vectors of both words of each pair.
    pairs : name, path or list
        With an EmbeddingSet: queries, two of a family with a label that no other has, as ``read_queries`` takes them. With
        arrays: P names.
    groups : sequence of str, optional
        With arrays: names of the groups.
    scale : {"difference", "ratio", "log_odds"}
    clusters : array (n,) of int, optional
        With arrays: images of one cluster are resampled, and shuffled, together.
    level, min_group, draws, seed
        Confidence level; smaller groups take part in no gap; bootstrap draws; seed.

    Returns
    -------
    Association

    Raises
    ------
    InputError
        If shapes differ, there is no pair, fewer than two groups have rows, or the scale is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> group = rng.integers(0, 2, 400)
    >>> images = rng.normal(size=(400, 4)) + np.outer(group, [1.0, 0, 0, 0])
    >>> found = association_bias(images, group, np.eye(4)[:2], groups=("man", "woman"), pairs=["nurse/doctor"])
    >>> print(found.bias[0])
    0.274 [0.18, 0.361], chance 0.0393
    """
    if scale not in get_args(Scale):
        raise InputError(f"There is no scale '{scale}'.", f"Give one of {listed(get_args(Scale))}.", value=scale)
    names: Sequence[str] | None
    if isinstance(images, EmbeddingSet):
        found = words.word_pairs(asked := read_queries(pairs, images.vocabulary))
        if not found:
            raise InputError("There is no pair among the queries.", "Give two queries of a family one label.")
        vectors = images.text([query.text for query in asked])
        text = vectors[np.asarray([(pair.first, pair.second) for pair in found])]
        names = [pair.label for pair in found]
    else:
        names = None if isinstance(pairs, str) else list(pairs)
    given = images_of(images, text, clusters)
    if given.text.shape[1] != 2:
        raise InputError(f"Text of shape {given.text.shape}.", "Give two words a pair, (P, 2, d).")
    names = tuple(names or (f"pair {number + 1}" for number in range(given.text.shape[0])))
    if len(names) != given.text.shape[0]:
        raise InputError(f"{len(names)} names for {given.text.shape[0]} pairs.", "Give one a pair.")
    code, groups, valid = groups_of(images, by, groups, min_group)
    scores = given.scores()
    hits = words.preferred(scores[:, 0], scores[:, 1])
    evidence = words.pairs_of(hits, code, valid)
    again = words.pair_draws(hits, code, valid, draws, seed, given.clusters)
    drawn, along = _bias(again, scale), _along(evidence, again, scale)
    null = _bias(words.pair_null(hits, code, valid, NULL_DRAWS, seed, given.clusters), scale)
    values = _bias(evidence, scale)
    bounds = (1.0 if scale == "ratio" else 0.0, 1.0 if scale == "difference" else np.inf)
    signed = _signed(evidence, scale, level)
    low, high = _limits(evidence, scale, level)
    limits = partial(_limits, evidence, scale)
    if given.clusters is not None:
        low, high = bootstrap_interval(values, drawn, level, bounds=bounds)
        limits = drawn_limits(values, along, bounds)
        signed = None
    p, n = permutation_p(values, null), int((code >= 0).sum())

    def one(value: Any, ends: Any, chance: Any) -> Estimate:
        chance_p = float(permutation_p(value, chance))
        return _estimate(float(value), ends, level, n, chance, chance_p, scale)

    return Association(
        groups, names, _rates(evidence, level, min_group), signed or (),
        tuple(one(values[i], (low[i], high[i]), null[:, i]) for i in range(len(names))), tuple(holm(p).tolist()),
        one(values.mean(), mean_limits(values.mean(), drawn.mean(1), along.mean(1), level, bounds), null.mean(1)),
        one(values.max(), largest_limits(limits, len(names), level), null.max(1)), scale,
    )  # fmt: skip


def _on_scale(preferred: Floats, n: Floats, scale: str) -> NDArray[np.float64]:
    """Return the rates where their differences are taken: as they are, as logarithms, or as log odds."""
    if scale == "log_odds":
        return np.log(preferred + 0.5) - np.log(n - preferred + 0.5)
    with np.errstate(divide="ignore"):
        rates = gaps.divide(preferred, n)
        return np.log(rates) if scale == "ratio" else rates


def _bias(evidence: Pairs, scale: str) -> NDArray[np.float64]:
    """Return the gap over groups (..., P) on a scale; of ratios max / min."""
    values = _on_scale(evidence.preferred, evidence.n, scale)
    with np.errstate(invalid="ignore"):
        found = gaps.spread(values, evidence.valid)
    return np.exp(found) if scale == "ratio" else found


def _signed(evidence: Pairs, scale: str, level: float) -> tuple[Estimate, ...] | None:
    """Return the gap of each pair between the first and the second of two groups, None for more groups."""
    if evidence.valid.size != 2:
        return None
    (x1, x2), (n1, n2) = evidence.preferred.T, np.asarray(evidence.n, np.float64)
    values = np.squeeze(-np.diff(_on_scale(evidence.preferred, evidence.n, scale)), -1)
    if scale == "ratio":
        values, (low, high) = np.exp(values), ratio_interval(x1, n1, x2, n2, level)
    elif scale == "difference":
        low, high = newcombe(x1, n1, x2, n2, level)
    else:
        error = np.sqrt(sum(1 / (count + 0.5) for count in (x1, n1 - x1, x2, n2 - x2)))
        low, high = normal_interval(values, error, level)
    n = int(n1 + n2)
    return tuple(
        _estimate(float(value), (lower, upper), level, n, np.zeros(0), float("nan"), scale)
        for value, lower, upper in zip(values, low, high, strict=True)
    )


def _along(evidence: Pairs, drawn: Pairs, scale: str) -> NDArray[np.float64]:
    """Return draws (B, P) of the gap between the two groups that are the extremes of the data."""
    values, again = (_on_scale(one.preferred, one.n, scale) for one in (evidence, drawn))
    found = gaps.spread_along(values, evidence.valid, again)
    return np.exp(found) if scale == "ratio" else found


def _limits(evidence: Pairs, scale: str, level: float) -> Interval:
    """Return limits (P,) of the gap: of two groups those of the signed gap, folded; of more simultaneous ones."""
    signed = _signed(evidence, scale, level)
    if signed is not None:
        low, high = (np.asarray([getattr(one, end) for one in signed]) for end in ("low", "high"))
        if scale != "ratio":
            return gaps.folded(low, high)
        with np.errstate(divide="ignore"):
            low, high = gaps.folded(np.log(low), np.log(high))
        return np.exp(low), np.exp(high)
    preferred, n = np.broadcast_arrays(evidence.preferred, np.asarray(evidence.n, np.float64))

    def each(at: float) -> Interval:
        ends = wilson(preferred, n, at)
        return _on_scale(ends[0] * n, n, scale), _on_scale(ends[1] * n, n, scale)

    with np.errstate(invalid="ignore"):
        low, high = gaps.spread_limits(_on_scale(preferred, n, scale), each, evidence.valid, level)
    return (np.exp(low), np.exp(high)) if scale == "ratio" else (low, high)


def _estimate(value: float, ends: Any, level: float, n: int, chance: Any, p: float, scale: str) -> Estimate:
    if not np.isfinite(value):
        return Estimate.without("not_estimable", f"a rate of 0 has no {scale}", n=n, level=level)
    low, high = (float(end) for end in ends)
    usual = float(np.mean(chance)) if np.size(chance) else {"ratio": 1.0}.get(scale, 0.0)
    low = float(reaching_parity(low, p, level, 1.0 if scale == "ratio" else 0.0))
    return Estimate(value, min(low, value), max(high, value), level, n, null_value=usual, p=p)


def _rates(evidence: Pairs, level: float, minimum: int) -> tuple[tuple[Estimate, ...], ...]:
    metric = PairPreference()
    hit, n = metric.counted(evidence)
    low, high = metric.interval(evidence, level)
    return tuple(
        tuple(
            Estimate(float(hit[i, g] / n[i, g]), float(low[i, g]), float(high[i, g]), level, int(n[i, g]), float(hit[i, g]),
                     float(n[i, g]))
            if evidence.valid[g]
            else Estimate.without("insufficient", f"{int(n[i, g])} images, fewer than {minimum}", n=int(n[i, g]), level=level)
            for g in range(n.shape[1])
        )
        for i in range(n.shape[0])
    )  # fmt: skip
