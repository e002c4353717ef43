"""Rows or cells as sparse columns of moments, and the two passes over them that a solver needs.

A row's moments are the products of W = [M s | M | 1] (w columns of attributes and masks) and Y = [y | 1] (R columns of
labels). Rows that share a pattern of W share the coefficients of their labels, so that a pass is one sparse product
over the labels that are there, whatever the number of attributes; where patterns are too many (soft scores), the
products are formed row by row.

Notation: C cells or rows, m columns, G masks, w = m + G + 1, c labels, R = c + 1, T patterns of W.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

DENSE_FACTOR = 4
"""Patterns are used while their table of coefficients is at most so many times the number of labels that are there."""

SMALL = 1 << 20
"""... or has at most so many entries."""


class Passes(Protocol):
    """What a solver asks of cells or rows: see :class:`Design`."""

    n: int
    shape: tuple[int, int]

    def linear(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (C,) sums of coefficients times each row's moments."""
        ...

    def sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (w, R) moments summed over rows with weights (C,)."""
        ...


class Design:
    """Columns of C cells.

    Parameters
    ----------
    s : array_like (C, m)
        Attribute columns in [0, 1].
    y : array_like or scipy sparse (C, c)
        Label columns in [0, 1].
    masks : array_like (C, G), optional
        Rows that each mask lets take part, 0 or 1.
    mask_of : array_like (m,), int, optional
        Mask of each column; G for "every row" (the default).
    patterns : bool, optional
        Whether coefficients are formed a pattern (else a row); by the number of patterns when None.

    Attributes
    ----------
    shape : tuple of int
        (w, R) of a table of moments.
    """

    def __init__(
        self,
        s: ArrayLike,
        y: Any,
        masks: ArrayLike | None = None,
        mask_of: ArrayLike | None = None,
        *,
        patterns: bool | None = None,
    ) -> None:
        from scipy.sparse import csr_array

        s = np.asarray(s, dtype=np.float64)
        n, m = s.shape
        masks = np.zeros((n, 0)) if masks is None else np.asarray(masks, dtype=np.float64)
        groups = masks.shape[1]
        every = np.ones((n, 1))
        factors = np.hstack([masks, every])
        mask_of = np.full(m, groups) if mask_of is None else np.asarray(mask_of, np.int64)
        self.w = np.hstack([s * factors[:, mask_of], factors])
        labels = csr_array(y, dtype=np.float64)
        labels.eliminate_zeros()
        self.y = _with_ones(labels)
        self.n = n
        self.shape = (self.w.shape[1], self.y.shape[1])
        self._patterns: NDArray[np.float64] | None = None
        codes, first = _codes(self.w)
        if patterns is None:
            patterns = first.size * self.shape[1] <= max(SMALL, DENSE_FACTOR * self.y.nnz)
        if patterns:
            index = np.repeat(codes * self.shape[1], np.diff(self.y.indptr)) + self.y.indices
            size = (n, first.size * self.shape[1])
            self._patterns = self.w[first]
            self._phi = csr_array((self.y.data, index.astype(np.int32), self.y.indptr), shape=size)
            self._phi_t = self._phi.T
        else:
            self._y_t = self.y.T

    def linear(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (C,) sums of coefficients (w, R) times each row's moments."""
        if self._patterns is not None:
            return self._phi @ _product(self._patterns, theta).ravel()
        return np.einsum("cw,cw->c", self.w, self.y @ theta.T)

    def sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (w, R) moments summed over rows with weights (C,)."""
        if self._patterns is not None:
            return self._patterns.T @ (self._phi_t @ weights).reshape(len(self._patterns), -1)
        return np.asarray(self._y_t @ (self.w * weights[:, None])).T


def _product(patterns: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return patterns @ theta, each row in one order of summation whatever the other rows are."""
    out = np.zeros((len(patterns), theta.shape[1]))
    for column, row in zip(patterns.T, theta, strict=True):
        out += column[:, None] * row
    return out


def _with_ones(y: Any) -> Any:
    """Return a CSR matrix with a last column of ones."""
    from scipy.sparse import csr_array

    n, c = y.shape
    indptr = y.indptr.astype(np.int64) + np.arange(n + 1)
    last = indptr[1:] - 1
    place = np.ones(int(indptr[-1]), bool)
    place[last] = False
    indices = np.full(place.size, c, dtype=np.int32)
    indices[place] = y.indices
    data = np.ones(place.size)
    data[place] = y.data
    return csr_array((data, indices, indptr.astype(np.int32 if place.size < 2**31 else np.int64)), shape=(n, c + 1))


def _codes(w: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (C,) numbers of the different rows of ``w``, in order of their values, and a first row of each."""
    code = np.zeros(len(w), np.int64)
    size = 1
    for column in w.T:
        if column.size and (column == column[0]).all():
            continue
        if np.logical_or(column == 0, column == 1).all():
            digit, base = column.astype(np.int64), 2
        else:
            values, digit = np.unique(column, return_inverse=True)
            base = values.size
        if size * base > 2**62:
            found, code = np.unique(code, return_inverse=True)
            size = found.size
        code, size = code * base + digit, size * base
    _, first, code = np.unique(code, return_index=True, return_inverse=True)
    return code.astype(np.int64), first.astype(np.int64)
