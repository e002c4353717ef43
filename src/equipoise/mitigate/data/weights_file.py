"""Weights beside the rows, as a Parquet file: streamed, whole or absent, and taken up again where a run was killed.

The file has the columns of the table, then ``m4_weight`` (float64, q as it is: at least 0, at most the cap, not
normalised; null where a row is set aside) and ``m4_status`` (text: why it is set aside, empty where it is not). It needs
neither picture nor id. Memory holds one part of the rows.

A table of several parts is first written part by part beside the output, in the hidden folder ``.NAME.parts``, then as one
file; a run that was killed finds its finished parts there. The same rows and the same mitigation give the same bytes,
however often a run was killed. The folder is locked, and gone when the file is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.batch_files import Paths, row_files
from equipoise.data.cell_stream import located
from equipoise.data.checksums import sha256_of
from equipoise.data.tables import PARQUET
from equipoise.errors import InputError
from equipoise.mitigate.data.keep_lists import webdataset_filter, write_list
from equipoise.progress import Watcher, advance
from equipoise.protocols import DataMitigation
from equipoise.store.files import LOCK, atomic_write, lock, make_folder, remove_leftovers, unwritable
from equipoise.store.parquet_stream import write_stream

__all__ = ["Written", "fit_of", "fit_record", "webdataset_filter", "write_list", "write_weights"]

METADATA = b"equipoise.weights"
SCHEMA = "equipoise.weights/1"
WHAT = "writing weights"

READ_ROWS = 1 << 15
PART_ROWS = 1 << 20
PART_BYTES = 1 << 28
"""A part has at least so many rows or bytes, whichever comes first: rows may hold pictures."""


@dataclass(frozen=True)
class Written:
    """What was written: ``rows_in = rows_used + sum(set_aside.values())``.

    Attributes
    ----------
    path : Path
    rows_in, rows_used : int
    set_aside : dict of reason to rows
    total : float
        Sum of the weights.
    resumed : int
        Parts that an earlier run had written; -1 where the whole file was there.
    """

    path: Path
    rows_in: int
    rows_used: int
    set_aside: dict[str, int]
    total: float
    resumed: int = 0


def write_weights(
    src: Paths,
    dst: str | Path,
    mitigation: DataMitigation,
    *,
    column: str = "m4_weight",
    fit: Mapping[str, Any] | None = None,
    progress: Watcher | None = None,
) -> Written:
    """Write the rows of a table with their weights.

    Parameters
    ----------
    src : path or sequence of paths
        Parquet, a folder of Parquet files, CSV, TSV or Arrow IPC. Cells of CSV stay text, but for those that the
        mitigation reads as numbers.
    dst : path
        Ends in ``.parquet``. A file that is there is replaced when the new one is whole.
    mitigation : DataMitigation
        Fitted.
    column : str
        Name of the weights; the status is named alike, ``m4_status`` after ``m4_weight``.
    fit : mapping, optional
        Of a mitigation that was fitted on rows of this table: :func:`fit_record`. It is kept in the metadata of the file,
        so that training on the weights can refuse to audit those rows.
    progress : callable(what, done, total), optional
        Told the bytes of the table that are behind us; :func:`equipoise.progress.watched` is told too.

    Raises
    ------
    InputError
        If the table has these columns already, cannot be read, or is the output; if a weight is no number.
    LockedError
        If another process writes the same output.
    """
    dst = Path(dst)
    files = row_files(src)
    names = list(files[0].schema.names)
    status = f"{column.removesuffix('_weight')}_status"
    _check(dst, src, [file.path for file in files], names, (column, status))
    document = fingerprint_of(mitigation, column, [sha256_of(file.path) for file in files])
    document |= {} if fit is None else {"fit": dict(fit)}
    text = json.dumps(document, sort_keys=True)
    staging = dst.with_name(f".{dst.name}.parts")
    if document["state"] and _recorded(dst) == text:
        if staging.is_dir():  # a run was killed after its file was there
            with lock(staging):
                _clear(staging)
            _remove(staging)
        return summary_of(dst, column, status, resumed=-1)
    make_folder(staging)
    with lock(staging):
        known = _resume(staging, text if document["state"] else None)
        layout = getattr(mitigation, "layout_", None)
        single = None
        count = 0
        for number, (part, last, done, total) in enumerate(_parts(src, names, layout)):
            count += 1
            at = staging / f"{number:06d}.arrow"
            if number >= known:
                found = weighed(part, mitigation, column, status).replace_schema_metadata(
                    {**(part.schema.metadata or {}), METADATA: text}
                )
                if last and not number:
                    single = found
                else:
                    atomic_write(at, lambda partial, found=found: _write_part(partial, found))
            advance(WHAT, int(done), int(total))
            if progress is not None:
                progress(WHAT, int(done), int(total))
        if not count:
            raise InputError("The table has no rows.", "Pass one with rows.", value=str(src))
        whole = staging / "whole"
        parts = [staging / f"{number:06d}.arrow" for number in range(count)]
        tables = map(_read_part, parts) if single is None else iter([single])
        atomic_write(whole, lambda partial: write_stream(partial, tables, row_group_size=PART_ROWS))
        try:
            os.replace(whole, dst)
        except OSError as error:
            raise unwritable(dst, error) from error
        _clear(staging)
    _remove(staging)
    return summary_of(dst, column, status, resumed=known)


def _check(dst: Path, src: Paths, files: Sequence[Path], names: Sequence[str], added: Sequence[str]) -> None:
    if dst.suffix.lower() not in PARQUET:
        raise InputError(f"'{dst}' is to hold Parquet.", "Give it a name that ends in .parquet.", value=str(dst))
    given = [src] if isinstance(src, (str, os.PathLike)) else src
    places = {Path(path).resolve() for path in files} | {Path(path).resolve() for path in given if Path(path).is_dir()}
    if dst.resolve() in places or dst.parent.resolve() in places:
        raise InputError(f"'{dst}' is or lies in the table itself.", "Choose another output.", value=str(dst))
    if there := [name for name in added if name in names]:
        raise InputError(
            f"The table has a column '{there[0]}' already.", "Pass column='another_weight', or leave it out of the table.",
            value=there[0],
        )  # fmt: skip


def fingerprint_of(mitigation: DataMitigation, column: str, inputs: Sequence[str]) -> dict[str, Any]:
    """Return what decides the output; ``state`` is empty for a mitigation that cannot say what it is."""
    digest = ""
    if hasattr(mitigation, "state"):
        parameters, arrays = mitigation.state()  # pyright: ignore[reportAttributeAccessIssue]
        found = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            found.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
            found.update(array.tobytes())
        digest = found.hexdigest()
    return {
        "schema": SCHEMA, "method": mitigation.name, "method_version": mitigation.version, "state": digest,
        "column": column, "inputs": list(inputs),
    }  # fmt: skip


def fit_record(rows: Mapping[str, str], split: str | None = None, values: Sequence[str] = ()) -> dict[str, Any]:
    """Return which rows of a table weights were fitted on.

    Parameters
    ----------
    rows : mapping of column to value
        Those whose columns have these values; all when empty. Rows with a status were not used.
    split : str, optional
        Column of the split, with the marks in it that the fit read.
    values : sequence of str
    """
    return {"rows": dict(rows), "split": split, "values": sorted(values)}


def fit_of(path: str | Path) -> dict[str, Any] | None:
    """Return the :func:`fit_record` of a file of weights; None where it says nothing of that."""
    import pyarrow.parquet as pq

    text = _recorded(Path(path))
    if text is None:
        return None
    try:
        found = json.loads(text).get("fit")
    except (ValueError, AttributeError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("rows"), dict):
        return None
    return found if set(found["rows"]) <= set(pq.read_schema(path).names) else None


def inputs_of(path: str | Path) -> list[str]:
    """Return the SHA-256 of the files of the table that a file of weights was written from; none where it does not say."""
    text = _recorded(Path(path))
    try:
        found = [] if text is None else json.loads(text).get("inputs")
    except (ValueError, AttributeError):
        return []
    return [str(item) for item in found] if isinstance(found, list) else []


def _recorded(path: Path) -> str | None:
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(METADATA)
    except (OSError, pa.ArrowException):
        return None
    return None if found is None else found.decode()


def _resume(staging: Path, text: str | None) -> int:
    """Return how many parts of the same run are there, one after the other; what another run left is removed."""
    remove_leftovers(staging)
    run = staging / "run.json"
    if text is None or not run.is_file() or run.read_text("utf-8") != text:
        _clear(staging)
        atomic_write(run, text or "")
    known = 0
    while (staging / f"{known:06d}.arrow").is_file():
        known += 1
    return known


def _clear(staging: Path) -> None:
    for path in staging.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _remove(staging: Path) -> None:
    with suppress(OSError):
        (staging / LOCK).unlink(missing_ok=True)
        staging.rmdir()


def _parts(src: Paths, names: Sequence[str], layout: Any) -> Iterator[tuple[pa.Table, bool, float, float]]:
    """Yield (part, whether it is the last, bytes behind us, bytes in all); parts are cut alike in every run."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    done = total = 0.0
    ready: tuple[pa.Table, float] | None = None
    for batch, passed, total in located(src, names, READ_ROWS, layout):
        if ready is not None:
            yield ready[0], False, ready[1], total
            ready = None
        waiting.append(batch)
        rows, size, done = rows + batch.num_rows, size + batch.nbytes, passed
        if rows >= PART_ROWS or size >= PART_BYTES:
            ready = pa.Table.from_batches(waiting), done
            waiting, rows, size = [], 0, 0
    if waiting:
        ready = pa.Table.from_batches(waiting), done
    if ready is not None:
        yield ready[0], True, ready[1], total


def weighed(part: pa.Table, mitigation: DataMitigation, column: str, status: str) -> pa.Table:
    """Return rows with their weights and status."""
    weights = np.asarray(mitigation.weights(part), np.float64)
    if weights.shape != (part.num_rows,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError(
            f"'{mitigation.name}' gave weights of shape {weights.shape}, some of them no numbers of at least 0.",
            "Weights are finite, one a row.",
        )
    said = mitigation.status(part) if hasattr(mitigation, "status") else [""] * part.num_rows  # pyright: ignore[reportAttributeAccessIssue]
    aside = np.array([bool(text) for text in said], bool)
    part = part.append_column(column, pa.array(weights, mask=aside))
    return part.append_column(status, pa.array(said, pa.string())).combine_chunks()


def _write_part(path: Path, part: pa.Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, part.schema, options=options) as writer:
        writer.write_table(part)


def _read_part(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


def summary_of(path: Path, column: str, status: str, *, resumed: int) -> Written:
    """Return the counts of what was written, read from the file itself."""
    import pyarrow.parquet as pq

    aside: dict[str, int] = {}
    rows, used, total = 0, 0, 0.0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(PART_ROWS, columns=[column, status]):
            weights, said = batch.column(0), batch.column(1)
            rows, used = rows + batch.num_rows, used + batch.num_rows - weights.null_count
            total += float(np.nansum(weights.to_numpy(zero_copy_only=False)))
            for reason in said.value_counts().to_pylist():
                if reason["values"]:
                    aside[reason["values"]] = aside.get(reason["values"], 0) + reason["counts"]
    return Written(path, rows, used, aside, total, resumed)
