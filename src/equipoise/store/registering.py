"""Registering embeddings that lie elsewhere: a store that points at them, with checksums, and copies nothing."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.precomputed_folder import VectorFiles
from equipoise.data.samples import Samples
from equipoise.data.vectors import Vectors
from equipoise.errors import OutputExistsError, listed
from equipoise.schema import ROWS, Manifest, Shard
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import Output, atomic_write, read_table, sha256_of, write_table
from equipoise.store.opening import MANIFEST, OK, QUARANTINED, TABLE, index_of

OWNED = (TABLE, "image", "text.parquet", "text.safetensors")


def register(
    found: EmbeddingSet,
    samples: Samples,
    reasons: Sequence[str],
    images: tuple[VectorFiles, Vectors],
    texts: tuple[VectorFiles, Vectors] | None,
    checksums: Mapping[Path, str],
    store: Path,
    *,
    overwrite: bool,
) -> None:
    """Write ``rows.parquet`` and, last, the manifest that points at the arrays.

    Parameters
    ----------
    found : EmbeddingSet
        What the store will open as.
    samples, reasons : Samples, (rows,) sequence of str
        All rows, and why each is set aside (``""``: it is not).
    images, texts
        The files, and the same opened.
    checksums : mapping of Path to str
        SHA-256 of every file.
    store : Path
    overwrite : bool
        Whether another run's store may be replaced.

    Raises
    ------
    OutputExistsError, LockedError, InputError
        If the store holds another run, is held by another process, or cannot be written.
    """
    image_shards, image_tables = _shards(*images, checksums, store)
    text_shards, text_tables = _shards(*texts, checksums, store) if texts else ([], [])
    vocabulary = samples.vocabulary.to_dict()
    declared = {name: keys if keys["declared"] else "from the table" for name, keys in vocabulary.items()}
    roles = {role: name for role, name in samples.roles.items() if role == "id" or role in ROWS.names}
    roles |= {"attributes": list(samples.attributes), "id_from": samples.id_from}
    recorded = {
        "encoder": found.encoder["fingerprint"],
        "images": {shard.path: shard.sha256 for shard in image_shards},
        "texts": {shard.path: shard.sha256 for shard in text_shards},
        "tables": {table["path"]: table["sha256"] for table in [*image_tables, *text_tables]},
        "roles": roles,
        "vocabulary": declared,
    }
    parameters: dict[str, Any] = {
        "name": found.encoder["name"],
        "image_tables": image_tables,
        "text_tables": text_tables,
    }
    if samples.root is not None and "image" in samples.roles:
        parameters["root"] = _stored_path(samples.root, store)
    with Output(store, MANIFEST, recorded, overwrite=overwrite, owned=OWNED) as output:
        rows = _rows(samples, reasons)
        before = read_table(output.path(TABLE)) if output.path(TABLE).is_file() else None
        if before is not None and before.equals(rows) and output.finished:
            current = output.path(MANIFEST).read_bytes()
            rows_sha256 = sha256_of(output.path(TABLE))
        else:
            _check_growth(before, rows, store)
            current = b""
            output.path(MANIFEST).unlink(missing_ok=True)
            rows_sha256 = write_table(output.path(TABLE), rows)
        manifest = Manifest(
            encoder=found.encoder["ref"],
            fingerprint=found.encoder["fingerprint"],
            layout="precomputed",
            dim=found.dim,
            images=image_shards,
            texts=text_shards,
            rows_sha256=rows_sha256,
            inputs=found.inputs,
            vocabulary=vocabulary,
            roles=roles,
            preprocessing=found.preprocessing,
            rows={"in": found.rows_in, "used": len(found), "set_aside": sum(found.set_aside.values())},
            parameters=parameters,
        ).to_json()
        if manifest.encode() != current:
            atomic_write(output.path(MANIFEST), manifest)


def _rows(samples: Samples, reasons: Sequence[str]) -> pa.Table:
    """Return ``rows.parquet``: the columns of ``ROWS``, then a text column per attribute."""
    empty = pa.array([""] * len(samples), pa.string())
    columns: dict[str, Any] = dict.fromkeys(ROWS.names, empty)
    for name in ("row_id", "image", "split", "cluster", "caption"):
        if name in samples.table.column_names:
            columns[name] = pc.fill_null(samples.table[name], "").cast(pa.string())
    columns["status"] = pa.array([QUARANTINED if reason else OK for reason in reasons], pa.string())
    columns["reason"] = pa.array(list(reasons), pa.string())
    for name in samples.attributes:
        if name not in columns:
            columns[name] = samples.table[name].cast(pa.string())
    return pa.table(columns).combine_chunks()


def _check_growth(before: pa.Table | None, rows: pa.Table, store: Path) -> None:
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


def _shards(
    files: VectorFiles, vectors: Vectors, checksums: Mapping[Path, str], store: Path
) -> tuple[list[Shard], list[dict[str, str]]]:
    """Return the record of arrays, and of the tables that name their rows."""
    shards = [
        Shard(
            path=_stored_path(path, store),
            sha256=checksums[path],
            rows=part.shape[0],
            dim=part.shape[1],
            dtype=str(part.dtype),
        )
        for path, part in zip(files.arrays, vectors.parts, strict=True)
    ]
    tables = [
        {"path": _stored_path(path, store), "sha256": checksums[path], "column": column}
        for path, column in zip(files.tables, files.columns, strict=True)
    ]
    return shards, tables


def _stored_path(path: Path, store: Path) -> str:
    """Return a path relative to the store when it lies inside, else absolute."""
    path, store = Path(os.path.abspath(path)), Path(os.path.abspath(store))
    return path.relative_to(store).as_posix() if path.is_relative_to(store) else path.as_posix()
