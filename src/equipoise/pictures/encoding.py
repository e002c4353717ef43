"""The work of an encoder: its pictures become vectors with a direction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.model_output import answer, checked, name_of
from equipoise.data.vectors import unit, unusable
from equipoise.models.preprocessing import Preprocessing
from equipoise.pictures.passing import Work
from equipoise.protocols import Encoder

MOST_WORKERS = 8


def default_workers() -> int:
    """Return how many threads decode unless a number is given: one a core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cores)


def encoder_work(
    encoder: Encoder,
    ref: str,
    *,
    policy: ImagePolicy | None = None,
    batch_size: int = 64,
    shard_rows: int = 1024,
    workers: int | None = None,
    engine: str = "local",
    root: Path | None = None,
) -> Work:
    """Return the work of an encoder; parameters as for :func:`equipoise.embed`."""
    preprocessing = getattr(encoder, "preprocessing", None)
    prepared = isinstance(preprocessing, Preprocessing)

    def encode(pictures: list[Any], names: list[str]) -> NDArray[np.float32]:
        batch = np.stack(pictures) if prepared else pictures
        vectors = answer(encoder, encoder.encode_image, batch, "picture")
        return checked(vectors, len(batch), encoder.dim, f"Encoder {name_of(encoder)}", "picture", names)

    return Work(
        model=encoder,
        ref=ref,
        name=encoder.name,
        fingerprint=encoder.fingerprint,
        encode=encode,
        width=encoder.dim,
        prepare=preprocessing.picture if isinstance(preprocessing, Preprocessing) else _as_it_is,
        preprocessing=preprocessing.to_dict() if isinstance(preprocessing, Preprocessing) else {},
        judge=directions,
        policy=policy or ImagePolicy(),
        batch_size=batch_size,
        shard_rows=shard_rows,
        workers=default_workers() if workers is None else workers,
        engine=engine,
        root=root,
    )


def directions(vectors: NDArray[np.float32]) -> list[str]:
    """Return why each vector cannot be used: one of length zero has no direction."""
    reasons = [""] * len(vectors)
    for reason, rows in unusable(unit(vectors)[1]).items():
        for row in rows:
            reasons[row] = f"embedding: {reason}"
    return reasons


def _as_it_is(image: Any) -> Any:
    return image
