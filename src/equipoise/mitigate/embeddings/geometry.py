"""Rows of vectors and the subspaces that group vectors span: what every edit of this room needs.

Notation: n rows, d dimensions, m group vectors, r the rank of a span; ``...`` are leading axes, one span each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import EmbeddingError, InputError, listed

RANK_TOLERANCE = 1e-6
"""A singular value below this share of the largest one counts as zero: float32 vectors hold 1e-7."""

BLOCK = 1024
"""Rows that are edited at a time, so that they stay in the processor's cache between the two products."""


def working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that computes vectors of ``dtype``: float64 stays, everything smaller is float32."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def as_rows(x: ArrayLike, width: int | None = None, *, what: str = "the queries", against: str = "") -> NDArray[Any]:
    """Return ``x`` as an (n, d) array of floats without copying one, or say what is wrong with it.

    Parameters
    ----------
    x : array_like (n, d)
        float16, bfloat16 (of ml_dtypes), float32 or float64.
    width : int, optional
        The d that is expected.
    what : str
        What a message calls the rows.
    against : str
        What has ``width`` columns, for the message.

    Raises
    ------
    InputError
        If ``x`` is not two-dimensional or not of floats.
    EmbeddingError
        If it has another width.
    """
    rows = np.asarray(x)
    if rows.ndim != 2:
        raise InputError(
            f"{what.capitalize()} have the shape {rows.shape}.", "Pass (rows, dimensions).", value=rows.shape
        )
    if rows.dtype.kind != "f" and rows.dtype.name != "bfloat16":
        raise InputError(
            f"{what.capitalize()} are of {rows.dtype}.", "Pass floating-point vectors.", value=str(rows.dtype)
        )
    if width is not None and rows.shape[1] != width:
        name = what.removeprefix("the ")
        raise EmbeddingError(
            f"{name.capitalize()} have {rows.shape[1]} columns, {against} {width}: they do not share a space.",
            value=rows.shape[1],
        )
    return rows


def check_rows(x: NDArray[Any], what: str = "the queries") -> None:
    """Raise EmbeddingError naming the rows that are not finite or have no direction; rows count from 0."""
    wide = x.astype(working(x.dtype), copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", wide, wide)
    if np.isfinite(squares).all() and (squares > 0).all():
        return
    if bad := np.flatnonzero(~np.isfinite(wide).all(axis=1)).tolist():
        raise _bad_rows(bad, what, "NaN or infinite values")
    if bad := np.flatnonzero(~wide.any(axis=1)).tolist():
        raise _bad_rows(bad, what, "zero length")


def named_rows(rows: list[int]) -> str:
    """Return ``"Row 3"``, ``"Rows 3 and 7"`` or ``"Rows 3, 7, 9"`` (ten at most, then how many more)."""
    if len(rows) == 1:
        return f"Row {rows[0]}"
    return f"Rows {rows[0]} and {rows[1]}" if len(rows) == 2 else f"Rows {listed(rows)}"


def _bad_rows(rows: list[int], what: str, fault: str) -> EmbeddingError:
    verb = "has" if len(rows) == 1 else "have"
    return EmbeddingError(
        f"{named_rows(rows)} of {what} {verb} {fault}.", "Leave them out (rows count from 0).", value=rows
    )


def lengths(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return (..., 1) float64 lengths of the last axis, safe from overflow and underflow."""
    wide = np.asarray(x, dtype=np.float64)
    if wide.shape[-1] == 0:
        return np.zeros((*wide.shape[:-1], 1))
    largest = np.abs(wide).max(axis=-1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    return scale * np.linalg.norm(wide / scale, axis=-1, keepdims=True)


def unit(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``x`` in float64 with the last axis at length 1; zero rows stay zero."""
    size = lengths(x)
    return np.asarray(x, dtype=np.float64) / np.where(size > 0, size, 1.0)


@dataclass(frozen=True)
class Span:
    """The span of some vectors, by QR and then the singular value decomposition of the small factor.

    With the vectors as the columns of A (d x m), A = basis diag(singular) right. Directions that count as zero are
    zero columns of ``basis`` and zero rows of ``right`` (left out altogether when there are no leading axes).

    Attributes
    ----------
    basis : ndarray (..., d, r), float64
        Orthonormal or zero columns.
    singular : ndarray (..., r), float64
        Singular values; infinity in place of zero, so that dividing by them cuts the direction.
    right : ndarray (..., r, m), float64
    condition : ndarray (...), float64
        Largest over smallest of the singular values that count.
    """

    basis: NDArray[np.float64]
    singular: NDArray[np.float64]
    right: NDArray[np.float64]
    condition: NDArray[np.float64]


def span(vectors: NDArray[Any]) -> Span:
    """Return the span of (..., m, d) vectors; no (d, d) matrix is formed and A^T A never inverted."""
    q, small = np.linalg.qr(np.swapaxes(np.asarray(vectors, dtype=np.float64), -1, -2))
    left, singular, right = np.linalg.svd(small, full_matrices=False)
    counts = (singular > RANK_TOLERANCE * singular[..., :1]) & (singular > 0)
    smallest = np.where(counts, singular, np.inf).min(axis=-1)
    condition = np.where(counts.any(axis=-1), singular[..., 0] / smallest, np.inf)
    if vectors.ndim == 2:
        left, singular, right, counts = left[:, counts], singular[counts], right[counts], counts[counts]
    return Span(
        basis=q @ (left * counts[..., None, :]),
        singular=np.where(counts, singular, np.inf),
        right=right * counts[..., None],
        condition=condition,
    )


def coordinates(x: NDArray[Any], basis: NDArray[Any]) -> NDArray[Any]:
    """Return (n, r) dot products of rows (n, d) with one basis (d, r) or one basis a row (n, d, r)."""
    return x @ basis if basis.ndim == 2 else np.matmul(x[:, None, :], basis)[:, 0, :]


def combined(c: NDArray[Any], basis: NDArray[Any]) -> NDArray[Any]:
    """Return (n, d) sums of basis vectors with the coordinates (n, r); the transpose of :func:`coordinates`."""
    return c @ basis.T if basis.ndim == 2 else np.matmul(basis, c[:, :, None])[:, :, 0]
