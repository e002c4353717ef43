"""Logits of a classifier, by row: the same store as embeddings, whose vectors are the scores of the labels.

``manifest.json`` then says so: ``parameters`` holds ``{"holds": "logits", "labels": [...]}``.

Notation: n rows, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.samples import Samples
from equipoise.data.vectors import Vectors
from equipoise.errors import SchemaError
from equipoise.schema import Manifest

BLOCK = 8192
HOLDS = "logits"


@dataclass(frozen=True)
class Logits:
    """Scores of every label, for the rows whose picture could be used.

    Attributes
    ----------
    samples : Samples
        All rows, sorted by id.
    reasons : list of str, (rows,)
        Why a row has no logits, ``""`` where it has some.
    index : ndarray (rows,), int64
        Row of ``vectors`` that belongs to each row; -1 where there is none.
    vectors : Vectors
        (n, L) float32; on disk where they come from a store.
    labels : tuple of str
        Of the model, in the order of the columns.
    model : dict
        ``ref``, ``name`` and ``fingerprint``.
    preprocessing : dict
    """

    samples: Samples
    reasons: Sequence[str]
    index: NDArray[np.int64]
    vectors: Vectors
    labels: tuple[str, ...]
    model: dict[str, Any]
    preprocessing: dict[str, Any]

    def __post_init__(self) -> None:
        if self.vectors.dim != len(self.labels):
            raise SchemaError(
                f"The logits have {self.vectors.dim} columns for {len(self.labels)} labels.", "Make the store again."
            )

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def set_aside(self) -> dict[str, int]:
        """Reason to number of rows."""
        return dict(sorted(Counter(reason for reason in self.reasons if reason).items()))

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield (places in ``samples``, (b, L) float32 logits), at most ``size`` usable rows at a time."""
        usable = np.flatnonzero([not reason for reason in self.reasons])
        for start in range(0, len(usable), size):
            rows = usable[start : start + size]
            yield rows, np.asarray(self.vectors.take(self.index[rows]), np.float32)

    @classmethod
    def load(cls, store: str | Path) -> Logits:
        """Open a store that ``predict`` wrote; every file is checked against its SHA-256, logits stay on disk.

        Raises
        ------
        MissingFileError, SchemaError, ChecksumError
            Naming the file; or if the store holds embeddings.
        """
        from equipoise.store.files import read_table
        from equipoise.store.opening import TABLE, in_order, read_manifest, rows_of
        from equipoise.store.shards import ShardReader

        store = Path(store)
        manifest = read_manifest(store)
        labels = labels_of(manifest)
        if labels is None:
            raise SchemaError(
                f"'{store}' holds embeddings, not the logits of a classifier.", "Open it with EmbeddingSet.load."
            )
        rows = read_table(store / TABLE, manifest.rows_sha256)
        samples, reasons = rows_of(manifest, rows, store)
        vectors = ShardReader(store, manifest.images).vectors()
        return cls(
            samples, reasons, in_order(rows, samples, vectors), vectors, labels,
            {"ref": manifest.encoder, "name": manifest.parameters.get("name", ""), "fingerprint": manifest.fingerprint},
            manifest.preprocessing,
        )  # fmt: skip


def labels_of(manifest: Manifest) -> tuple[str, ...] | None:
    """Return the labels of a store of logits, None for one of embeddings."""
    if manifest.parameters.get("holds") != HOLDS:
        return None
    return tuple(manifest.parameters["labels"])
