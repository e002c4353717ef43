"""Cells on many machines: Ray Data tags and packs, then counts, where the rows lie; this process adds the cells up.

No row travels: a worker reads a piece of a file, and what comes back are keys and counts. Files are read where the worker
runs: their folder is one that all machines see. Sums of whole numbers do not depend on who finished first, so the cells are
those of :func:`~equipoise.data.cell_stream.count_cells`, bit for bit.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.batch_files import Paths, RowFile, read_batches, row_files, unified
from equipoise.data.cell_stream import WHAT_COUNT, Sums, as_layout_reads, layout_columns, numeric_columns, tell
from equipoise.data.cell_table import CellTable, group_keys
from equipoise.data.layout import Layout
from equipoise.data.packing import pack
from equipoise.errors import EquipoiseError, InputError, VocabularyError
from equipoise.progress import Watcher

WORKERS = "EQUIPOISE_RAY_WORKERS"
"""Environment variable: how many workers, one a CPU of the cluster unless given."""

PIECE = 1 << 22
"""Rows of a Parquet file that are one task; at least one row group."""


def count_cells_ray(
    paths: Paths | Any,
    layout: Layout,
    *,
    unknown: str = "set_aside",
    progress: Watcher | None = None,
    workers: int | None = None,
    piece_rows: int = PIECE,
) -> CellTable:
    """Count the rows of files on the cluster that Ray is connected to, or on one of this machine.

    Parameters
    ----------
    paths : path, sequence of paths, or ray.data.Dataset
        Files as for :func:`~equipoise.data.cell_stream.batches`; or the rows of earlier stages, as of annotation.
    layout : Layout
    unknown : {"set_aside", "neutral", "error"}
    progress : callable(what, done, total), optional
        Told the pieces that are counted; of a Dataset their number is not known, and the total is 0.
    workers : int, optional
        Tasks at a time; ``EQUIPOISE_RAY_WORKERS``, or one a CPU of the cluster, when None.
    piece_rows : int
        Rows of a Parquet file that are one task.

    Raises
    ------
    InputError
        If Ray is not installed, a worker dies again and again, or what is wrong with the rows.
    """
    sums = Sums(layout)
    with cluster() as ray:
        count = workers_of(ray, workers)
        sent = {"layout": layout.to_dict(), "layout_id": layout.id, "unknown": unknown}
        if hasattr(paths, "map_batches"):
            rows, total = paths.select_columns(layout_columns(layout)), 0
            options: dict[str, Any] = {"batch_size": 1 << 20, "batch_format": "pyarrow"}
        else:
            items = pieces(paths, layout_columns(layout), piece_rows)
            if not items:
                return sums.total()
            rows, total = ray.data.from_items(items, override_num_blocks=len(items)), len(items)
            options, count = {"batch_size": 1, "batch_format": "numpy"}, min(count, total)
        stages = rows.map_batches(tag_and_pack, **options, fn_kwargs=sent, concurrency=count, num_cpus=1).map_batches(
            count_keys, batch_size=None, batch_format="pyarrow", fn_kwargs=sent, concurrency=count, num_cpus=1
        )
        for done, row in enumerate(results(ray, stages), start=1):
            with pa.ipc.open_stream(row["cells"]) as reader:
                found = CellTable.from_arrow(reader.read_all(), layout)
            aside = pickle.loads(row["set_aside"])  # noqa: S301 (of our own worker)
            sums.add(CellTable(found.keys, found.counts, layout, aside))
            tell(progress, WHAT_COUNT, min(done, total) if total else done, total)
    return sums.total()


def tag_and_pack(
    batch: Any, layout: Mapping[str, Any], layout_id: str, unknown: str = "set_aside"
) -> Iterator[pa.Table]:
    """Yield keys and status of the rows of a piece of a file, or of an Arrow table: the first stage.

    What stands against it travels as a row of its own: an exception would be tried again, and be another one here.
    """
    try:
        found = read_layout(layout, layout_id)
        if isinstance(batch, pa.Table):
            tables: Iterator[Any] = iter([batch])
        else:
            tables = rows_of_piece(pickle.loads(batch["piece"][0]), found)  # noqa: S301 (of our own process)
        for table in tables:
            keys, status = pack(table, found, unknown=unknown)
            yield _packed(keys.reshape(len(status), found.words), status)
    except EquipoiseError as error:
        yield _packed(np.zeros((1, 1), np.uint64), np.zeros(1, np.int64), pickle.dumps(error))


def count_keys(batch: pa.Table, layout: Mapping[str, Any], layout_id: str, unknown: str = "set_aside") -> pa.Table:
    """Return one row with the cells of packed rows: the second stage."""
    del unknown
    if batch["error"].null_count < len(batch):
        return _told(error=batch["error"].drop_null()[0].as_py())
    found = read_layout(layout, layout_id)
    status = batch["status"].to_numpy()
    words = [batch[f"word_{i}"].to_numpy() for i in range(found.words)]
    keys: NDArray[np.uint64] = words[0] if len(words) == 1 else np.column_stack(words)
    different, _, counts = group_keys(keys[status == 0])
    reasons = np.bincount(status, minlength=len(found.reasons))
    aside = {found.reasons[i]: int(reasons[i]) for i in np.flatnonzero(reasons) if i}
    sink = pa.BufferOutputStream()
    table = CellTable(different, counts, found).to_arrow()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return _told(cells=sink.getvalue().to_pybytes(), set_aside=pickle.dumps(aside))


def pieces(paths: Paths, columns: Sequence[str] | None, piece_rows: int) -> list[dict[str, Any]]:
    """Return what workers read: row groups of Parquet files, other files whole; ``number`` is their order."""
    if piece_rows < 1:
        raise InputError(f"piece_rows is {piece_rows}.", "Pass 1 or more.", value=piece_rows)
    files = row_files(paths)
    schema = unified(files, files[0].schema.names if columns is None else columns)
    found: list[tuple[RowFile, list[int] | None]] = []
    for file in files:
        found += [(file, groups) for groups in file.row_groups(piece_rows)]
    return [
        {"number": number, "piece": pickle.dumps((file.absolute(), groups, schema))}
        for number, (file, groups) in enumerate(found)
    ]


def rows_of_piece(piece: tuple[RowFile, list[int] | None, pa.Schema], layout: Layout) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a piece as a layout reads them."""
    file, groups, schema = piece
    numeric = numeric_columns(layout) if file.is_csv else set()
    for batch, _ in read_batches(file, schema, 1 << 20, groups):
        yield as_layout_reads(batch, numeric)


def read_layout(layout: Mapping[str, Any], layout_id: str) -> Layout:
    """Return a layout that was sent; a worker with another version of equipoise may not see the same."""
    found = Layout.from_dict(layout)
    if found.id != layout_id:
        raise VocabularyError(
            "A worker reads another layout than this process sent.", "Install the same version on all machines."
        )
    return found


def results(ray: Any, stages: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of the last stage; what a worker told is raised here.

    Raises
    ------
    InputError
        If a worker failed in a way that it could not tell.
    """
    try:
        for row in stages.iter_rows():
            if row["error"] is not None:
                raise pickle.loads(row["error"])  # noqa: S301 (of our own worker)
            yield row
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(f"A worker failed: {last[0]}", "Run it with --engine local to see why.") from error


@contextmanager
def cluster() -> Iterator[Any]:
    """Give Ray, connected to its cluster; one that was started here ends with the block."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            "The engine 'ray' needs Ray, which is not installed.", "Install it: pip install 'equipoise[scale]'."
        ) from error
    started = not ray.is_initialized()
    if started:
        ray.init(address=os.environ.get("RAY_ADDRESS") or None, log_to_driver=False, include_dashboard=False)
    bars = ray.data.DataContext.get_current().enable_progress_bars
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.data.DataContext.get_current().enable_progress_bars = bars
        if started:
            ray.shutdown()


def workers_of(ray: Any, workers: int | None) -> int:
    """Return how many tasks run at a time."""
    given: Any = os.environ.get(WORKERS) if workers is None else workers
    if given is None:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    if not str(given).isdigit() or int(given) < 1:
        raise InputError(f"{WORKERS} is {given!r}.", "Give a whole number of 1 or more.", value=given)
    return int(given)


def _packed(words: NDArray[np.uint64], status: NDArray[np.int64], error: bytes | None = None) -> pa.Table:
    keys = {f"word_{i}": np.ascontiguousarray(words[:, i]) for i in range(words.shape[1])}
    return pa.table(
        keys
        | {"status": status, "error": pa.array([error], pa.binary()) if error else pa.nulls(len(status), pa.binary())}
    )


def _told(cells: bytes = b"", set_aside: bytes = b"", error: bytes | None = None) -> pa.Table:
    values = {"cells": cells, "set_aside": set_aside, "error": error}
    return pa.table({name: pa.array([value], pa.binary()) for name, value in values.items()})
