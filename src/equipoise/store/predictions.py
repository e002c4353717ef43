"""Predictions by row: what a classifier said, kept with a checksum, so that two audits can be paired row by row."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.samples import Samples
from equipoise.errors import InputError, SchemaError
from equipoise.schema import conform
from equipoise.store.files import read_table, write_table

SCHEMA = pa.schema(
    [("row_id", pa.string()), ("label", pa.string()), ("prediction", pa.string()), ("score", pa.float64())]
)
"""Columns of ``predictions.parquet``: ``label``, ``prediction`` and ``score`` are null where there is none."""


@dataclass(frozen=True)
class PredictionTable:
    """Label, prediction and score of each row.

    Attributes
    ----------
    table : pyarrow.Table
        Columns of ``SCHEMA``, sorted by ``row_id``, each id once.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        table = conform(self.table, SCHEMA, "A table of predictions")
        ids = table["row_id"]
        if ids.null_count or pc.count_distinct(ids).as_py() < len(ids):
            raise InputError("A table of predictions repeats or lacks a row id.", "Give every row one id of its own.")
        order = pc.sort_indices(ids.combine_chunks())
        object.__setattr__(self, "table", table.take(order).combine_chunks())

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        """Row ids, in order."""
        return self.table["row_id"].to_pylist()

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,) float64 scores, NaN where there is none."""
        return pc.fill_null(self.table["score"], np.nan).to_numpy()

    @classmethod
    def from_samples(cls, samples: Samples) -> PredictionTable:
        """Take the roles ``label``, ``prediction`` and ``score``; InputError if there is neither of the last two."""
        present = samples.table.column_names
        if "prediction" not in present and "score" not in present:
            raise InputError("The rows have neither a prediction nor a score.", "Name one when the table is read.")
        count = len(samples)
        columns = []
        for field in SCHEMA:
            if field.name not in present:
                columns.append(pa.nulls(count, field.type))
                continue
            column = samples.table[field.name].combine_chunks().cast(field.type)
            empty = pc.is_nan(column) if field.name == "score" else pc.equal(column, "")
            columns.append(pc.if_else(empty, pa.scalar(None, field.type), column))
        return cls(pa.Table.from_arrays(columns, schema=SCHEMA))

    def write(self, path: str | Path) -> str:
        """Write Parquet atomically and return its SHA-256; equal tables give equal bytes."""
        return write_table(path, self.table)

    @classmethod
    def read(cls, path: str | Path, sha256: str | None = None) -> PredictionTable:
        """Read Parquet, after its checksum if one is given.

        Raises
        ------
        ChecksumError, SchemaError
        """
        table = cls(read_table(path, sha256))
        if len(table) == 0:
            raise SchemaError(f"'{path}' has no rows.", "Make it again.")
        return table
