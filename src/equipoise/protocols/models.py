"""What an encoder and a classifier promise; n pictures, m texts, d dimensions, L labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """Turns pictures and words into vectors of one space.

    ``fingerprint`` holds whatever decides the numbers (weights, preprocessing, dtype, versions); two encoders with equal
    fingerprints give equal vectors.
    """

    name: str
    dim: int
    fingerprint: dict[str, Any]

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 vectors, one per text; they need not be normalised."""
        ...

    def encode_image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Return (n, d) float32 vectors, one per picture; they need not be normalised."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Anything that scores pictures: (n, 3, h, w) pixels in [0, 1] to (n, L) logits.

    ``preprocessing`` (an ``equipoise.models.preprocessing.Preprocessing``) says which geometry the pixels have; its
    normalisation happens inside ``scores``, so that whoever changes pixels changes what a person would see.

    A classifier may also have ``card``, as ``{"accuracy": 0.751, "n": 50000}``: what its makers say of it; ``notes``: what
    a person must know of it, as that its weights look untrained; and ``with_preprocessing(preprocessing)``, which
    returns the same model behind another preprocessing.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the scores, in their order, no two alike."""
        ...

    @property
    def preprocessing(self) -> Any:
        """How a picture becomes its input."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Whatever decides the scores (weights, preprocessing, dtype, versions), as JSON values."""
        ...

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits."""
        ...
