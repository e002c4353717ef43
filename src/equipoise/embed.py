"""Samples and an encoder become an EmbeddingSet, in memory or in a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.data.image_policy import ImagePolicy
from equipoise.data.precomputed_folder import VectorFiles
from equipoise.data.samples import Samples
from equipoise.data.vectors import TextVectors
from equipoise.errors import ChecksumError, EmbeddingError, FingerprintError, InputError, expect, listed
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.references import load_encoder, prepared_by, takes_preprocessing
from equipoise.pictures.encoding import encoder_work
from equipoise.pictures.passing import Passed, Work, through
from equipoise.protocols import Encoder
from equipoise.schema import plain
from equipoise.store.embeddings import EmbeddingSet, reasons_of
from equipoise.store.opening import index_of
from equipoise.store.registering import register
from equipoise.store.texts import GrowingTexts


def embed(
    encoder: str | Encoder,
    samples: Samples,
    *,
    store: str | Path | None = None,
    overwrite: bool = False,
    batch_size: int = 64,
    shard_rows: int = 1024,
    workers: int | None = None,
    policy: ImagePolicy | None = None,
    preprocess: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    device: str = "auto",
    engine: str = "local",
) -> EmbeddingSet:
    """Join rows with the embeddings of an encoder.

    Parameters
    ----------
    encoder : str or Encoder
        A reference or an encoder. One that embeds pictures reads those of the role ``image``. One that holds embeddings
        (``"precomputed:DIR"``) is joined with the rows by their id; where none matches, or they have none, by their
        column ``id``.
    samples : Samples
    store : path, optional
        Folder to keep the embeddings in. A run that was interrupted goes on there; a second run over a finished store
        opens no picture; the table may have grown; pictures that changed are found by their checksum and embedded again,
        with their block. Embeddings that exist already are registered and not copied.
    overwrite : bool
        Whether a store of another run may be replaced. Pictures that were embedded in the same way are not embedded again.
    batch_size : int
        Pictures a batch. As with ``shard_rows``, ``policy`` and ``preprocess``, a store is refused another value.
    shard_rows : int
        Rows of a file of the store, after which a run is safe.
    workers : int, optional
        Threads that decode pictures; one a core, at most 8, unless given.
    policy : ImagePolicy, optional
        Limits and decisions under which pictures are decoded.
    preprocess : str, path, mapping or Preprocessing, optional
        Instead of the encoder's own preprocessing.
    device : str
        Where the encoder of a reference runs, as ``"cuda:0"``.
    engine : str
        Who runs the blocks; ``"local"``: this process.

    Returns
    -------
    EmbeddingSet
        Rows without an embedding, with a picture that cannot be used or with a vector that has no direction are set aside
        with their reason. With the pictures, the captions and the prompts of the vocabulary are embedded.

    Raises
    ------
    InputError
        If no row has an embedding, no column of pictures is named, or an argument does not apply.
    EmbeddingError
        If arrays or a model's answers have the wrong shape, type or number of rows, or no row can be used.
    OutputExistsError, LockedError
        If the store holds another run (the difference is shown) or other rows, or another process works on it.
    ChecksumError, MissingFileError
        If a file of the store was edited or deleted.
    """
    if not isinstance(encoder, (str, Encoder)):
        raise InputError(
            f"The encoder is a {type(encoder).__name__}.",
            "Give a reference, as 'demo' or 'precomputed:DIR', or an object with name, dim, fingerprint, encode_text and "
            "encode_image.",
            value=encoder,
        )
    ref = encoder if isinstance(encoder, str) else getattr(encoder, "ref", encoder.name)
    named, wanted = isinstance(encoder, str), preprocess
    expect(samples, Samples, "What is to be embedded", "Give Samples: equipoise.read_samples(table, image=...).")
    if isinstance(encoder, str):
        taken = preprocess is not None and takes_preprocessing(encoder)
        encoder = load_encoder(encoder, preprocessing=preprocess if taken else None, device=device)
        preprocess = None if taken else preprocess
    live = _of_pictures(encoder, samples)
    if live is None:
        if preprocess is not None or engine != "local":
            raise InputError(
                f"'{ref}' holds embeddings; pictures are not read again.",
                "Leave --preprocess and --engine out.",
                value=ref,
            )
        return _registered(encoder, samples, store, overwrite=overwrite)
    if preprocess is not None:
        live = prepared_by(live, preprocess)
    work = encoder_work(
        live, ref, policy=policy, batch_size=batch_size, shard_rows=shard_rows, workers=workers, engine=engine
    )
    if named:
        work = replace(work, remake=partial(_again, ref, wanted, device, policy, batch_size))
    folder = None if store is None else Path(store)
    passed = through(work, samples, store=folder, overwrite=overwrite)
    words = GrowingTexts(
        dim=work.width,
        fingerprint=work.fingerprint,
        what=f"The texts of '{ref}'",
        encoder=live,
        ref=ref,
        store=folder,
    )
    return EmbeddingSet(
        passed.samples,
        passed.reasons,
        passed.index,
        passed.vectors,
        words,
        encoder={"ref": ref, "name": work.name, "fingerprint": plain(work.fingerprint)},
        preprocessing=work.manifest_preprocessing(),
        inputs=samples.inputs,
        notes=[*passed.notes, *_embedded(words, passed)],
    )


def _again(ref: str, preprocess: Any, device: str, policy: ImagePolicy | None, batch_size: int) -> Work:
    """Return the work of an encoder in another process, which has one core to read with."""
    encoder: Any = load_encoder(ref, device=device, preprocessing=preprocess)
    live = encoder.live if getattr(encoder, "image_arrays", None) is not None else encoder
    return encoder_work(live, ref, policy=policy, batch_size=batch_size, workers=1)


def _of_pictures(encoder: Encoder, samples: Samples) -> Encoder | None:
    """Return the encoder that embeds these pictures, None where it holds embeddings that exist already."""
    arrays: VectorFiles | None = getattr(encoder, "image_arrays", None)
    if arrays is None:
        return encoder
    if "image" not in samples.roles or getattr(type(encoder), "live", None) is None:
        return None
    ids = arrays.ids(arrays.open())
    named = [samples.table["row_id"], *([] if samples.spare_id is None else [pa.chunked_array([samples.spare_id])])]
    known = samples.id_from != "row number" and any((index_of(column, ids) >= 0).any() for column in named)
    return None if known else encoder.live  # type: ignore[attr-defined]


def _embedded(words: GrowingTexts, passed: Passed) -> list[str]:
    """Embed the captions of usable rows and the prompts of the vocabulary, each text once; return what is to be said."""
    samples = passed.samples
    captions = samples.table["caption"].to_pylist() if "caption" in samples.table.column_names else []
    texts = [text for text, reason in zip(captions, passed.reasons, strict=False) if not reason and text.strip()]
    for attribute in samples.vocabulary.attributes.values():
        for group in attribute.prompts:
            texts += attribute.prompt_texts(group)
    try:
        words(list(dict.fromkeys(texts)))
    except (ChecksumError, EmbeddingError, FingerprintError):
        raise
    except InputError as error:  # an encoder without words is of use too
        return [f"Captions and prompts were not embedded: {error.what}"]
    return []


def _registered(encoder: Encoder, samples: Samples, store: str | Path | None, *, overwrite: bool) -> EmbeddingSet:
    """Join rows with embeddings that lie in files."""
    arrays: VectorFiles = encoder.image_arrays  # type: ignore[attr-defined]
    words: VectorFiles | None = getattr(encoder, "text_arrays", None)
    ref = getattr(encoder, "ref", encoder.name)
    folder = None if store is None else Path(store)
    vectors = arrays.open()
    samples, index = _joined(samples, arrays.ids(vectors), ref)
    reasons = reasons_of(vectors, index)
    texts, lookup = None, None
    what = f"The texts of '{ref}'"
    if words is not None:
        texts = (words, words.open())
        lookup = TextVectors(words.texts(texts[1]), texts[1], what)
    files = [*arrays.arrays, *arrays.tables, *((*words.arrays, *words.tables) if words else ())]
    checksums = {path: sha256_of(path) for path in dict.fromkeys(files)}

    def joined(words: TextVectors | GrowingTexts | None) -> EmbeddingSet:
        return EmbeddingSet(
            samples,
            reasons,
            index,
            vectors,
            words,
            encoder={"ref": ref, "name": encoder.name, "fingerprint": encoder.fingerprint},
            preprocessing=getattr(encoder, "preprocessing", {}),
            inputs={**samples.inputs, **_named_by_folder(checksums)},
        )

    if folder is not None:
        if folder.resolve() in {path.resolve().parent for path in checksums}:
            raise InputError(
                f"The store '{store}' is the folder that the embeddings come from; it would overwrite them.",
                "Choose another folder.",
                value=str(store),
            )
        found = joined(lookup)
        register(found, samples, reasons, (arrays, vectors), texts, checksums, folder, overwrite=overwrite)
    return joined(
        GrowingTexts(
            dim=vectors.dim,
            fingerprint=encoder.fingerprint,
            what=what,
            encoder=encoder if hasattr(type(encoder), "live") else None,
            ref=ref,
            base=lookup,
            store=folder,
        )
    )


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
