"""Embeddings that were made elsewhere, as an encoder: texts are looked up, pictures are joined by their id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.data.precomputed_folder import PrecomputedFolder, VectorFiles, read_folder
from equipoise.data.vectors import TextVectors, Vectors
from equipoise.errors import EmbeddingError, InputError, MissingTextError


class Precomputed:
    """A folder of embeddings behaves as an encoder whose pictures are already embedded.

    Parameters
    ----------
    folder : PrecomputedFolder
    ref : str
        How a person refers to it.

    Attributes
    ----------
    name : str
        From ``encoder.json``, else the name of the folder.
    dim : int
    fingerprint : dict
        What decides the numbers: the SHA-256 of ``encoder.json``, or of the image arrays where there is none.
    preprocessing : dict
        From ``encoder.json``.
    image_arrays, text_arrays : VectorFiles, VectorFiles or None
    """

    def __init__(self, folder: PrecomputedFolder, ref: str) -> None:
        self.ref = ref
        self.folder = folder.path
        self.image_arrays: VectorFiles = folder.images
        self.text_arrays: VectorFiles | None = folder.texts
        card = _read_card(folder.card)
        self.name = str(card.get("name") or folder.path.resolve().name)
        self.preprocessing: dict[str, Any] = card.get("preprocessing", {})
        self.dim = self.image_vectors.dim
        if self.text_vectors is not None and self.text_vectors.dim != self.dim:
            raise EmbeddingError(
                f"Image embeddings have {self.dim} columns, text embeddings {self.text_vectors.dim}: "
                "they do not share a space.",
                "Embed pictures and texts with one encoder.",
            )
        self._card = folder.card

    @cached_property
    def image_vectors(self) -> Vectors:
        """The image arrays, memory-mapped."""
        return self.image_arrays.open()

    @cached_property
    def text_vectors(self) -> TextVectors | None:
        """The texts with their vectors; None where there are none."""
        if self.text_arrays is None:
            return None
        vectors = self.text_arrays.open()
        return TextVectors(self.text_arrays.texts(vectors), vectors, f"The texts of '{self.ref}'")

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers."""
        made_by: dict[str, Any] = (
            {"card": sha256_of(self._card)}
            if self._card
            else {"images": [sha256_of(path) for path in self.image_arrays.arrays]}
        )
        return {"kind": "precomputed", "dim": self.dim, **made_by}

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 unit vectors, looked up by the exact string; InputError lists the missing."""
        if self.text_vectors is None:
            raise MissingTextError(
                f"'{self.ref}' has no text vectors.",
                "Add text.npy and texts.csv (column text) made by the same encoder.",
                value=list(texts),
            )
        return self.text_vectors(texts)

    def encode_image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Refuse: there is no model here, only its vectors."""
        raise InputError(
            f"'{self.ref}' holds embeddings and cannot embed pictures.", "Join them by id with equipoise.embed."
        )


def load(argument: str) -> Precomputed:
    """Return the encoder of ``precomputed:DIR``."""
    if not argument:
        raise InputError("'precomputed' names no folder.", "Write precomputed:DIR.")
    return Precomputed(read_folder(argument), f"precomputed:{argument}")


def _read_card(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"'{path}' cannot be read as JSON: {error}.", "Mend it or remove it.", value=str(path)
        ) from error
    if not isinstance(card, dict) or not isinstance(card.get("preprocessing", {}), dict):
        raise InputError(
            f"'{path}' is not a card: it and its 'preprocessing' are objects.", "Mend it.", value=str(path)
        )
    return card
