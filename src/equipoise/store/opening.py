"""Opening a store: every file is checked against the checksum that was recorded, arrays stay on disk."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.groups import Vocabulary
from equipoise.data.precomputed_folder import VectorFiles
from equipoise.data.samples import Samples
from equipoise.data.vectors import TextVectors, Vectors
from equipoise.errors import MissingFileError, SchemaError
from equipoise.protocols import Encoder
from equipoise.schema import ROWS, Manifest
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import check_sha256, read_table
from equipoise.store.logits import labels_of
from equipoise.store.shards import ShardReader
from equipoise.store.texts import GrowingTexts

MANIFEST = "manifest.json"
TABLE = "rows.parquet"
OK, QUARANTINED = "ok", "quarantined"


def read_manifest(store: Path) -> Manifest:
    """Return the manifest of a store.

    Raises
    ------
    MissingFileError
        If there is none: no store, or one that was never finished.
    SchemaError
        If it is of another version or has unknown keys.
    """
    path = store / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(
            f"'{store}' is not a finished store: there is no {MANIFEST}.",
            "Make it with 'equipoise embed', or run that again to finish it.",
            value=str(store),
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFileError(f"'{path}' cannot be read: {error}.", "Check it.", value=str(path)) from error
    return Manifest.from_json(text, f"'{path}'")


def open_store(store: Path, *, encoder: Encoder | str | None = None) -> EmbeddingSet:
    """Return the EmbeddingSet of a store; see :meth:`EmbeddingSet.load`."""
    manifest = read_manifest(store)
    if labels_of(manifest) is not None:
        raise SchemaError(
            f"'{store}' holds the logits of a classifier, not embeddings.",
            "Audit its table with --model and --store; in Python open it with equipoise.store.logits.Logits.load.",
            value=str(store),
        )
    rows = read_table(store / TABLE, manifest.rows_sha256)
    samples, reasons = rows_of(manifest, rows, store)
    if manifest.layout == "precomputed":
        files = _recorded(manifest.images, manifest.parameters["image_tables"], store)
        vectors = files.open()
        index = index_of(samples.table["row_id"], files.ids(vectors))
    else:
        vectors = ShardReader(store, manifest.images).vectors()
        index = in_order(rows, samples, vectors)
    return EmbeddingSet(
        samples,
        reasons,
        index,
        vectors,
        _texts(manifest, store, encoder),
        encoder={
            "ref": manifest.encoder,
            "name": manifest.parameters.get("name", manifest.encoder),
            "fingerprint": manifest.fingerprint,
        },
        preprocessing=manifest.preprocessing,
        inputs=manifest.inputs,
        notes=manifest.parameters.get("notes", ()),
    )


def rows_of(manifest: Manifest, rows: pa.Table, store: Path) -> tuple[Samples, list[str]]:
    """Return the samples of ``rows.parquet``, sorted by id, and why each is set aside."""
    attributes = tuple(manifest.roles.get("attributes", ()))
    expected = [*ROWS.names, *(name for name in attributes if name not in ROWS.names)]
    if rows.column_names != expected:
        raise SchemaError(
            f"'{store / TABLE}' has the columns {', '.join(rows.column_names)}, not {', '.join(expected)}.",
            "Make the store again.",
        )
    roles = {role: name for role, name in manifest.roles.items() if role not in ("attributes", "id_from")}
    kept = ["row_id", *(role for role in ("image", "caption", "split", "cluster") if role in roles)]
    if pc.any(pc.not_equal(rows["sha256"], "")).as_py():
        kept.append("sha256")
    kept += [name for name in attributes if name not in kept]
    order = pc.sort_indices(rows["row_id"].combine_chunks())
    rows = rows.take(order).combine_chunks()
    root = manifest.parameters.get("root")
    samples = Samples(
        table=rows.select(kept),
        vocabulary=Vocabulary.from_dict(manifest.vocabulary),
        roles=roles,
        inputs=dict(manifest.inputs),
        root=None if root is None else store / root,
        lines=np.arange(1, len(rows) + 1, dtype=np.int64),
        position=order.to_numpy().astype(np.int64),
        rows_read=len(rows),
        attributes=attributes,
        id_from=manifest.roles.get("id_from", "id"),
    )
    return samples, rows["reason"].to_pylist()


def index_of(row_ids: pa.ChunkedArray, ids: pa.Array) -> NDArray[np.int64]:
    """Return (rows,) the place of each row id among the ids of the vectors; -1 where there is none."""
    found = pc.index_in(row_ids.combine_chunks().cast(pa.large_string()), ids.cast(pa.large_string()))
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _recorded(shards: list[Any], tables: list[dict[str, str]], store: Path) -> VectorFiles:
    """Return the files a manifest names, after their checksums."""
    for item in (*shards, *tables):
        path, sha256 = (item["path"], item["sha256"]) if isinstance(item, dict) else (item.path, item.sha256)
        check_sha256(store / path, sha256)
    return VectorFiles(
        tuple(store / shard.path for shard in shards),
        tuple(store / table["path"] for table in tables),
        tuple(table["column"] for table in tables),
    )


def in_order(rows: pa.Table, samples: Samples, vectors: Vectors) -> NDArray[np.int64]:
    """Return the vector of each sample where the vectors follow the usable rows of ``rows.parquet``."""
    usable = pc.equal(rows["status"], OK).to_numpy().astype(bool)
    if usable.sum() != len(vectors):
        raise SchemaError(
            f"The store has {len(vectors)} vectors and {int(usable.sum())} usable rows.", "Make the store again."
        )
    place = np.where(usable, np.cumsum(usable) - 1, -1)
    return place[samples.position]


def _texts(manifest: Manifest, store: Path, encoder: Encoder | str | None) -> GrowingTexts:
    """Return the texts that came with the arrays and those that were embedded since, with what can embed more."""
    base = None
    if manifest.texts:
        files = _recorded(manifest.texts, manifest.parameters["text_tables"], store)
        vectors = files.open()
        base = TextVectors(files.texts(vectors), vectors, f"The texts of '{manifest.encoder}'")
    return GrowingTexts(
        dim=manifest.dim,
        fingerprint=manifest.fingerprint,
        what=f"The texts of '{manifest.encoder}'",
        encoder=encoder,
        ref=manifest.encoder,
        base=base,
        store=store,
    )
