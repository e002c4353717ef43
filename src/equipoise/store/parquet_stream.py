"""Parquet that is written table by table, in the memory of one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa


def write_stream(path: str | Path, tables: Iterable[pa.Table], *, row_group_size: int | None = None) -> bool:
    """Write tables of one schema one after the other, and return whether there was any; without one no file is made.

    Parameters
    ----------
    path : path
    tables : iterable of pyarrow.Table
    row_group_size : int, optional
        Rows of a group; each table is one group at least.
    """
    import pyarrow.parquet as pq

    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table.combine_chunks(), row_group_size=row_group_size)
    finally:
        if writer is not None:
            writer.close()
    return writer is not None
