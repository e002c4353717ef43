"""The mathematics of WRING: the subspace of the groups, where in it a vector may turn to, and turning it.

Notation: n rows, d dimensions, m group vectors (the columns of A), r the rank of A, q attributes; ``...`` are leading
axes, one frame each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import MethodRefusal
from equipoise.mitigate.embeddings.geometry import (
    BLOCK,
    check_rows,
    combined,
    coordinates,
    lengths,
    named_rows,
    span,
    unit,
    working,
)

RESIDUAL = 1e-6
"""Relative residual of A^T w = t above which no such w exists."""

CENTRED = 1e-3
"""Common cosine of w with the groups below which they count as centred: w would be made of rounding and noise."""


@dataclass(frozen=True)
class Frame:
    """The subspace of the group vectors and, in its coordinates, where a query may turn to.

    Attributes
    ----------
    basis : ndarray (..., d, r)
        Orthonormal (or zero) columns that span the groups.
    target : ndarray (..., r, q)
        Orthonormal (or zero) columns; one, w itself, for a single attribute.
    common : ndarray (...)
        Largest common similarity of the target with the groups of an attribute; 0 when there is no target.
    """

    basis: NDArray[Any]
    target: NDArray[Any]
    common: NDArray[np.float64]

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Whether there is a direction to turn to, (...)."""
        return self.common >= CENTRED


def rotation_frame(vectors: NDArray[Any], wanted: NDArray[np.float64]) -> Frame:
    """Return the frame of (..., m, d) group vectors.

    ``wanted`` (m, q): column j holds the ratios of dot products with the groups of attribute j, and zeros elsewhere. A
    direction w of the span qualifies when A^T w = wanted s for some s. With A = U diag(z) V^T this is
    w = U diag(1/z) V^T wanted s, for those s for which wanted s lies in the range of V.
    """
    groups = span(vectors)
    wanted = wanted / np.linalg.norm(wanted, axis=0)
    reached = groups.right @ wanted
    residual = wanted - np.swapaxes(groups.right, -1, -2) @ reached
    if wanted.shape[1] == 1:
        exists = np.linalg.norm(residual, axis=-2, keepdims=True) <= RESIDUAL
        target = _directed(reached / groups.singular[..., None] * exists)
    else:
        _, lost, mixes = np.linalg.svd(residual, full_matrices=False)
        mixes = np.swapaxes(mixes * (lost <= RESIDUAL)[..., None], -1, -2)
        left, size, _ = np.linalg.svd(reached @ mixes / groups.singular[..., None], full_matrices=False)
        target = left * ((size > RESIDUAL * size[..., :1]) & (size > 0))[..., None, :]
    seen = np.swapaxes(groups.right, -1, -2) @ (
        np.where(np.isinf(groups.singular), 0, groups.singular)[..., None] * target
    )
    common = np.sqrt((seen**2).sum(axis=-1).max(axis=-1))
    return Frame(groups.basis, target, common)


def _directed(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.linalg.norm(columns, axis=-2, keepdims=True)
    return columns / np.where(size > 0, size, 1.0)


def rotation_frames(
    vectors: NDArray[Any],
    concepts: Mapping[str, Sequence[str]],
    shares: Mapping[str, Mapping[str, float]] | None,
    *,
    together: bool,
) -> list[Frame]:
    """Return one frame for all attributes together, or one for each in turn.

    Parameters
    ----------
    vectors : ndarray (..., m, d)
        The groups of every attribute, in the order of ``concepts``.
    concepts : mapping of attribute to its groups
    shares : mapping of attribute to group to number, optional
        Ratios of similarities in place of equal ones.
    """
    columns = []
    for key, groups in concepts.items():
        given = (shares or {}).get(key)
        columns.append(np.array([given[group] if given else 1.0 for group in groups]))
    ends = np.cumsum([len(column) for column in columns])
    if not together:
        parts = np.split(vectors, ends[:-1], axis=-2)
        return [rotation_frame(part, column[:, None]) for part, column in zip(parts, columns, strict=True)]
    wanted = np.zeros((ends[-1], len(columns)))
    for j, (column, end) in enumerate(zip(columns, ends, strict=True)):
        wanted[end - len(column) : end, j] = column
    return [rotation_frame(vectors, wanted)]


def turned(inside: NDArray[Any], target: NDArray[Any], strength: float, sign: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (n, r) coordinates of |P v| w from those of P v, and (n,) the cosine of the angle between them.

    ``target`` is (r, q) or (n, r, q). A row without a part inside has the cosine 1. For q > 1 w is the unit projection
    of P v on the target columns, which is the nearest point; where P v is orthogonal to all of them it is the first.
    """
    largest = np.abs(inside).max(axis=1, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest, 1).astype(inside.dtype)
    along = inside / scale
    size = np.sqrt(np.einsum("ij,ij->i", along, along))[:, None]
    weight = coordinates(along, target)
    if target.shape[-1] == 1:
        w = target[..., 0]
        if sign == "nearest":
            w = np.where(weight < 0, -w, w)
    else:
        weight[np.linalg.norm(weight, axis=1) <= np.finfo(weight.dtype).eps, 0] = 1
        w = combined(weight / np.linalg.norm(weight, axis=1, keepdims=True), target)
    unit_size = np.where(size > 0, size, 1)
    cosine = np.where(size[:, 0] > 0, (along * w).sum(axis=1) / unit_size[:, 0], 1)
    if strength < 1:
        w = _on_arc(along / unit_size, w, strength)
    return (scale * size) * w, cosine


def _on_arc(a: NDArray[Any], w: NDArray[Any], strength: float) -> NDArray[Any]:
    """Return the unit vector at angle strength * theta from a towards w; a itself where no plane is defined."""
    cosine = (a * w).sum(axis=1, keepdims=True)
    across = w - cosine * a
    sine = np.linalg.norm(across, axis=1, keepdims=True)
    theta = np.arctan2(sine, cosine) * a.dtype.type(strength)
    tiny = sine <= 4 * np.finfo(a.dtype).eps
    return np.where(tiny, a, np.cos(theta) * a + np.sin(theta) * across / np.where(tiny, 1, sine))


def rotate(
    v: NDArray[Any], frame: Frame, strength: float = 1.0, sign: str = "positive"
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return v - P v + |P v| w for rows (n, d), in the dtype of ``v``, and (n,) the cosine of P v with w.

    The frame is one for all rows, or one a row. Rows are taken a block at a time: one product finds the coordinates
    inside the span, one puts the changed ones back.

    Raises
    ------
    EmbeddingError
        If a row is NaN, infinite or zero.
    """
    kind = working(v.dtype)
    basis, target = frame.basis.astype(kind), frame.target.astype(kind)
    if basis.ndim == 3:
        check_rows(v)
        out, cosine = _rotated(v.astype(kind, copy=False), basis, target, strength, sign)
        return out.astype(v.dtype, copy=False), cosine.astype(np.float64)
    out, cosine = np.empty(v.shape, dtype=v.dtype), np.empty(len(v))
    basis, back = np.ascontiguousarray(basis), np.ascontiguousarray(basis.T)
    for start in range(0, len(v), BLOCK):
        block = slice(start, start + BLOCK)
        rows = np.ascontiguousarray(v[block], dtype=kind)
        with np.errstate(over="ignore", invalid="ignore"):
            inside, squares = rows @ basis, np.vdot(rows, rows)
        # A sum of squares meets every NaN and infinity, a zero row has no part inside: two cheap signs of a bad row.
        if not (np.isfinite(squares) and inside.any(axis=1).all()):
            check_rows(v)
            wide, cosine[block] = _rotated(unit(rows), frame.basis, frame.target, strength, sign)
            out[block] = lengths(rows) * wide
            continue
        new, cosine[block] = turned(inside, target, strength, sign)
        new -= inside
        if v.dtype == kind:
            np.matmul(new, back, out=out[block])
            out[block] += rows
        else:
            out[block] = rows + new @ back
    return out, cosine


def _rotated(
    v: NDArray[Any], basis: NDArray[Any], target: NDArray[Any], strength: float, sign: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    inside = coordinates(v, basis)
    new, cosine = turned(inside, target, strength, sign)
    return v + combined(new - inside, basis), cosine


def infeasible(frame: Frame, of: str, m: int, rows: Sequence[int] = ()) -> MethodRefusal:
    """Return the refusal for group vectors without a direction equally similar to all of them."""
    common = float(np.min(frame.common))
    what = "their mean" if m == 2 else "a weighted mean of them"
    where = f" (for {named_rows(list(rows)).lower()} of the queries)" if rows else ""
    return MethodRefusal(
        f"No direction has the same similarity to every group{of}{where}: the group vectors are centred "
        f"({what} is {common:.4f} long).",
        "Pass raw embeddings, or " + ("on_infeasible='difference'." if of else "remove the differences instead."),
        value=common,
    )
