"""Images and the texts they are compared with, from arrays or an EmbeddingSet, checked and of unit length.

Notation: n images, d dimensions, P pairs or sets of W texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.data.vectors import unit
from equipoise.errors import EmbeddingError, InputError
from equipoise.stats import row_weights
from equipoise.store.embeddings import EmbeddingSet


@dataclass(frozen=True)
class Images:
    """Images and texts of one space.

    Attributes
    ----------
    source : EmbeddingSet or ndarray (n, d) float32
        Unit rows.
    text : ndarray (P, W, d) float32
        Unit vectors.
    clusters : ndarray (n,) int, or None
    """

    source: EmbeddingSet | NDArray[np.float32]
    text: NDArray[np.float32]
    clusters: NDArray[np.int64] | None

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (start, rows)."""
        if isinstance(self.source, EmbeddingSet):
            yield from self.source.blocks()
        else:
            yield 0, self.source

    def scores(self) -> NDArray[np.float32]:
        """Return the cosines (P, W, n)."""
        p, w, d = self.text.shape
        flat = self.text.reshape(-1, d)
        found = np.empty((p * w, len(self.source)), np.float32)
        for start, block in self.blocks():
            found[:, start : start + block.shape[0]] = flat @ block.T
        return found.reshape(p, w, -1)

    def means(self, values: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
        """Return bootstrap draws (B, P) of the means of values (P, n)."""
        return resampled_means(values, draws, seed, self.clusters)


def resampled_means(
    values: NDArray[np.float64], draws: int, seed: int, clusters: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    """Return bootstrap draws (B, P) of the means of values (P, n); whole clusters are drawn where there are."""
    found = np.empty((draws, values.shape[0]))
    for b in range(draws):
        weights = row_weights(values.shape[1], b, seed, clusters).astype(np.float64)
        found[b] = values @ weights / weights.sum()
    return found


def images_of(images: EmbeddingSet | ArrayLike, text: ArrayLike | None, clusters: ArrayLike | None = None) -> Images:
    """Check images and texts and bring them to unit length.

    Raises
    ------
    EmbeddingError, InputError
        If texts are missing, shapes or widths do not fit, or a vector is zero or not finite.
    """
    if text is None:
        raise InputError("Images were given as an array, and no text.", "Give the vectors of the words (P, G, d).")
    words = np.asarray(text)
    words = words[None] if words.ndim == 2 else words
    if words.ndim != 3 or 0 in words.shape:
        raise EmbeddingError(f"The text has the shape {np.shape(text)}.", "Give (P, G, d), or (G, d) for one set.")
    flat, lengths = unit(words.reshape(-1, words.shape[-1]).astype(np.float64))
    _usable(lengths, "The text")
    if isinstance(images, EmbeddingSet):
        if clusters is not None:
            raise InputError("Clusters of an EmbeddingSet are those of its samples.", "Leave 'clusters' out.")
        source: Any = images
        width, groups = images.dim, clusters_of_samples(images)
    else:
        array = np.asarray(images)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise EmbeddingError(f"The images have the shape {array.shape} and {array.dtype}.", "Give floats (n, d).")
        source, lengths = unit(array)
        _usable(lengths, "The images")
        width = array.shape[1]
        groups = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)
        if groups is not None and groups.shape != (array.shape[0],):
            raise InputError(f"{groups.size} clusters for {array.shape[0]} images.", "Give one number an image.")
    if width != flat.shape[1]:
        raise EmbeddingError(
            f"Images have {width} dimensions, the text {flat.shape[1]}: they share no space.", "Use one encoder."
        )
    return Images(source, flat.reshape(words.shape), groups)


def groups_of(
    images: EmbeddingSet | ArrayLike, by: str | ArrayLike, names: Sequence[str] | None, minimum: int
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.bool_]]:
    """Return the group of each image (n,), -1 where unknown, the groups, and which have enough images (G,).

    Raises
    ------
    InputError
        If groups and images do not fit, or fewer than two groups have ``minimum`` images.
    """
    if isinstance(images, EmbeddingSet):
        if not isinstance(by, str):
            raise InputError(
                "The groups of an EmbeddingSet are an attribute of its samples.", "Name it, as by='gender'."
            )
        code, names = np.asarray(images.samples.codes(by)), images.vocabulary.groups(by)
    else:
        code = np.asarray(by)
    fits = code.shape == (len(np.asarray(images)) if not isinstance(images, EmbeddingSet) else len(images),)
    if not fits or code.dtype.kind not in "iu" or (names is not None and (code >= len(names)).any()):
        raise InputError(
            f"Groups of shape {code.shape} and {code.dtype} do not fit the images, or their {len(names or ())} names.",
            "Give the number of its group for each image, -1 where it is unknown.",
        )
    groups = tuple(names) if names is not None else tuple(str(g) for g in range(int(code.max(initial=-1)) + 1))
    counts = np.bincount(code[code >= 0], minlength=len(groups))
    valid = counts >= minimum
    if valid.sum() < 2:
        raise InputError(
            f"Fewer than two groups have {minimum} images ({counts.tolist()}).",
            "Give more images, or lower 'min_group'.",
        )
    return code.astype(np.int64), groups, valid


def clusters_of_samples(data: EmbeddingSet) -> NDArray[np.int64] | None:
    """Return the cluster number (n,) of every row, None where no row has one; a row without is one of its own."""
    if "cluster" not in data.samples.roles:
        return None
    names = [str(name or "") for name in data.samples.column("cluster")]
    if not any(names):
        return None
    own = [name or f"\0row {i}" for i, name in enumerate(names)]
    return np.unique(np.asarray(own, object), return_inverse=True)[1].astype(np.int64)


def _usable(lengths: NDArray[np.float64], what: str) -> None:
    bad = ~np.isfinite(lengths) | (lengths <= 0)
    if bad.any():
        raise EmbeddingError(
            f"{what} have {int(bad.sum())} vectors that are zero or not finite, first number {int(np.argmax(bad))}.",
            "Set those rows aside.",
        )
