"""Projection: remove the span of the group vectors, or only the span of their differences.

``SpanProjection`` is the orthogonal projection of Chuang et al. (2023), "Debiasing Vision-Language Models via Biased
Prompts", section 3, without their calibration: v' = (I - P) v with P the projector on the span of the raw group
vectors. It also removes what the groups share, so that the cosine with any direction orthogonal to the span grows by
1 / sqrt(1 - p^2), p = |Pv| / |v|.

``DifferenceProjection`` removes the span of the differences c_i - c_j alone (ours; the second step of Gerych et al.
(2024), "BendVLM", in closed form). It keeps what the groups share and grows such cosines by
1 / sqrt(1 - p^2 sin^2 theta), theta the angle between Pv and the vector of the span that is equally similar to all
groups.

Notation: n rows, d dimensions, m group vectors. Departures: directions are cut by singular values, so that repeated
or dependent group vectors are no trouble; the length of each row is restored (the original sets it to 1; cosines are
the same).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.mitigate.embeddings.edit import GroupEdit
from equipoise.mitigate.embeddings.geometry import (
    BLOCK,
    as_rows,
    check_rows,
    combined,
    coordinates,
    lengths,
    span,
    unit,
)

NOTHING_LEFT = 1e-5
"""A row of which less than this share remains has no direction that float32 could tell from rounding: it becomes zero."""


def project_span(v: ArrayLike, groups: ArrayLike, *, renormalise: bool = True) -> NDArray[Any]:
    """Remove the span of the group vectors from every row.

    Parameters
    ----------
    v : array_like (n, d), float
        Rows of any length but zero.
    groups : array_like (m, d), float
        Group vectors of any length but zero.
    renormalise : bool
        Restore the length of each row. Of a row that lies in the span nothing is left: it becomes zero.

    Returns
    -------
    ndarray (n, d)
        Of the dtype of ``v``, computed in float64; orthogonal to every group vector.

    Raises
    ------
    EmbeddingError
        If a row is NaN, infinite or zero.
    """
    rows, basis = _prepared(v, groups, span_basis)
    return remove(rows, basis, renormalise=renormalise)


def project_differences(v: ArrayLike, groups: ArrayLike, *, renormalise: bool = True) -> NDArray[Any]:
    """Remove the span of the differences of the (unit) group vectors from every row.

    Parameters, returns and errors are those of :func:`project_span`; the result has the same dot product with every
    unit group vector.
    """
    rows, basis = _prepared(v, groups, difference_basis)
    return remove(rows, basis, renormalise=renormalise)


def span_basis(vectors: NDArray[Any], blocks: Sequence[int] = ()) -> NDArray[np.float64]:
    """Return (..., d, r) orthonormal columns that span (..., m, d) vectors."""
    return span(vectors).basis


def difference_basis(vectors: NDArray[Any], blocks: Sequence[int] = ()) -> NDArray[np.float64]:
    """Return (..., d, r) orthonormal columns that span the differences within each block of (..., m, d) vectors.

    ``blocks`` are the numbers of groups of each concept, in the order of the vectors; one block when empty.
    """
    edges = np.cumsum(blocks)[:-1] if len(blocks) else []
    parts = np.split(np.asarray(vectors, dtype=np.float64), edges, axis=-2)
    return span(np.concatenate([part - part.mean(axis=-2, keepdims=True) for part in parts], axis=-2)).basis


def remove(v: NDArray[Any], basis: NDArray[np.float64], *, renormalise: bool) -> NDArray[Any]:
    """Return v - P v for one basis (d, r) or one a row (n, d, r), in the dtype of ``v``; see :func:`project_span`."""
    out = np.empty(v.shape, dtype=v.dtype)
    for start in range(0, len(v), BLOCK):
        block = slice(start, start + BLOCK)
        part, own = v[block].astype(np.float64), basis if basis.ndim == 2 else basis[block]
        left = part - combined(coordinates(part, own), own)
        if renormalise:
            before, after = lengths(part), lengths(left)
            some = after > NOTHING_LEFT * before
            left *= np.where(some, before / np.where(some, after, 1), 0)
        out[block] = left
    return out


def _prepared(v: ArrayLike, groups: ArrayLike, basis: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    vectors = as_rows(groups, what="the group vectors")
    check_rows(vectors, "the group vectors")
    rows = as_rows(v, vectors.shape[1], against="group vectors")
    check_rows(rows)
    return rows, basis(unit(vectors))


class _Projection(GroupEdit):
    """What both projections share: one orthonormal basis, removed from every row."""

    OPTIONS: ClassVar[tuple[str, ...]] = (*GroupEdit.OPTIONS, "renormalise")

    def __init__(self, attribute: str | Sequence[str], *, renormalise: bool = True, **options: Any) -> None:
        super().__init__(attribute, **options)
        self.renormalise = renormalise
        self._basis: NDArray[np.float64] | None = None
        self.guarantees = self._declared()

    @staticmethod
    @abstractmethod
    def basis(vectors: NDArray[Any], blocks: Sequence[int] = ()) -> NDArray[np.float64]:
        """Return the (..., d, r) columns that are removed."""

    def _declared(self) -> tuple[str, ...]:
        held = ["rotation_commutes", "homogeneous"]
        if self.normalise or self.basis is span_basis:
            held.append("equal_cosine")
        if not self.local:
            held.append("idempotent")
        if self.renormalise:
            return (*held, "norm_kept")
        return (*held, "orthogonal_untouched", *(() if self.local else ("linear", "non_expansive")))

    def _prepare(self) -> None:
        fixed = self.vectors_.fixed
        self._basis = None if fixed is None else self.basis(fixed, self.vectors_.blocks)

    def _edit(self, x: NDArray[Any], vectors: NDArray[np.float64], numbers: NDArray[np.intp]) -> NDArray[Any]:
        basis = self.basis(vectors, self.vectors_.blocks) if self._basis is None else self._basis
        out = remove(x, basis, renormalise=self.renormalise)
        if gone := len(out) - int(out.any(axis=1).sum()):
            self._notes["gone"] = (
                f"{self.title} left nothing of {gone} of {len(out)} queries: they lie in the span it removes and are zero now."
            )
        return out

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {} if self._basis is None else {"basis": self._basis}

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._basis = arrays.get("basis")


class SpanProjection(_Projection):
    """Remove the span of the group vectors (Chuang et al. 2023, without calibration).

    Parameters
    ----------
    attribute : str or sequence of str
        ``"gender"``, ``"gender:race"`` (one group per combination), or several attributes at once.
    renormalise : bool
        Restore the length of each row; cosines do not depend on it. A query that lies in the span that is removed
        becomes zero, with a note.
    **options
        ``vectors``, ``k``, ``templates``, ``leave_explicit``, ``min_group`` of :class:`~.edit.GroupEdit`.
    """

    name = "span-projection"
    title = "Span projection"
    basis = staticmethod(span_basis)

    def controls(self) -> list[Any]:
        """Return the difference projection and the no-op on the same group vectors."""
        return [self.sibling(DifferenceProjection, renormalise=self.renormalise), self.no_op()]


class DifferenceProjection(_Projection):
    """Remove the span of the differences of the group vectors, and keep what they share.

    Parameters are those of :class:`SpanProjection`.
    """

    name = "difference-projection"
    title = "Difference projection"
    basis = staticmethod(difference_basis)

    def controls(self) -> list[Any]:
        """Return the span projection and the no-op on the same group vectors."""
        return [self.sibling(SpanProjection, renormalise=self.renormalise), self.no_op()]
