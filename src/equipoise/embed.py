"""Samples and an encoder become an EmbeddingSet, in memory or in a store."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.data.precomputed_folder import VectorFiles
from equipoise.data.samples import Samples
from equipoise.data.vectors import TextVectors
from equipoise.errors import InputError, listed
from equipoise.models.references import load_encoder
from equipoise.protocols import Encoder
from equipoise.store.embeddings import EmbeddingSet, reasons_of
from equipoise.store.opening import index_of
from equipoise.store.registering import register


def embed(
    encoder: str | Encoder, samples: Samples, *, store: str | Path | None = None, overwrite: bool = False
) -> EmbeddingSet:
    """Join rows with the embeddings of an encoder.

    Parameters
    ----------
    encoder : str or Encoder
        ``"precomputed:DIR"``, ``"demo"``, or an encoder with ``image_arrays``. Rows are joined by their id; where none
        matches, or they have none, by their column ``id``.
    samples : Samples
    store : path, optional
        Folder to register the embeddings in; nothing is copied. The same run again changes nothing; the table may have
        grown.
    overwrite : bool
        Whether a store of another run may be replaced.

    Returns
    -------
    EmbeddingSet
        Rows without an embedding, or with one that has no direction, are set aside with their reason.

    Raises
    ------
    InputError
        If no row has an embedding, or the encoder embeds pictures.
    EmbeddingError
        If arrays have the wrong shape, type or number of rows, or no row can be used.
    OutputExistsError, LockedError
        If the store holds another run, or another process works on it.
    """
    if isinstance(encoder, str):
        encoder = load_encoder(encoder)
    arrays: VectorFiles | None = getattr(encoder, "image_arrays", None)
    if arrays is None:
        raise InputError(
            f"Encoder '{encoder.name}' embeds pictures; this version registers embeddings.",
            "Use precomputed:DIR.",
            value=encoder.name,
        )
    words: VectorFiles | None = getattr(encoder, "text_arrays", None)
    ref = getattr(encoder, "ref", encoder.name)
    vectors = arrays.open()
    samples, index = _joined(samples, arrays.ids(vectors), ref)
    reasons = reasons_of(vectors, index)
    texts, lookup = None, None
    if words is not None:
        texts = (words, words.open())
        lookup = TextVectors(words.texts(texts[1]), texts[1], f"The texts of '{ref}'")
    files = [*arrays.arrays, *arrays.tables, *((*words.arrays, *words.tables) if words else ())]
    checksums = {path: sha256_of(path) for path in dict.fromkeys(files)}
    found = EmbeddingSet(
        samples,
        reasons,
        index,
        vectors,
        lookup,
        encoder={"ref": ref, "name": encoder.name, "fingerprint": encoder.fingerprint},
        preprocessing=getattr(encoder, "preprocessing", {}),
        inputs={**samples.inputs, **_named_by_folder(checksums)},
    )
    if store is not None:
        if Path(store).resolve() in {path.resolve().parent for path in checksums}:
            raise InputError(
                f"The store '{store}' is the folder that the embeddings come from; it would overwrite them.",
                "Choose another folder.",
                value=str(store),
            )
        register(found, samples, reasons, (arrays, vectors), texts, checksums, Path(store), overwrite=overwrite)
    return found


def _named_by_folder(checksums: dict[Path, str]) -> dict[str, str]:
    """Return checksums under names that do not depend on where the folder of the embeddings lies."""
    base = os.path.commonpath([os.path.abspath(path.parent) for path in checksums])
    return {f"embeddings/{Path(os.path.relpath(path, base)).as_posix()}": sha256 for path, sha256 in checksums.items()}


def _joined(samples: Samples, ids: pa.Array, ref: str) -> tuple[Samples, NDArray[np.int64]]:
    """Return the samples under the ids that the embeddings use, and the place of each."""
    if samples.id_from != "row number":
        index = index_of(samples.table["row_id"], ids)
        if (index >= 0).any():
            return samples, index
    if samples.id_from != "id" and samples.spare_id is not None:
        renamed = samples.by_spare_id()
        index = index_of(renamed.table["row_id"], ids)
        if (index >= 0).any():
            return renamed, index
    hint = "" if samples.id_from == "id" else f" Their id is the {samples.id_from}."
    raise InputError(
        f"No row has an embedding in '{ref}': rows are called {listed(map(repr, samples.ids[:3]))}, "
        f"embeddings {listed(map(repr, ids.slice(0, 3).to_pylist()))}.{hint}",
        "Name the column that holds the ids of the embeddings (--id).",
    )
