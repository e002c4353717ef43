"""Weights on many machines: every task weights a piece of a table and writes it as a Parquet file of its own.

The mitigation, a few kilobytes of duals, goes to the rows. What is written is what
:func:`~equipoise.mitigate.data.weights_file.write_weights` writes, cut into files whose names sort as the rows did: a folder
that every reader of Parquet takes as one table. A killed run is taken up again; a finished file is never made twice.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.data.batch_files import Paths, read_batches, row_files
from equipoise.data.cell_stream import as_layout_reads, numeric_columns, tell
from equipoise.data.cells_ray import PIECE, cluster, pieces, results, workers_of
from equipoise.errors import EquipoiseError, InputError
from equipoise.mitigate.artefact import load_mitigation
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.weights_file import WHAT, Written, fingerprint_of, summary_of, weighed
from equipoise.progress import Watcher
from equipoise.protocols import DataMitigation
from equipoise.schema import plain
from equipoise.store.files import Output, atomic_write
from equipoise.store.parquet_stream import write_stream

DOCUMENT = "weights.json"
ROWS = 1 << 18
"""Rows that are weighted at a time."""


def apply_ray(
    paths: Paths,
    mitigation: DataMitigation | str | os.PathLike[str],
    dst: str | Path,
    *,
    column: str = "m4_weight",
    overwrite: bool = False,
    progress: Watcher | None = None,
    workers: int | None = None,
    piece_rows: int = PIECE,
) -> Written:
    """Write the rows of files with their weights, on the cluster that Ray is connected to, or on one of this machine.

    Parameters
    ----------
    paths : path or sequence of paths
        As for :func:`~equipoise.data.cell_stream.batches`, in a folder that all machines see.
    mitigation : DataMitigation or path
        Fitted; or its ``mitigation/`` folder, or the JSON of its duals.
    dst : path
        Folder, which all machines see too: ``part-000000.parquet`` and so on, and ``weights.json``, written last.
    column : str
        Name of the weights; the status is named alike.
    overwrite : bool
        Replace the output of another run.
    progress : callable(what, done, total), optional
        Told the files that are written.
    workers : int, optional
        Tasks at a time; ``EQUIPOISE_RAY_WORKERS``, or one a CPU of the cluster, when None.
    piece_rows : int
        Rows of a file, at least one row group of Parquet.

    Raises
    ------
    InputError
        If Ray is not installed, the rows cannot be read, or ``dst`` cannot be written.
    OutputExistsError, LockedError
        If ``dst`` holds the output of another run, or is in use.
    """
    found = _mitigation(mitigation)
    files = row_files(paths)
    status = f"{column.removesuffix('_weight')}_status"
    if there := [name for name in files[0].schema.names if name in (column, status)]:
        raise InputError(f"The table has a column '{there[0]}' already.", "Pass column='another_weight'.")
    if any(file.path.resolve().parent == Path(dst).resolve() for file in files):
        raise InputError(f"'{dst}' is the table itself.", "Choose another output.", value=str(dst))
    items = pieces(paths, None, piece_rows)
    if not items:
        raise InputError("The table has no rows.", "Pass one with rows.")
    run = fingerprint_of(found, column, [_seen(file.path) for file in files]) | {"piece_rows": piece_rows}
    names = [_name(item["number"]) for item in items]
    before = [path.name for path in Path(dst).glob(_name("*"))] if Path(dst).is_dir() else []
    with Output(dst, DOCUMENT, run, overwrite=overwrite, owned=tuple(dict.fromkeys([*names, *before]))) as output:
        waiting = (
            [] if output.finished else [item for item in items if not output.path(_name(item["number"])).is_file()]
        )
        sent = {"mitigation": _sent(found), "folder": str(output.folder.resolve()), "column": column, "status": status}
        if waiting:
            with cluster() as ray:
                stage = ray.data.from_items(waiting, override_num_blocks=len(waiting)).map_batches(
                    weigh_piece, batch_size=1, batch_format="numpy", fn_kwargs=sent, num_cpus=1,
                    concurrency=min(workers_of(ray, workers), len(waiting)),
                )  # fmt: skip
                for done, _ in enumerate(results(ray, stage), start=1 + len(items) - len(waiting)):
                    tell(progress, WHAT, done, len(items))
        written = _summary(output, names, column, status, resumed=len(items) - len(waiting))
        if not output.finished:
            facts = {"rows_in": written.rows_in, "rows_used": written.rows_used, "set_aside": written.set_aside}
            atomic_write(output.path(DOCUMENT), _json(facts | {"total": written.total, "files": names}))
        return written


def weigh_piece(batch: Mapping[str, Any], mitigation: bytes, folder: str, column: str, status: str) -> pa.Table:
    """Write one piece with its weights, and tell what stands against it."""
    error = None
    try:
        kind, state, whole = pickle.loads(mitigation)  # noqa: S301 (of our own process, never a file)
        found = whole if state is None else kind.from_state(*state)
        piece = pickle.loads(batch["piece"][0])  # noqa: S301
        tables = _weighed(piece, found, column, status)
        atomic_write(Path(folder, _name(int(batch["number"][0]))), lambda partial: _write(partial, tables, piece))
    except EquipoiseError as raised:
        error = pickle.dumps(raised)
    return pa.table({"error": pa.array([error], pa.binary())})


def _weighed(piece: Any, mitigation: Any, column: str, status: str) -> Iterator[pa.Table]:
    file, groups, schema = piece
    layout = getattr(mitigation, "layout_", None)
    numeric = numeric_columns(layout) if layout is not None and file.is_csv else set()
    for batch, _ in read_batches(file, schema, ROWS, groups):
        yield weighed(pa.Table.from_batches([as_layout_reads(batch, numeric)]), mitigation, column, status)


def _write(path: Path, tables: Iterator[pa.Table], piece: Any) -> None:
    if not write_stream(path, tables):
        raise InputError(f"'{piece[0].path}' has no rows.", "Leave it out.")


def _summary(output: Output, names: list[str], column: str, status: str, *, resumed: int) -> Written:
    parts = [summary_of(output.path(name), column, status, resumed=0) for name in names]
    aside: dict[str, int] = {}
    for part in parts:
        for reason, count in part.set_aside.items():
            aside[reason] = aside.get(reason, 0) + count
    return Written(
        output.folder, sum(p.rows_in for p in parts), sum(p.rows_used for p in parts), aside, sum(p.total for p in parts),
        -1 if output.finished else resumed,
    )  # fmt: skip


def _mitigation(given: Any) -> Any:
    if not isinstance(given, (str, os.PathLike)):
        return given
    path = Path(given)
    return load_mitigation(path) if path.is_dir() else M4.load(path)


def _sent(mitigation: Any) -> bytes:
    """Return what a worker makes the mitigation of: its state, or itself."""
    if hasattr(mitigation, "state") and hasattr(type(mitigation), "from_state"):
        return pickle.dumps((type(mitigation), mitigation.state(), None))
    cloudpickle: Any = import_module("ray.cloudpickle")
    return cloudpickle.dumps((None, None, mitigation))


def _seen(path: Path) -> str:
    found = path.stat()
    return f"{path.name}:{found.st_size}:{found.st_mtime_ns}"


def _name(number: int | str) -> str:
    return f"part-{number:06d}.parquet" if isinstance(number, int) else f"part-{number}.parquet"


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(plain(facts), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
