"""Keys of cells: sorted, different, with counts; what the bits of one say."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from equipoise.data.layout import Layout
from equipoise.errors import InputError

MOST_ROWS = 2**53
"""More rows than this are refused: sums of counts would no longer be exact in float64."""


def unpacked(keys: NDArray[np.uint64], layout: Layout) -> NDArray[np.bool_]:
    """Return (n, J) bits of keys (n,) or (n, words), in the order of ``layout.names``."""
    words = keys.reshape(len(keys), layout.words).astype("<u8", copy=False)
    raw = np.ascontiguousarray(words).view(np.uint8).reshape(len(keys), words.shape[1] * 8)
    return np.unpackbits(raw, axis=1, bitorder="little", count=layout.size).view(np.bool_)


def utility_of(keys: NDArray[np.uint64], layout: Layout) -> NDArray[np.float64]:
    """Return (n,) utility of keys; 1 where the layout has none."""
    if not layout.utility_bins:
        return np.ones(len(keys))
    number = unpacked(keys, layout)[:, -4:] @ (1 << np.arange(4))
    if number.size and number.max() >= len(layout.utility_bins):
        raise InputError("A key names a utility that the layout does not have.", "Count the rows with this layout.")
    return np.asarray(layout.utility_bins)[number]


def group_keys(
    keys: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the different keys in ascending order, the number of each row's key, and the counts."""
    order = _order(keys)
    ordered = keys[order]
    starts = _starts(ordered)
    number = np.zeros(len(keys), np.int64)
    number[order] = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    return ordered[first], number, np.diff(np.append(first, len(keys)))


def _order(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    if keys.ndim == 1:
        return np.argsort(keys, kind="stable")
    return np.lexsort(keys.T[::-1])


def _starts(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which keys of a sorted array differ from the one before."""
    starts = np.ones(len(ordered), bool)
    differs = ordered[1:] != ordered[:-1]
    starts[1:] = differs if ordered.ndim == 1 else differs.any(axis=1)
    return starts


def grouped(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return different ascending keys with the sums of their counts, those of 0 left out."""
    if not (counts > 0).all():
        keys, counts = keys[counts > 0], counts[counts > 0]
    if not len(keys):
        return keys.copy(), counts.copy()
    if keys.ndim == 1 and counts.max() == 1:  # rows: sorting them alone is twice as fast as sorting with their places
        ordered = np.sort(keys)
        first = np.flatnonzero(_starts(ordered))
        return ordered[first], np.diff(np.append(first, len(ordered)))
    order = _order(keys)
    ordered = keys[order]
    first = np.flatnonzero(_starts(ordered))
    return ordered[first], np.add.reduceat(counts[order], first)


def added(
    one: tuple[NDArray[np.uint64], NDArray[np.int64]], two: tuple[NDArray[np.uint64], NDArray[np.int64]]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return two sorted sets of cells as one."""
    check_total(float(one[1].sum()) + float(two[1].sum()))
    return grouped(np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]]))


def no_keys(layout: Layout) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return no keys and no counts."""
    shape = (0,) if layout.words == 1 else (0, layout.words)
    return np.zeros(shape, np.uint64), np.zeros(0, np.int64)


def checked(keys: ArrayLike, counts: ArrayLike, layout: Layout) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return keys and counts as they must be, or refuse them."""
    keys, counts = np.asarray(keys), np.asarray(counts)
    if keys.dtype != np.uint64 or counts.dtype.kind not in "iu":
        raise InputError(f"Keys are {keys.dtype} and counts {counts.dtype}.", "Pass uint64 keys and int64 counts.")
    shape = (len(counts),) if layout.words == 1 else (len(counts), layout.words)
    if counts.ndim != 1 or keys.shape != shape:
        raise InputError(
            f"Keys have shape {keys.shape}, counts {counts.shape}.",
            f"A layout of {layout.size} bits has keys of shape {shape}.",
        )
    if counts.size and int(counts.min()) < 0:
        raise InputError(f"A count is {int(counts.min())}.", "Counts are at least 0.", value=int(counts.min()))
    check_total(float(counts.sum(dtype=np.float64)))
    top = layout.size % 64
    last = keys.reshape(len(counts), layout.words)[:, -1]
    if top and last.size and int(last.max()) >> top:
        raise InputError(
            f"A key has bits above the {layout.size} of the layout.", "Count the rows with this layout.",
            value=int(last.max()),
        )  # fmt: skip
    return keys, counts.astype(np.int64, copy=False)


def check_total(total: float) -> None:
    """Refuse more rows than are counted exactly."""
    if total > MOST_ROWS:
        raise InputError(
            f"The counts add up to {total:.4g} rows; at most 2^53 = {MOST_ROWS:.4g} are counted exactly.",
            "Divide all counts by a common number: weights depend on shares alone.",
            value=total,
        )


def keys_from_arrow(column: pa.Array, layout: Layout) -> NDArray[np.uint64]:
    """Return keys of another engine: whole numbers, decimals, or big-endian bytes."""
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    if column.null_count:
        raise InputError("Some keys are null.", "Leave rows that are set aside out of the cells.")
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 8 * layout.words:
        raw = np.frombuffer(b"".join(column.to_pylist()), ">u8").astype(np.uint64)
        return raw if layout.words == 1 else raw.reshape(-1, layout.words)
    if layout.words == 1 and pa.types.is_decimal(kind):
        return np.array([int(value) for value in column.to_pylist()], np.uint64)
    if layout.words == 1 and pa.types.is_integer(kind):
        numbers = column.to_numpy(zero_copy_only=False)
        return numbers.view(np.uint64) if numbers.dtype == np.int64 else numbers.astype(np.uint64)
    raise InputError(f"The keys are {kind}.", f"A layout of {layout.size} bits has {layout.words} words a key.")
