"""Pictures that occur more than once: across splits, under other labels, or nearly the same."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.vectors import unit
from equipoise.errors import EmbeddingError, InputError, MissingColumnError, listed

EXAMPLES = 3
ROUNDING = 1e-5
"""How far a cosine of float32 rows may be from the exact one; nearer to the threshold it is computed in float64."""
CHUNK = 2**22
"""Numbers that an exact computation holds at a time."""


@dataclass(frozen=True)
class Repeats:
    """Pictures that occur in rows which should differ in picture, or agree in value.

    Attributes
    ----------
    column : str
        The column whose value is not the same in all rows of one picture.
    pictures, rows : int
        Pictures concerned, and the rows that show them.
    examples : tuple of tuple of (str, str)
        For the first few pictures, (row id, value) of their rows.
    """

    column: str
    pictures: int
    rows: int
    examples: tuple[tuple[tuple[str, str], ...], ...]


def repeats(rows: pa.Table, column: str, *, ignore: Sequence[str] = ("",)) -> Repeats:
    """Find pictures whose rows do not agree in a column.

    Parameters
    ----------
    rows : pyarrow.Table
        ``row_id``; ``sha256`` of the picture's file, or ``image`` (its path) where there is none or it is empty; and
        ``column``. Rows with neither checksum nor path are no picture.
    column : str
        ``split`` for pictures in two splits; ``label`` or an attribute for pictures with two values.
    ignore : sequence of str
        Values that say nothing, as ``""`` and the vocabulary's unknown ones.

    Returns
    -------
    Repeats
        In the order of the first row of each picture.

    Raises
    ------
    MissingColumnError
        If ``row_id``, ``column``, or both ``sha256`` and ``image`` are absent.
    """
    for name in ("row_id", column):
        if name not in rows.column_names:
            raise MissingColumnError(f"The rows have no column '{name}'.", "Name it.", value=name)
    picture = _picture(rows)
    value = pc.fill_null(rows[column].cast(pa.large_string()), "")
    keep = pc.and_(pc.is_valid(picture), pc.invert(pc.is_in(value, pa.array(list(ignore), pa.large_string()))))
    table = pa.table(
        {
            "id": rows["row_id"].cast(pa.large_string()),
            "picture": picture,
            "value": value,
            "place": np.arange(len(rows)),
        }
    ).filter(keep)
    kinds = table.group_by("picture").aggregate([("value", "count_distinct"), ("place", "min")])
    torn = kinds.filter(pc.greater(kinds["value_count_distinct"], 1)).sort_by("place_min")["picture"]
    shown = table.filter(pc.is_in(table["picture"], torn.combine_chunks()))
    examples = []
    for name in torn.slice(0, EXAMPLES).to_pylist():
        part = shown.filter(pc.equal(shown["picture"], name)).slice(0, 2 * EXAMPLES)
        examples.append(tuple(zip(part["id"].to_pylist(), part["value"].to_pylist(), strict=True)))
    return Repeats(column, len(torn), len(shown), tuple(examples))


def duplicate_notes(
    rows: pa.Table, *, labels: Sequence[str] = (), unknown: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Say which pictures stand in two splits, and which have two values of one column.

    Parameters
    ----------
    rows : pyarrow.Table
        As for :func:`repeats`; the column ``split`` is looked at where there is one.
    labels : sequence of str
        Columns in which all rows of one picture should agree: ``label`` and the attributes.
    unknown : dict, optional
        Column to the values that mean "not known" besides ``""``.

    Returns
    -------
    tuple of str
        A sentence per column with such pictures, with counts and examples; empty where all is well.
    """
    found = []
    if "split" in rows.column_names and (torn := repeats(rows, "split")).pictures:
        found.append(
            f"{_pictures(torn)} in more than one split ({torn.rows} rows): what is fitted on one is not new to "
            f"the other. {_examples(torn)}"
        )
    for name in labels:
        torn = repeats(rows, name, ignore=("", *(unknown or {}).get(name, ())))
        if torn.pictures:
            found.append(f"{_pictures(torn)} listed with more than one '{name}' ({torn.rows} rows). {_examples(torn)}")
    return tuple(found)


def _picture(rows: pa.Table) -> pa.Array:
    """Return what identifies the picture of each row, null where nothing does."""
    keys = []
    for name in ("sha256", "image"):
        if name in rows.column_names:
            column = rows[name].cast(pa.large_string()).combine_chunks()  # if_else of pyarrow 18 breaks slices
            keys.append(pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.large_string()), column))
    if not keys:
        raise MissingColumnError("The rows have neither 'sha256' nor 'image'.", "Name the column of the pictures.")
    return keys[0] if len(keys) == 1 else pc.coalesce(*keys)


def _pictures(torn: Repeats) -> str:
    return "1 picture is" if torn.pictures == 1 else f"{torn.pictures} pictures are"


def _examples(torn: Repeats) -> str:
    shown = "; ".join(listed(f"{id!r} ({value!r})" for id, value in rows) for rows in torn.examples)
    return f"{'For example' if torn.pictures > len(torn.examples) else 'They are'} {shown}."


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of rows whose embeddings point nearly the same way.

    Attributes
    ----------
    pairs : int
        All pairs found.
    first, second : ndarray (m,), int64
        Row numbers of the pairs kept, ``first < second``, in ascending order; m is at most the limit.
    cosine : ndarray (m,), float64
        Their cosine.
    """

    pairs: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float64]


def near_duplicates(
    vectors: NDArray[Any],
    *,
    threshold: float = 0.98,
    between: NDArray[Any] | None = None,
    limit: int = 10_000,
    block: int = 1024,
) -> NearDuplicates:
    """Find pairs of rows with a cosine of at least a threshold.

    Parameters
    ----------
    vectors : ndarray (n, d), float
        Embeddings of any length but zero.
    threshold : float
        Above -1, at most 1. What a near duplicate is depends on the model; look at pairs before you trust a value.
    between : ndarray (n,), optional
        Only pairs that differ in it count, as the codes of the splits.
    limit : int
        Pairs that are kept; all are counted.
    block : int
        Rows compared at a time; the result does not depend on it. Memory is that of a few blocks and of a few
        ``block`` by ``block`` arrays, whatever n is (``vectors`` may be a memory map); time grows with n * n * d.

    Raises
    ------
    EmbeddingError
        If a row is not finite or has no direction.
    InputError
        If another argument is outside its range.
    """
    if not -1 < threshold <= 1:
        raise InputError(f"The threshold is {threshold}.", "Give a cosine above -1, at most 1.", value=threshold)
    if block < 1 or limit < 0:
        raise InputError(f"block is {block} and limit {limit}.", "Give block 1 or more, limit 0 or more.")
    if between is not None and len(between) != len(vectors):
        raise InputError(f"'between' has {len(between)} values for {len(vectors)} rows.", "Give one per row.")
    starts = range(0, len(vectors), block)
    _check_directions(vectors, starts, block)
    total, kept = 0, np.empty((0, 2), np.int64)
    for top in starts:
        left = unit(vectors[top : top + block])[0]
        mine = np.empty((0, 2), np.int64)  # of this block of rows; the pairs before it come first for good
        for start in range(top, len(vectors), block):
            right = left if start == top else unit(vectors[start : start + block])[0]
            cosine = left @ right.T
            i, j = np.nonzero(cosine >= threshold - ROUNDING)
            pairs, cosine = np.stack([top + i, start + j], axis=1), cosine[i, j]
            keep = pairs[:, 0] < pairs[:, 1]
            if between is not None:
                keep &= between[pairs[:, 0]] != between[pairs[:, 1]]
            pairs, close = pairs[keep], np.abs(cosine[keep] - threshold) <= ROUNDING
            sure = ~close
            sure[close] = _cosine(vectors, pairs[close]) >= threshold
            pairs = pairs[sure]
            total += len(pairs)
            mine = np.concatenate([mine, pairs])
            mine = mine[np.lexsort((mine[:, 1], mine[:, 0]))][: limit - len(kept)]
        kept = np.concatenate([kept, mine])
    return NearDuplicates(total, kept[:, 0], kept[:, 1], _cosine(vectors, kept))


def _check_directions(vectors: NDArray[Any], starts: range, block: int) -> None:
    bad: list[int] = []
    for start in starts:
        norms = unit(vectors[start : start + block])[1]
        bad += (start + np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))).tolist()
    if bad:
        raise EmbeddingError(f"Rows {listed(bad)} are zero or not finite.", "Leave them out.", value=bad)


def _cosine(vectors: NDArray[Any], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine of pairs of rows in float64, a chunk at a time."""
    found = np.empty(len(pairs), np.float64)
    step = max(1, CHUNK // vectors.shape[1])
    for start in range(0, len(pairs), step):
        a, b = (vectors[pairs[start : start + step, side]].astype(np.float64) for side in (0, 1))
        dot, aa, bb = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (a, a), (b, b)))
        found[start : start + step] = np.where((a == b).all(axis=1), 1.0, dot / np.sqrt(aa * bb))
    return found
