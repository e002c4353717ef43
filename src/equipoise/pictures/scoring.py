"""The work of a classifier: its pictures become logits, which are the vectors of the same store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.model_output import answer, checked, name_of
from equipoise.models.preprocessing import Preprocessing, unit_pixels
from equipoise.pictures.encoding import default_workers
from equipoise.pictures.passing import Work
from equipoise.protocols import Classifier
from equipoise.store.logits import HOLDS


def classifier_work(
    classifier: Classifier,
    ref: str,
    *,
    policy: ImagePolicy | None = None,
    batch_size: int = 64,
    shard_rows: int = 1024,
    workers: int | None = None,
    engine: str = "local",
    root: Path | None = None,
) -> Work:
    """Return the work of a classifier; parameters as for :func:`equipoise.predict`.

    Geometry is done in the decoding threads; the classifier gets (n, 3, h, w) float32 pixels in [0, 1].
    """
    preprocessing: Preprocessing = classifier.preprocessing
    labels = tuple(classifier.labels)

    def encode(pictures: list[Any], names: list[str]) -> NDArray[np.float32]:
        scores = answer(classifier, classifier.scores, unit_pixels(np.stack(pictures)), "picture")
        who = f"Classifier {name_of(classifier)}"
        return checked(scores, len(pictures), len(labels), who, "picture", names)

    return Work(
        model=classifier,
        ref=ref,
        name=classifier.name,
        fingerprint=classifier.fingerprint,
        encode=encode,
        width=len(labels),
        prepare=preprocessing.picture,
        preprocessing=preprocessing.to_dict(),
        policy=policy or ImagePolicy(),
        batch_size=batch_size,
        shard_rows=shard_rows,
        workers=default_workers() if workers is None else workers,
        engine=engine,
        root=root,
        parameters={"holds": HOLDS, "labels": list(labels)},
    )
