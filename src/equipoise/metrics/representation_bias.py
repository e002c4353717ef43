"""RB of an image-text model, from arrays or an EmbeddingSet: which word for a group pictures without people are nearest to.

Protocol ``clip-the-bias/rb``, after Alabdulmohsin et al. (2024), ICLR. The paper's prompts are not published, so several
are run and their range is part of the result. ``equipoise.audit`` gives the same numbers as rows, with evidence that
``compare`` can pair.

Notation: n images, d dimensions, G groups, P sets of words (one word a group).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.data.queries import read_queries
from equipoise.errors import InputError
from equipoise.estimate import Estimate
from equipoise.metrics.engines import preferences as words
from equipoise.metrics.engines.images import Images, images_of
from equipoise.metrics.engines.limits import mean_limits, reaching_parity
from equipoise.metrics.engines.nulls import permutation_p
from equipoise.metrics.preference import RB, RepresentationBias, WordShare, expected_bias, sign_p
from equipoise.stats import bootstrap_interval, mean_interval, two_sided_p
from equipoise.store.embeddings import EmbeddingSet

NULL_DRAWS = 2000
PROMPTS = "representation-prompts"


@dataclass(frozen=True)
class Representation:
    """The representation bias of a model for one attribute.

    Attributes
    ----------
    groups : tuple of str
        The groups whose words were compared.
    prompts : tuple of str
        Names of the sets of words.
    shares : tuple of Estimate
        By set: share of the images that are nearest to the word of ``groups[0]``; ``null_value`` is the equal share.
    bias : tuple of Estimate
        By set: the largest distance of a group's share from the equal share (two groups: |share - 1/2|); ``null_value``
        is its expectation without a preference.
    mean : Estimate
        Mean of ``bias`` over the sets, which are taken as they are; its interval resamples images and takes out the bias
        that the resampling shows.
    range : tuple of float
        Smallest and largest ``bias``: how much hangs on the choice of words.
    soft : bool
    protocol : str
    """

    groups: tuple[str, ...]
    prompts: tuple[str, ...]
    shares: tuple[Estimate, ...]
    bias: tuple[Estimate, ...]
    mean: Estimate
    range: tuple[float, float]
    soft: bool
    protocol: str = RB


def representation_bias(
    images: EmbeddingSet | ArrayLike,
    text: ArrayLike | None = None,
    *,
    attribute: str = "gender",
    prompts: Any = PROMPTS,
    groups: Sequence[str] | None = None,
    soft: bool = False,
    scale: float | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    min_rows: int = 30,
    draws: int = 500,
    seed: int = 0,
) -> Representation:
    """Return how often images that show no people are nearest to one group's word rather than another's.

    Parameters
    ----------
    images : EmbeddingSet or array (n, d)
        Of pictures unrelated to people (the paper: ImageNet). Vectors need not be normalised.
    text : array (P, G, d) or (G, d), optional
        With an array of images: the vector of each set's word for each group.
    attribute : str
        With an EmbeddingSet: the attribute whose groups the prompts name.
    prompts : name, path or list
        With an EmbeddingSet: queries that name a group and share a label within a set, as ``read_queries`` takes them.
        With arrays: P names.
    groups : sequence of str, optional
        With arrays: names of the groups, in the order of ``text``.
    soft : bool
        Mean of sigmoid(scale (s_1 - s_2)) instead of "how often"; two groups only.
    scale : float
        The model's logit scale (1 / temperature), needed for ``soft``.
    clusters : array (n,) of int, optional
        With arrays: pictures of one cluster are resampled together.
    level, min_rows, draws, seed
        Confidence level; fewer images are ``insufficient``; bootstrap draws; seed.

    Returns
    -------
    Representation

    Raises
    ------
    InputError
        If shapes differ, no set of prompts names the attribute, or ``soft`` lacks a scale.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).normal(size=(1000, 8))
    >>> found = representation_bias(images, np.eye(8)[:2], groups=("man", "woman"))
    >>> print(found.shares[0])
    0.528 [0.497, 0.559], chance 0.5
    >>> print(found.bias[0])
    0.028 [0, 0.0588], chance 0.0126
    """
    if soft and not (scale is not None and np.isfinite(scale) and scale > 0):
        raise InputError(f"The scale is {scale!r}.", "A soft share needs the model's logit scale, as 100 for CLIP.")
    if isinstance(images, EmbeddingSet):
        sets = words.word_sets(asked := read_queries(prompts, images.vocabulary)).get(attribute, ())
        if not sets:
            raise InputError(
                f"No set of prompts names the groups of '{attribute}'.",
                "Name a group ('explicit') and a set ('label') for each; or pass another attribute.", value=attribute,
            )  # fmt: skip
        vectors = images.text([query.text for query in asked])
        text = vectors[np.asarray([one.members for one in sets])]
        names, groups = [one.label for one in sets], sets[0].groups
    else:
        names = None if isinstance(prompts, str) else list(prompts)
    given = images_of(images, text, clusters)
    names = names or [f"prompt {number + 1}" for number in range(given.text.shape[0])]
    groups = tuple(groups or (str(number) for number in range(given.text.shape[1])))
    if len(names) != given.text.shape[0] or len(groups) != given.text.shape[1] or len(groups) < 2:
        raise InputError(
            f"Text of shape {given.text.shape} for {len(names)} sets of words and {len(groups)} groups.",
            "Give (P, G, d): P sets, two groups or more.",
        )
    if soft and len(groups) != 2:
        raise InputError(f"A soft share of {len(groups)} groups.", "It is defined between two.", value=len(groups))
    scores = given.scores()
    n = scores.shape[-1]
    if n < min_rows:
        none = Estimate.without("insufficient", f"{n} images, fewer than {min_rows}", n=n, level=level)
        return Representation(
            groups, tuple(names), (none,) * len(names), (none,) * len(names), none, (np.nan, np.nan), soft
        )
    if soft:
        return _soft(scores, float(scale or 0.0), given, groups, tuple(names), level, draws, seed)
    return _hard(scores, given, groups, tuple(names), level, draws, seed)


def _hard(
    scores: NDArray[np.float32], given: Images, groups: tuple[str, ...], names: tuple[str, ...], level: float, draws: int,
    seed: int,
) -> Representation:  # fmt: skip
    nearest, n = words.nearest_of(scores), scores.shape[-1]
    evidence, bias, share = words.preferences_of(nearest), RepresentationBias(), WordShare()
    drawn = words.preference_draws(nearest, draws, seed, given.clusters)
    null = bias.statistic(words.preference_null(nearest, NULL_DRAWS, seed, given.clusters))
    values, shares = bias.statistic(evidence), share.statistic(evidence)
    low, high = bias.interval(evidence, level)
    bottom, top = share.interval(evidence, level)
    expected, p = null.mean(0), permutation_p(values, null)
    if given.clusters is not None:
        low, high = bootstrap_interval(values, bias.statistic(drawn), level, bounds=bias.descriptor.bounds)
        bottom, top = bootstrap_interval(shares, share.statistic(drawn), level, bounds=(0.0, 1.0))
    elif len(groups) == 2:
        ties = (nearest == 0.5).all(-1).sum(1)
        one, other = (evidence.counts - ties[:, None] / 2).T
        expected = np.asarray([expected_bias(n - int(t)) * (n - int(t)) / n if t < n else 0.0 for t in ties])
        p = np.asarray([sign_p(a, b) for a, b in zip(one, other, strict=True)])
    low = reaching_parity(low, p, level)
    mean = float(values.mean())
    moved = bias.statistic(drawn).mean(1), bias.along(evidence, drawn).mean(1)
    bottom_mean, top_mean = mean_limits(mean, *moved, level, bias.descriptor.bounds)
    mean_p = permutation_p(mean, null.mean(1))
    ends = reaching_parity(bottom_mean, mean_p, level), top_mean
    return Representation(
        groups, names,
        tuple(
            Estimate(float(shares[i, 0]), float(bottom[i, 0]), float(top[i, 0]), level, n, float(evidence.counts[i, 0]),
                     float(n), 1 / len(groups), float(p[i]))
            for i in range(len(names))
        ),
        tuple(_enclosed(values[i], low[i], high[i], level, n, expected[i], p[i]) for i in range(len(names))),
        _enclosed(mean, *ends, level, n, null.mean(), mean_p), (float(values.min()), float(values.max())), False,
    )  # fmt: skip


def _soft(
    scores: NDArray[np.float32], scale: float, given: Images, groups: tuple[str, ...], names: tuple[str, ...], level: float,
    draws: int, seed: int,
) -> Representation:  # fmt: skip
    from scipy.special import expit

    lean = expit(scale * (scores[:, 0].astype(np.float64) - scores[:, 1])) - 0.5
    n, values = lean.shape[1], lean.mean(1)
    drawn = given.means(lean, draws, seed)
    error = lean.std(1, ddof=1) / np.sqrt(n)
    low, high = mean_interval(values, lean.std(1, ddof=1), n, level)
    if given.clusters is not None:
        error = drawn.std(0, ddof=1)
        low, high = bootstrap_interval(values, drawn, level)
    p = np.asarray([two_sided_p(value, e) if e > 0 else np.nan for value, e in zip(values, error, strict=True)], float)
    # without a preference the mean is normal around 0, with the second moment about 0
    expected = np.sqrt(2 / np.pi) * np.sqrt(error**2 + values**2 / n)
    inside = (low <= 0) & (high >= 0)
    sizes = np.abs(values)
    bottom, top = np.where(inside, 0.0, np.minimum(abs(low), abs(high))), np.maximum(abs(low), abs(high))
    moved = np.abs(drawn).mean(1), (drawn * np.where(values < 0, -1.0, 1.0)).mean(1)
    ends = mean_limits(float(sizes.mean()), *moved, level, (0.0, 0.5))
    every = range(len(names))
    return Representation(
        groups, names,
        tuple(
            Estimate(float(values[i] + 0.5), float(low[i] + 0.5), float(high[i] + 0.5), level, n, null_value=0.5, p=float(p[i]))
            for i in every
        ),
        tuple(_enclosed(sizes[i], bottom[i], top[i], level, n, expected[i], p[i]) for i in every),
        _enclosed(sizes.mean(), *ends, level, n, expected.mean(), np.nan),
        (float(sizes.min()), float(sizes.max())), True,
    )  # fmt: skip


def _enclosed(value: Any, low: Any, high: Any, level: float, n: int, expected: Any, p: Any) -> Estimate:
    """Return an estimate whose limits enclose it; a bootstrap's may not."""
    value = float(value)
    return Estimate(
        value, min(float(low), value), max(float(high), value), level, n, null_value=float(expected), p=float(p)
    )
