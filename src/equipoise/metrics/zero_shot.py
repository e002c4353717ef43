"""Zero-shot classification by an encoder: predictions from cosines, accuracy, and what groups make of each class.

Notation: n images, L classes y, G groups a; the prediction is the class whose text has the highest cosine with the
image. Functions read counts (..., G, L, L) by group, label and prediction. Fields differ on which gap of accuracies is
meant, so both are here by name: average minus worst (FairerCLIP; Group DRO) and best minus worst.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import EmbeddingError
from equipoise.metrics import gaps
from equipoise.metrics.classification import ACCURACY_MARGIN, Accuracy
from equipoise.protocols import Counts, Floats, Metric, MetricDescriptor
from equipoise.stats.intervals import Interval, wilson


def zero_shot_predictions(
    image_blocks: Iterable[tuple[int, NDArray[np.floating[Any]]]], class_vectors: NDArray[np.floating[Any]]
) -> NDArray[np.int32]:
    """Return the class with the highest cosine for each image; of equals, the first class.

    Parameters
    ----------
    image_blocks : iterable of (start, ndarray (b, d))
        Image vectors in order, as ``EmbeddingSet.blocks`` gives them. Their length is irrelevant.
    class_vectors : ndarray (L, d)
        One text vector a class, of any length above 0.

    Returns
    -------
    ndarray (n,), int32

    Raises
    ------
    EmbeddingError
        If widths differ, or a class vector is zero or not finite.
    """
    class_vectors = np.asarray(class_vectors)
    length = np.linalg.norm(class_vectors.astype(np.float64), axis=-1)
    if class_vectors.ndim != 2 or not (np.isfinite(length) & (length > 0)).all():
        raise EmbeddingError(
            f"Class vectors of shape {class_vectors.shape} hold a zero or a value that is not finite.",
            "Give one finite vector a class, (L, d).",
        )
    unit = (class_vectors / length[:, None]).astype(np.float32)
    found = [np.empty(0, dtype=np.int32)]
    for _, block in image_blocks:
        if block.shape[-1] != unit.shape[1]:
            raise EmbeddingError(
                f"Image embeddings have {block.shape[-1]} columns, class vectors {unit.shape[1]}: they share no space.",
                "Use text and images of one encoder.",
            )
        found.append((block @ unit.T).argmax(1).astype(np.int32))
    return np.concatenate(found)


class ZeroShotAccuracy(Metric):
    """Share of all rows whose nearest class text is their label; every group counts. Interval: Wilson."""

    descriptor = MetricDescriptor(
        name="zero_shot_accuracy",
        protocol="nearest_class_text",
        evidence="counts",
        role="utility",
        direction="higher",
        signed=False,
        margin=ACCURACY_MARGIN,
        unit="share in [0, 1]",
        formula="P(p = y), p the class whose text has the highest cosine with the image",
        source="zero-shot classification of Radford et al. (2021), ICML (CLIP)",
        title="zero-shot accuracy",
    )

    def statistic(self, evidence: Counts) -> Floats:
        """Return the accuracy over all rows, (...)."""
        return gaps.divide(*self.counted(evidence))

    def interval(self, evidence: Counts, level: float) -> Interval:
        """Return Wilson limits."""
        return wilson(*self.counted(evidence), level)

    def counted(self, evidence: Counts) -> tuple[Floats, Floats]:
        """Return correct rows and rows, (...)."""
        right, rows = Accuracy.cells(evidence)
        return right.sum(-1), rows.sum(-1)


def class_parity_gaps(evidence: Counts) -> Floats:
    """Return demographic parity of each class, (..., L): max_a - min_a P(p = y | a)."""
    counts = np.asarray(evidence.counts, dtype=np.float64)
    rates = gaps.divide(counts.sum(-2), counts.sum((-2, -1))[..., None])
    return gaps.spread(np.moveaxis(rates, -1, -2), evidence.valid)


def class_opportunity_gaps(evidence: Counts) -> Floats:
    """Return the equal-opportunity gap of each class, (..., L): max_a - min_a P(p = y | y, a).

    This is the number that some published code calls demographic parity.
    """
    return gaps.spread(np.moveaxis(cell_accuracies(evidence), -1, -2), evidence.valid)


def cell_accuracies(evidence: Counts) -> Floats:
    """Return P(p = y | y, a) of each group and class, (..., G, L); NaN where there is no row."""
    counts = np.asarray(evidence.counts, dtype=np.float64)
    return gaps.divide(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1))


def worst_group_accuracy(evidence: Counts, min_cell: int = 1) -> Floats:
    """Return the smallest accuracy over cells (class, group), (...): Sagawa et al. (2020), ICLR (Group DRO).

    Parameters
    ----------
    evidence : Counts
        Groups that are not ``valid`` take no part.
    min_cell : int
        Cells with fewer rows take no part. NaN where none is left.
    """
    return _extreme(evidence, min_cell, best=False)


def average_accuracy(evidence: Counts, cell_weights: ArrayLike | None = None) -> Floats:
    """Return the accuracy over all rows, (...), or re-weighted.

    Parameters
    ----------
    evidence : Counts
    cell_weights : array_like (G, L), optional
        Wanted weight of each cell (group, class), say its rows in the training set, as Waterbirds is reported; the
        sample's own by default. NaN where a cell with weight has no row.
    """
    if cell_weights is None:
        return ZeroShotAccuracy().statistic(evidence)
    weights = np.asarray(cell_weights, dtype=np.float64)
    return np.where(weights > 0, cell_accuracies(evidence) * weights, 0.0).sum((-2, -1)) / weights.sum()


def average_minus_worst(evidence: Counts, cell_weights: ArrayLike | None = None, min_cell: int = 1) -> Floats:
    """Return :func:`average_accuracy` minus :func:`worst_group_accuracy`, (...): the gap of FairerCLIP."""
    return average_accuracy(evidence, cell_weights) - worst_group_accuracy(evidence, min_cell)


def best_minus_worst(evidence: Counts, min_cell: int = 1) -> Floats:
    """Return the largest minus the smallest accuracy over cells (class, group), (...)."""
    return _extreme(evidence, min_cell, best=True) - worst_group_accuracy(evidence, min_cell)


def _extreme(evidence: Counts, min_cell: int, *, best: bool) -> Floats:
    cells = np.asarray(evidence.counts, dtype=np.float64).sum(-1)
    accuracies = cell_accuracies(evidence)
    taking_part = np.asarray(evidence.valid, dtype=bool)[:, None] & (cells >= max(min_cell, 1))
    flat, mask = accuracies.reshape(*cells.shape[:-2], -1), taking_part.reshape(*cells.shape[:-2], -1)
    value = gaps.largest(flat, mask) if best else gaps.smallest(flat, mask)
    return np.where(mask.any(-1), value, np.nan)
