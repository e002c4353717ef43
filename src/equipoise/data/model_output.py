"""What a model answers, checked: counts, widths and finite numbers, with errors that name the model.

Notation: n pictures, m texts, d dimensions, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError, EquipoiseError, listed


def name_of(model: Any) -> str:
    """Return what a message calls a model."""
    return f"'{getattr(model, 'name', None) or type(model).__name__}'"


def checked_images(encoder: Any, pixels: Any) -> NDArray[np.float32]:
    """Return the (n, d) float32 vectors of an encoder's pictures, C order.

    Parameters
    ----------
    encoder : Encoder
    pixels : (n, h, w, 3) uint8, or a sequence of n pictures
        Whatever ``encode_image`` takes.

    Raises
    ------
    EmbeddingError
        If the answer has another shape or type, or a NaN or infinity; the message names the encoder and the pictures.
    """
    vectors = answer(encoder, encoder.encode_image, pixels, "picture")
    return checked(vectors, len(pixels), encoder.dim, f"Encoder {name_of(encoder)}", "picture")


def checked_texts(encoder: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the (m, d) float32 vectors of texts, C order; as :func:`checked_images`."""
    texts = list(texts)
    vectors = answer(encoder, encoder.encode_text, texts, "text")
    return checked(vectors, len(texts), encoder.dim, f"Encoder {name_of(encoder)}", "text", [repr(t) for t in texts])


def checked_scores(classifier: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (n, L) float32 logits of a classifier, C order; as :func:`checked_images`."""
    scores = answer(classifier, classifier.scores, pixels, "picture")
    return checked(scores, len(pixels), len(classifier.labels), f"Classifier {name_of(classifier)}", "picture")


def answer(model: Any, ask: Callable[[Any], Any], items: Any, noun: str) -> Any:
    """Return what a model answers; its own failure becomes an error of the input, one of memory stays what it is."""
    try:
        return ask(items)
    except (Exception, SystemExit) as error:  # somebody's model may fail in any way, and must not decide our exit code
        if isinstance(error, (EquipoiseError, MemoryError)) or "out of memory" in str(error).lower():
            raise
        raise EmbeddingError(
            f"{name_of(model)} failed on {len(items)} {noun}s: {type(error).__name__}: {error}.",
            "Mend the model, or its preprocessing.",
            value=getattr(model, "name", None),
        ) from error


def checked(
    values: Any,
    count: int,
    width: int,
    who: str,
    noun: str,
    called: Sequence[str] | None = None,
    *,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return a model's answer as (count, width) float32, C order, or raise EmbeddingError.

    Parameters
    ----------
    values : array
        What the model returned; a tensor is converted.
    count, width : int
    who, noun : str
        ``"Encoder 'x'"`` and ``"picture"``, for messages.
    called : sequence of str, optional
        What a message calls each item; its position unless given.
    finite : bool
        Whether NaN and infinity are refused here.
    """
    try:
        found = np.asarray(values)
    except Exception as error:  # tensors on another device, with a gradient, of a type that numpy lacks
        raise EmbeddingError(
            f"{who} returned a {type(values).__name__} that is no array: {error}.", "Return float32 numpy arrays."
        ) from error
    if found.dtype.kind != "f":
        raise EmbeddingError(
            f"{who} returned {found.dtype} for {count} {noun}s, not floats.", "Return float32.", value=str(found.dtype)
        )
    if found.shape != (count, width):
        raise EmbeddingError(
            f"{who} returned the shape {found.shape} for {count} {noun}s of {width} columns.",
            f"Return one row a {noun}, of the width that the model declares.",
            value=list(found.shape),
        )
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(found, np.float32)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist()
    if bad and finite:
        items = [called[row] for row in bad] if called else [f"{row}" for row in bad]
        raise EmbeddingError(
            f"{who} returned NaN or infinity for {len(bad)} of {count} {noun}s: {listed(items)}.",
            "Use float32, or look at what these do to the model.",
            value=bad,
        )
    return found
