"""Registering embeddings that lie elsewhere: a store that points at them, with checksums, and copies nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.data.precomputed_folder import VectorFiles
from equipoise.data.samples import Samples
from equipoise.data.vectors import Vectors
from equipoise.schema import Manifest, Shard
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import Output, atomic_write, read_table, sha256_of, write_table
from equipoise.store.growth import check_growth, declared_in, roles_of, rows_table, stored_path
from equipoise.store.opening import MANIFEST, TABLE

PLAN = ".plan.parquet"
"""While blocks are made: all rows in the order of the store."""
OWNED = (TABLE, "image", "text.parquet", "text.safetensors", PLAN)


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
    roles = roles_of(samples)
    recorded = {
        "encoder": found.encoder["fingerprint"],
        "images": {shard.path: shard.sha256 for shard in image_shards},
        "texts": {shard.path: shard.sha256 for shard in text_shards},
        "tables": {table["path"]: table["sha256"] for table in [*image_tables, *text_tables]},
        "roles": roles,
        "vocabulary": declared_in(vocabulary),
    }
    parameters: dict[str, Any] = {
        "name": found.encoder["name"],
        "image_tables": image_tables,
        "text_tables": text_tables,
    }
    if samples.root is not None and "image" in samples.roles:
        parameters["root"] = stored_path(samples.root, store)
    with Output(store, MANIFEST, recorded, overwrite=overwrite, owned=OWNED) as output:
        rows = rows_table(samples, reasons)
        before = read_table(output.path(TABLE)) if output.path(TABLE).is_file() else None
        if before is not None and before.equals(rows) and output.finished:
            current = output.path(MANIFEST).read_bytes()
            rows_sha256 = sha256_of(output.path(TABLE))
        else:
            check_growth(before, rows, store)
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


def _shards(
    files: VectorFiles, vectors: Vectors, checksums: Mapping[Path, str], store: Path
) -> tuple[list[Shard], list[dict[str, str]]]:
    """Return the record of arrays, and of the tables that name their rows."""
    shards = [
        Shard(
            path=stored_path(path, store),
            sha256=checksums[path],
            rows=part.shape[0],
            dim=part.shape[1],
            dtype=str(part.dtype),
        )
        for path, part in zip(files.arrays, vectors.parts, strict=True)
    ]
    tables = [
        {"path": stored_path(path, store), "sha256": checksums[path], "column": column}
        for path, column in zip(files.tables, files.columns, strict=True)
    ]
    return shards, tables
