"""Cells: how many rows show each combination of codes, counted in one pass and summed to margins.

Notation: n rows, a code per row and column, ``shape`` the number of values of each column. A code of -1 means unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError

BLOCK = 1 << 15
"""Rows counted at a time: their flattened codes stay in the second-level cache."""

MOST_CELLS = 1 << 28
"""Above this many cells a table is refused: it would take more than 2 GiB."""


def count_codes(*codes: ArrayLike, shape: Sequence[int], weights: ArrayLike | None = None) -> NDArray[Any]:
    """Return the table of joint counts of several columns of codes.

    Parameters
    ----------
    *codes : array_like of integers or bool, each of shape (n,)
        ``codes[j][i]`` in ``0 .. shape[j] - 1``, or -1 for unknown: a row with any -1 is in no cell. Small dtypes
        (uint8, int32) are read as they are.
    shape : sequence of int
        Number of values of each column, at least 1 each.
    weights : array_like, shape (n,), optional
        Weight of each row, finite and at least 0.

    Returns
    -------
    ndarray of ``shape``
        int64 counts, or float64 sums of weights where ``weights`` is given.

    Raises
    ------
    InputError
        If columns differ in length, a code is no integer or outside its range, a weight is negative or not finite, or
        the table would have more than 2^28 cells.
    """
    shape = tuple(int(size) for size in shape)
    columns = _checked(codes, shape)
    n, cells = columns[0].size, math.prod(shape)
    if cells > MOST_CELLS:
        raise InputError(
            f"A table of {' x '.join(map(str, shape))} cells is too large.", "Count fewer columns at a time."
        )
    heavy = None if weights is None else _weights(weights, n)
    unknown = [column for column in columns if column.dtype.kind == "i" and n and column.min() < 0]
    # one cell more than the table takes the rows with an unknown code
    total = np.zeros(cells + 1, dtype=np.int64 if heavy is None else np.float64)
    small = np.min_scalar_type(cells)
    block = max(BLOCK, cells)
    for start in range(0, n, block):
        rows = slice(start, start + block)
        flat = columns[0][rows].astype(small)
        for size, column in zip(shape[1:], columns[1:], strict=True):
            flat *= small.type(size)
            flat += column[rows].astype(small, copy=False)
        for column in unknown:
            flat[column[rows] < 0] = cells
        total += np.bincount(flat, None if heavy is None else heavy[rows], minlength=cells + 1)
    return total[:-1].reshape(shape)


def marginal(table: ArrayLike, *axes: int) -> NDArray[Any]:
    """Return the table summed over all axes but ``axes``, which come out in the order given.

    ``marginal(counts, 0)`` of a group x label x prediction table are the rows of each group; no axis gives the total.

    Raises
    ------
    InputError
        If an axis is named twice or is not there.
    """
    table = np.asarray(table)
    kept = [axis + table.ndim if axis < 0 else axis for axis in axes]
    if len(set(kept)) < len(kept) or any(not 0 <= axis < table.ndim for axis in kept):
        raise InputError(f"axes {axes} of a table with {table.ndim} axes", "name each axis once, from 0", value=axes)
    summed = table.sum(axis=tuple(axis for axis in range(table.ndim) if axis not in kept))
    return np.transpose(summed, [sorted(kept).index(axis) for axis in kept])


def conditional(table: ArrayLike, *given: int) -> NDArray[np.float64]:
    """Return shares within each combination of the axes ``given``, NaN where there is no row.

    ``conditional(counts, 0)`` sums to 1 within each group; without an axis the whole table sums to 1.
    """
    table = np.asarray(table, dtype=np.float64)
    marginal(table, *given)  # refuses axes that are not there
    kept = {axis % table.ndim for axis in given}
    total = table.sum(axis=tuple(axis for axis in range(table.ndim) if axis not in kept), keepdims=True)
    with np.errstate(invalid="ignore"):
        return table / np.where(total > 0, total, np.nan)


def _checked(codes: Sequence[ArrayLike], shape: tuple[int, ...]) -> list[NDArray[Any]]:
    columns = [np.asarray(column) for column in codes]
    if not columns or len(columns) != len(shape):
        raise InputError(
            f"{len(columns)} columns of codes and a shape of {len(shape)} sizes", "Give one size a column."
        )
    for place, (column, size) in enumerate(zip(columns, shape, strict=True)):
        if size < 1:
            raise InputError(f"shape is {shape}: column {place} has no value", "Give sizes of at least 1.", value=shape)
        if column.ndim != 1 or column.size != columns[0].size:
            raise InputError(
                f"Column {place} of the codes has shape {column.shape}, column 0 has {columns[0].shape}.",
                "Give one code a row in each column.",
            )
        if column.dtype.kind not in "iub":
            raise InputError(f"Column {place} holds {column.dtype}, not integers.", "Encode values as 0, 1, 2, ...")
        if column.size and (column.min() < -1 or column.max() >= size):
            raise InputError(
                f"Codes of column {place} run from {column.min()} to {column.max()}, outside 0 .. {size - 1}.",
                "Encode unknown as -1 and every other value within the shape.",
            )
    return columns


def _weights(weights: ArrayLike, n: int) -> NDArray[np.float64]:
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (n,):
        raise InputError(f"weights have shape {array.shape}, expected ({n},)", "Give one weight a row.")
    if not np.isfinite(array).all() or (array < 0).any():
        row = int(np.flatnonzero(~np.isfinite(array) | (array < 0))[0])
        raise InputError(f"The weight of row {row} is {array[row]}.", "Give finite weights of at least 0.", value=row)
    return array
