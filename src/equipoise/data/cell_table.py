"""Cells: how many rows show each pattern of bits, as sorted keys with counts; they add up over shards and days.

A row of a table becomes one key of 64 bits (or as many 64-bit words as the layout needs), a table the sorted different
keys with their counts. Billions of rows on a few patterns cost no more than the patterns.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.keys import (
    MOST_ROWS,
    added,
    checked,
    group_keys,
    grouped,
    keys_from_arrow,
    no_keys,
    unpacked,
    utility_of,
)
from equipoise.data.layout import BitColumn, Layout, Variable
from equipoise.data.packing import pack, rows_of
from equipoise.errors import EquipoiseError, InputError, MissingFileError, SchemaError, listed

__all__ = [
    "MOST_ROWS",
    "BitColumn",
    "CellTable",
    "Layout",
    "Variable",
    "from_mapping",
    "group_keys",
    "pack",
    "unpacked",
    "utility_of",
]

METADATA = b"equipoise.cells/1"


@dataclass(frozen=True)
class CellTable:
    """Counts of the different keys.

    Attributes
    ----------
    keys : ndarray (C,) or (C, words), uint64
        Ascending and different; words are compared from the first.
    counts : ndarray (C,), int64
        At least 1 each; 2^53 rows in all at most.
    layout : Layout
    set_aside : dict of str to int
        Rows that were read and are in no cell, by reason.
    """

    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]
    layout: Layout
    set_aside: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys, counts = checked(self.keys, self.counts, self.layout)
        keys, counts = grouped(keys, counts)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "counts", counts)
        for array in (keys, counts):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def total(self) -> int:
        """Rows in the cells."""
        return int(self.counts.sum())

    def bits(self) -> NDArray[np.bool_]:
        """Return (C, J): bit j of every cell, in the order of ``layout.names``."""
        return unpacked(self.keys, self.layout)

    def utility(self) -> NDArray[np.float64]:
        """Return (C,) utility of each cell; 1 where the layout has none."""
        return utility_of(self.keys, self.layout)

    @classmethod
    def from_samples(cls, samples: Any, layout: Layout, *, unknown: str = "set_aside") -> CellTable:
        """Count the rows of Samples; parameters are those of :meth:`from_batches`."""
        return cls.from_batches([rows_of(samples, layout)], layout, unknown=unknown)

    @classmethod
    def from_batches(cls, batches: Iterable[Any], layout: Layout, *, unknown: str = "set_aside") -> CellTable:
        """Count rows batch by batch: memory holds one batch and the cells.

        Parameters
        ----------
        batches : iterable of pyarrow.Table or RecordBatch
            With the columns of the layout; others are not read.
        layout : Layout
        unknown : {"set_aside", "neutral", "error"}
            What becomes of a row with a missing or undeclared value, see :func:`pack`.

        Raises
        ------
        MissingColumnError, VocabularyError, InputError
            If a batch lacks a column or holds values that cannot be packed.
        """
        parts: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        aside = np.zeros(len(layout.reasons), np.int64)
        for batch in batches:
            keys, status = pack(batch, layout, unknown=unknown)
            aside += np.bincount(status, minlength=aside.size)
            used = keys if not status.any() else keys[status == 0]
            parts.append(grouped(used, np.ones(len(used), np.int64)))
            # like a counter in base two: a part is added up with an equal or smaller one, so that few are ever held
            while len(parts) > 1 and len(parts[-1][0]) >= len(parts[-2][0]):
                last = parts.pop()
                parts[-1] = added(parts[-1], last)
        found = no_keys(layout)
        for part in parts:
            found = added(found, part)
        reasons = {layout.reasons[i]: int(aside[i]) for i in np.flatnonzero(aside) if i}
        return cls(*found, layout, reasons)

    @classmethod
    def from_arrow(cls, table: Any, layout: Layout) -> CellTable:
        """Take cells that another engine counted: columns ``key`` (integers, or fixed-size binary) and ``count``.

        Raises
        ------
        InputError
            If counts are no whole numbers of at least 0 or keys do not fit the layout.
        """
        if missing := {"key", "count"} - set(table.schema.names):
            raise InputError(f"The cells have no column {listed(sorted(missing))}.", "Name them 'key' and 'count'.")
        counts = _column(table, "count")
        if not pa.types.is_integer(counts.type) or counts.null_count:
            raise InputError(f"The counts are {counts.type}.", "Pass whole numbers without null.", value="count")
        return cls(keys_from_arrow(_column(table, "key"), layout), counts.to_numpy(zero_copy_only=False), layout)

    def __add__(self, other: CellTable) -> CellTable:
        """Add up two tables of one layout.

        Raises
        ------
        VocabularyError
            If the layouts differ; the message says in what.
        """
        if not isinstance(other, CellTable):
            return NotImplemented
        self.layout.check_same(other.layout)
        keys, counts = added((self.keys, self.counts), (other.keys, other.counts))
        reasons = [*self.set_aside, *(r for r in other.set_aside if r not in self.set_aside)]
        aside = {reason: self.set_aside.get(reason, 0) + other.set_aside.get(reason, 0) for reason in reasons}
        return CellTable(keys, counts, self.layout, aside)

    def to_arrow(self) -> pa.Table:
        """Return columns ``key`` (uint64, or big-endian fixed-size binary) and ``count`` (int64)."""
        if self.layout.words == 1:
            keys: pa.Array = pa.array(self.keys.ravel())
        else:
            width = 8 * self.layout.words
            raw = np.ascontiguousarray(self.keys.astype(">u8"))
            keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(self), [None, pa.py_buffer(raw)])
        document = {"layout": self.layout.to_dict(), "layout_id": self.layout.id, "set_aside": self.set_aside}
        document["sha256"] = self._digest()
        text = json.dumps(document, sort_keys=True, ensure_ascii=False)
        return pa.table({"key": keys, "count": pa.array(self.counts)}).replace_schema_metadata({METADATA: text})

    def _digest(self) -> str:
        """SHA-256 of keys, counts and rows set aside."""
        found = hashlib.sha256(np.ascontiguousarray(self.keys.astype("<u8")).tobytes())
        found.update(np.ascontiguousarray(self.counts.astype("<i8")).tobytes())
        found.update(json.dumps(self.set_aside, sort_keys=True, ensure_ascii=False).encode())
        return found.hexdigest()

    def to_parquet(self, path: str | Path) -> None:
        """Write the cells with their layout; equal cells give equal bytes, and a half-written file is never seen."""
        import pyarrow.parquet as pq

        path = Path(path)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with unfinished.open("wb") as file:
                pq.write_table(self.to_arrow(), file, compression="zstd", store_schema=True)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written ({error}).", "Name a place that can.") from error
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def from_parquet(cls, path: str | Path) -> CellTable:
        """Read cells that :meth:`to_parquet` wrote.

        Raises
        ------
        MissingFileError
            If there is no such file.
        SchemaError
            If it holds no cells, or what it says of them is damaged.
        """
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(Path(path))
            table.schema.names  # noqa: B018  names that are no UTF-8 are found out here
        except FileNotFoundError as error:
            raise MissingFileError(f"There is no file '{path}'.", "Name a table of cells.", value=str(path)) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SchemaError(f"'{path}' is no Parquet file ({error}).", "Name a table of cells.") from error
        raw = (table.schema.metadata or {}).get(METADATA)
        if raw is None:
            raise SchemaError(f"'{path}' is no table of cells of equipoise.", "Count the rows again.", value=str(path))
        layout, aside, digest = _described(raw, path)
        found = cls.from_arrow(table, layout)
        cells = cls(found.keys, found.counts, layout, aside)
        if cells._digest() != digest:
            raise SchemaError(f"The cells in '{path}' are not those that were written.", "Count the rows again.")
        return cells


def _described(raw: bytes, path: str | Path) -> tuple[Layout, dict[str, int], str]:
    """Return the layout, the rows set aside and the digest of the metadata of a file."""
    try:
        document = json.loads(raw)
        if strange := set(document) ^ {"layout", "layout_id", "set_aside", "sha256"}:
            raise ValueError(f"keys that are unknown or missing: {listed(sorted(strange), 5)}")
        if strange := set(document["layout"]) - {"variables", "utility", "utility_bins"}:
            raise ValueError(f"unknown keys of the layout: {listed(sorted(strange), 5)}")
        layout = Layout.from_dict(document["layout"])
        aside = {str(reason): _whole(rows) for reason, rows in document["set_aside"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, EquipoiseError) as error:
        said = error if isinstance(error, (ValueError, EquipoiseError)) else repr(error)
        raise SchemaError(f"The cells in '{path}' are damaged ({said}).", "Count the rows again.") from error
    if layout.id != document["layout_id"]:
        raise SchemaError(f"The layout in '{path}' is not the one it was written with.", "Count the rows again.")
    return layout, aside, str(document["sha256"])


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of rows")
    return value


def _column(table: Any, name: str) -> pa.Array:
    column = table[name] if isinstance(table, pa.Table) else table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def from_mapping(counts: Mapping[tuple[str, ...], int], layout: Layout) -> CellTable:
    """Return cells from a mapping of the names of the bits that are set to a count, as ``{("man", "y"): 30}``."""
    place = {bit.name: bit.bit for bit in layout.names}
    keys = np.zeros((len(counts), layout.words), np.uint64)
    for row, names in enumerate(counts):
        for name in names:
            keys[row, place[name] // 64] |= np.uint64(1) << np.uint64(place[name] % 64)
    numbers = np.array(list(counts.values()), np.int64)
    return CellTable(keys.ravel() if layout.words == 1 else keys, numbers, layout)
