"""Retrieval between images and captions, both directions, of people and of everything else.

Balancing data changes how often people are in them, so that a loss or gain of retrieval may belong to one part alone.

Notation: n images, m captions, d dimensions; caption j belongs to image i(j). The rank of a right answer is the number of
wrong ones that score higher, ties counting 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.data.vectors import unit
from equipoise.errors import EmbeddingError, InputError
from equipoise.estimate import Estimate
from equipoise.stats import bootstrap_interval, row_weights

IMAGE_TO_TEXT, TEXT_TO_IMAGE = "image_to_caption", "caption_to_image"
PARTS = ("all", "people", "other")
BLOCK = 1024


@dataclass(frozen=True)
class CaptionRetrieval:
    """Recall at k by direction and part.

    Attributes
    ----------
    recall : dict of (direction, part, k) to Estimate
        ``image_to_caption``: share of images with any own caption among the k best; ``caption_to_image``: share of
        captions whose image is among the k best. Parts are ``all``, and with ``people`` also ``people`` and ``other``: the
        images asked about; the pool searched is always everything. ``null_value`` is what random ranks give.
    image_ranks : ndarray (n,) float64
        Rank of the best own caption; NaN of an image without one.
    caption_ranks : ndarray (m,) float64
        Rank of the caption's image.
    """

    recall: dict[tuple[str, str, int], Estimate]
    image_ranks: NDArray[np.float64]
    caption_ranks: NDArray[np.float64]


def caption_retrieval(
    images: ArrayLike,
    captions: ArrayLike,
    image_of: ArrayLike,
    *,
    people: ArrayLike | None = None,
    ks: Sequence[int] = (1, 5, 10),
    level: float = 0.95,
    min_rows: int = 30,
    draws: int = 500,
    seed: int = 0,
) -> CaptionRetrieval:
    """Return recall at k of both directions, with a bootstrap of images that takes their captions along.

    Parameters
    ----------
    images, captions : array (n, d), array (m, d)
        Vectors of one space; they need not be normalised.
    image_of : array (m,) of int
        Number of the image that each caption describes.
    people : array (n,) of bool, optional
        Whether an image shows people, as a tagger of its captions says.
    ks : sequence of int
    level, min_rows, draws, seed
        A part with fewer images is ``insufficient``.

    Returns
    -------
    CaptionRetrieval

    Raises
    ------
    InputError, EmbeddingError
        If shapes or widths differ, a caption belongs to no image, a vector is zero or not finite, or a k is below 1.
    """
    x, t, owner = _checked(images, captions, image_of)
    shown = None if people is None else np.asarray(people)
    if shown is not None and (shown.shape != (len(x),) or shown.dtype != bool):
        raise InputError(f"'people' has the shape {shown.shape} and {shown.dtype}.", "Give one bool an image.")
    if not ks or min(ks) < 1:
        raise InputError(f"k is {list(ks)!r}.", "Give whole numbers of 1 or more.", value=ks)
    image_ranks, caption_ranks = _ranks(x, t, owner)
    own = np.bincount(owner, minlength=len(x)).astype(np.float64)
    parts = {"all": np.ones(len(x), bool)} | ({} if shown is None else {"people": shown, "other": ~shown})
    weights = np.stack([row_weights(len(x), b, seed) for b in range(draws)]).astype(np.float64)
    recall = {}
    for k in ks:
        by_image = np.nan_to_num(image_ranks, nan=np.inf) < k
        by_caption = np.bincount(owner, caption_ranks < k, len(x))
        # a random order of the m captions has none of the c own ones among the first k with C(m-c, k) / C(m, k)
        chance = _any_of(own, len(t), k)
        for name, inside in parts.items():
            asked = inside & (own > 0)
            sums = (
                np.where(asked, by_image, 0.0),
                asked.astype(float),
                chance[asked].mean() if asked.any() else np.nan,
            )
            recall[IMAGE_TO_TEXT, name, k] = _estimate(*sums, int(asked.sum()), weights, level, min_rows)
            sums = (np.where(inside, by_caption, 0.0), np.where(inside, own, 0.0), min(1.0, k / len(x)))
            recall[TEXT_TO_IMAGE, name, k] = _estimate(*sums, int(asked.sum()), weights, level, min_rows)
    return CaptionRetrieval(recall, image_ranks, caption_ranks)


def _checked(images: Any, captions: Any, image_of: Any) -> tuple[Any, Any, NDArray[np.int64]]:
    found = []
    for what, given in (("The images", images), ("The captions", captions)):
        array = np.asarray(given)
        if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
            raise EmbeddingError(f"{what} have the shape {array.shape} and {array.dtype}.", "Give floats (n, d).")
        vectors, lengths = unit(array)
        bad = ~np.isfinite(lengths) | (lengths <= 0)
        if bad.any():
            raise EmbeddingError(
                f"{what} have {int(bad.sum())} vectors that are zero or not finite.", "Set them aside."
            )
        found.append(vectors)
    owner = np.asarray(image_of)
    if found[0].shape[1] != found[1].shape[1]:
        raise EmbeddingError(
            f"Images have {found[0].shape[1]} dimensions, captions {found[1].shape[1]}: they share no space.",
            "Use one encoder.",
        )
    fits = owner.shape == (len(found[1]),) and owner.dtype.kind in "iu"
    if not fits or owner.min() < 0 or owner.max() >= len(found[0]):
        raise InputError(
            f"'image_of' has the shape {owner.shape} and {owner.dtype}.",
            f"Give the number of its image, 0 to {len(found[0]) - 1}, for each of the {len(found[1])} captions.",
        )
    return found[0], found[1], owner.astype(np.int64)


def _ranks(x: Any, t: Any, owner: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rank of each image's best own caption, and of each caption's image; blocks of captions bound memory."""
    n, m = len(x), len(t)
    best, caption_ranks = np.full(n, -np.inf, np.float32), np.empty(m)
    for start in range(0, m, BLOCK):
        part = slice(start, min(start + BLOCK, m))
        scores = t[part] @ x.T
        right = scores[np.arange(part.stop - start), owner[part]]
        above = (scores > right[:, None]).sum(1) + 0.5 * ((scores == right[:, None]).sum(1) - 1)
        caption_ranks[part] = above
        np.maximum.at(best, owner[part], right)
    image_ranks = np.zeros(n)
    for start in range(0, m, BLOCK):
        part = slice(start, min(start + BLOCK, m))
        scores = t[part] @ x.T
        wrong = np.ones(scores.shape, bool)
        wrong[np.arange(part.stop - start), owner[part]] = False
        image_ranks += ((scores > best) & wrong).sum(0) + 0.5 * ((scores == best) & wrong).sum(0)
    return np.where(np.isfinite(best), image_ranks, np.nan), caption_ranks


def _any_of(own: NDArray[np.float64], m: int, k: int) -> NDArray[np.float64]:
    """Return the chance that any of each image's captions is among k of m at random."""
    from scipy.special import gammaln

    left = m - own
    with np.errstate(invalid="ignore"):
        none = gammaln(left + 1) - gammaln(left - k + 1) - gammaln(m + 1) + gammaln(max(m - k, 0) + 1)
        return np.where(left < k, 1.0, 1 - np.exp(none))


def _estimate(
    hits: NDArray[np.float64], asked: NDArray[np.float64], chance: float, images: int, weights: NDArray[np.float64],
    level: float, minimum: int,
) -> Estimate:  # fmt: skip
    n, total = int(asked.sum()), float(hits.sum())
    if images < minimum:
        return Estimate.without("insufficient", f"{images} images, fewer than {minimum}", n=n, level=level)
    value, below = total / n, weights @ asked
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(below > 0, weights @ hits / below, np.nan)
    low, high = (float(end) for end in bootstrap_interval(value, drawn, level, bounds=(0.0, 1.0)))
    return Estimate(value, min(low, value), max(high, value), level, n, total, float(n), chance)
