"""The rows of a table as a store keeps them, and in which order: a table may grow, and may not lose or change a row."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.samples import Samples
from equipoise.errors import OutputExistsError, listed
from equipoise.schema import ROWS
from equipoise.store.opening import OK, QUARANTINED, index_of

RESULTS = ("sha256", "status", "reason")
"""Columns that a run finds out; the others come from the table."""


def rows_table(samples: Samples, reasons: Sequence[str] | None = None) -> pa.Table:
    """Return ``rows.parquet``: the columns of ``ROWS``, then a text column per attribute.

    Without ``reasons`` the columns of the run are empty.
    """
    empty = pa.array([""] * len(samples), pa.string())
    columns: dict[str, Any] = dict.fromkeys(ROWS.names, empty)
    for name in ("row_id", "image", "split", "cluster", "caption"):
        if name in samples.table.column_names:
            columns[name] = pc.fill_null(samples.table[name], "").cast(pa.string())
    if reasons is not None:
        columns |= status_of(reasons)
    for name in samples.attributes:
        if name not in columns:
            columns[name] = samples.table[name].cast(pa.string())
    return annotated_like(pa.table(columns), samples.table.schema).combine_chunks()


def annotated_like(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with what the fields of a schema of equal names say of themselves."""
    said = {field.name: field.metadata for field in schema if field.metadata}
    if not said.keys() & set(table.column_names):
        return table
    fields = [field.with_metadata(said[field.name]) if field.name in said else field for field in table.schema]
    return table.cast(pa.schema(fields))


def status_of(reasons: Sequence[str]) -> dict[str, pa.Array]:
    """Return the columns ``status`` and ``reason``."""
    return {
        "status": pa.array([QUARANTINED if reason else OK for reason in reasons], pa.string()),
        "reason": pa.array(list(reasons), pa.string()),
    }


def check_growth(before: pa.Table | None, rows: pa.Table, store: Path, ignored: Sequence[str] = ()) -> None:
    """Refuse a table that lost or changed a row of the store: it may only have grown."""
    if before is None:
        return
    place = index_of(before["row_id"], rows["row_id"].combine_chunks())
    gone = np.flatnonzero(place < 0)
    kept = before.filter(pa.array(place >= 0))
    now = rows.take(pa.array(place[place >= 0]))
    changed = []
    if before.column_names == rows.column_names:
        same = np.ones(len(kept), bool)
        for name in rows.column_names:
            if name in ignored:
                continue
            old, new = (table[name].combine_chunks().cast(pa.large_string()) for table in (kept, now))
            differs = pc.or_(pc.xor(pc.is_null(old), pc.is_null(new)), pc.fill_null(pc.not_equal(old, new), False))
            same &= ~differs.to_numpy(zero_copy_only=False).astype(bool)
        changed = np.flatnonzero(~same)
    if len(gone) or len(changed):
        examples = [
            *before["row_id"].take(pa.array(gone[:3])).to_pylist(),
            *kept["row_id"].take(pa.array(changed[:3], pa.int64())).to_pylist(),
        ]
        raise OutputExistsError(
            f"'{store}' holds other rows: {len(gone)} of its rows are gone from the table and {len(changed)} differ "
            f"({listed(map(repr, examples), 6)}).",
            "Choose another store, or pass --overwrite to replace it.",
            value=str(store),
        )


@dataclass(frozen=True)
class Plan:
    """The order of a store: its rows, cut into blocks.

    Attributes
    ----------
    rows : pyarrow.Table
        As :func:`rows_table`: sorted by id at first, rows that came later (sorted among themselves) after the old ones.
    block_rows : tuple of int
        Rows of each block. Later rows begin a block of their own, so that nothing that is finished is made again.
    """

    rows: pa.Table
    block_rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def blocks(self) -> range:
        """Numbers of the blocks."""
        return range(len(self.block_rows))

    def __iter__(self) -> Iterator[tuple[int, pa.Table]]:
        start = 0
        for number, count in enumerate(self.block_rows):
            yield number, self.rows.slice(start, count)
            start += count


def planned(rows: pa.Table, shard_rows: int, before: Plan | None, store: Path) -> Plan:
    """Return the plan for the rows of a table, sorted by id: the plan before, then the rows that are new.

    Raises
    ------
    OutputExistsError
        If a row of the plan before is gone or differs.
    """
    if before is None:
        return Plan(rows, _cut(len(rows), shard_rows))
    check_growth(before.rows, rows, store, RESULTS)
    place = index_of(before.rows["row_id"], rows["row_id"].combine_chunks())
    new = np.ones(len(rows), bool)
    new[place] = False
    order = np.concatenate([place, np.flatnonzero(new)])
    return Plan(rows.take(pa.array(order)).combine_chunks(), before.block_rows + _cut(int(new.sum()), shard_rows))


def _cut(rows: int, shard_rows: int) -> tuple[int, ...]:
    return (shard_rows,) * (rows // shard_rows) + ((rows % shard_rows,) if rows % shard_rows else ())


def stored_path(path: Path, store: Path) -> str:
    """Return a path relative to the store when it lies inside, else absolute."""
    path, store = Path(os.path.abspath(path)), Path(os.path.abspath(store))
    return path.relative_to(store).as_posix() if path.is_relative_to(store) else path.as_posix()


def roles_of(samples: Samples) -> dict[str, Any]:
    """Return the roles that a manifest records."""
    roles: dict[str, Any] = {role: name for role, name in samples.roles.items() if role == "id" or role in ROWS.names}
    return roles | {"attributes": list(samples.attributes), "id_from": samples.id_from}


def declared_in(vocabulary: dict[str, Any]) -> dict[str, Any]:
    """Return what a person declared of a vocabulary: values taken from the table may grow with it."""
    return {name: keys if keys["declared"] else "from the table" for name, keys in vocabulary.items()}
