"""The trial that a model passes before a store trusts it: the same pictures again, in reverse and one by one.

What every answer goes through (shape, type, finite numbers) is in :mod:`equipoise.data.model_output`, and at hand here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.model_output import answer, checked, checked_images, checked_scores, checked_texts, name_of
from equipoise.errors import EmbeddingError, InputError
from equipoise.models.preprocessing import Preprocessing, unit_pixels

__all__ = [
    "Proof",
    "answer",
    "asked",
    "checked",
    "checked_images",
    "checked_scores",
    "checked_texts",
    "name_of",
    "prove",
]

TOLERANCE = 1e-4
"""Largest difference of a unit vector's entry (or of a logit, over the largest logit) between batches, in float32."""
HALF_TOLERANCE = 3e-2
"""The same where the model says that it computes in bfloat16 or float16, whose steps are 2^-8 and 2^-11."""


@dataclass(frozen=True)
class Proof:
    """Largest differences between answers to the same pictures.

    Attributes
    ----------
    again : float
        The same batch twice.
    reversed : float
        The batch in reverse.
    single : float
        One by one.
    tolerance : float
        What was allowed.
    """

    again: float
    reversed: float
    single: float
    tolerance: float


def prove(model: Any, pictures: Sequence[Any], *, tolerance: float | None = None) -> Proof:
    """Return how far a model's answers to the same pictures differ, or refuse the model.

    Parameters
    ----------
    model : Encoder or Classifier
    pictures : sequence of PIL RGB pictures
        At least 2, all different, as 4 of those that are to be embedded.
    tolerance : float, optional
        Largest difference of an entry: of vectors brought to unit length, or of logits over the largest absolute logit.
        1e-4 unless given, 3e-2 where the fingerprint's ``dtype`` is bfloat16 or float16: batches of another size take
        other paths through a matrix product.

    Raises
    ------
    EmbeddingError
        If an answer changes from one call to the next (dropout left on), depends on the other pictures of its batch
        (batch normalisation left in training), or a batch comes back in another order.
    """
    if len(pictures) < 2:
        raise InputError(f"{len(pictures)} pictures prove nothing about order.", "Give 2 or more.")
    if tolerance is None:
        said = getattr(model, "fingerprint", {})
        own = said.get("model")  # what an object of a factory says of itself
        kinds = [str(part.get("dtype", "")) for part in (said, own) if isinstance(part, dict)]
        half = any(kind in ("bfloat16", "float16") for kind in kinds)
        tolerance = HALF_TOLERANCE if half else TOLERANCE
    who = name_of(model)

    def ask(rows: Sequence[int]) -> NDArray[np.float64]:
        found = asked(model, [pictures[row] for row in rows]).astype(np.float64)
        if hasattr(model, "scores"):
            return found
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(lengths > 0, lengths, 1)

    rows = list(range(len(pictures)))
    first, again, back = ask(rows), ask(rows), ask(rows[::-1])[::-1]
    single = np.concatenate([ask([row]) for row in rows])
    scale = max(float(np.abs(first).max()), 1e-30) if hasattr(model, "scores") else 1.0
    apart = [float(np.abs(first - other).max()) / scale for other in (again, back, single)]
    if apart[0] > tolerance:
        raise EmbeddingError(
            f"{who} answers the same pictures differently from call to call (by {apart[0]:.2g}).",
            "Put it into evaluation mode, and fix its seeds.",
            value=apart[0],
        )
    if max(apart) > tolerance:
        nearest = np.array([np.abs(first - one).max(axis=1).argmin() for one in single])
        near = np.abs(first[nearest] - single).max() / scale
        if near <= tolerance and sorted(nearest.tolist()) == rows:
            raise EmbeddingError(
                f"{who} returns a batch in another order: picture {int(np.flatnonzero(nearest != rows)[0])} "
                f"comes back in row {int(nearest[nearest != rows][0])}.",
                "Return the rows in the order of the pictures.",
                value=nearest.tolist(),
            )
        raise EmbeddingError(
            f"The answer of {who} for a picture depends on the pictures beside it: it differs by {apart[1]:.2g} in a "
            f"reversed batch and by {apart[2]:.2g} alone (at most {tolerance:g}).",
            "Put it into evaluation mode; batch statistics must not be used.",
            value=max(apart),
        )
    return Proof(apart[0], apart[1], apart[2], tolerance)


def asked(model: Any, pictures: Sequence[Any]) -> NDArray[np.float32]:
    """Return the checked vectors or scores of PIL RGB pictures, prepared as the model wants them."""
    preprocessing = getattr(model, "preprocessing", None)
    if not isinstance(preprocessing, Preprocessing):
        if hasattr(model, "scores"):
            raise InputError(
                f"Classifier {name_of(model)} has no preprocessing.", "Give it one (equipoise.models.preprocessing)."
            )
        return checked_images(model, list(pictures))
    pixels = np.stack([preprocessing.picture(picture) for picture in pictures])
    return checked_scores(model, unit_pixels(pixels)) if hasattr(model, "scores") else checked_images(model, pixels)
