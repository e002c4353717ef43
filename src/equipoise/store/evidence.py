"""Row-level evidence of an audit: without it nothing can be paired later.

``evidence/rows.parquet`` holds the row ids, their cluster, picture (path and SHA-256, where known) and attributes;
``queries.csv`` the queries in the order of the score matrix; ``scores.safetensors`` and ``arms/<arm>.safetensors`` one
tensor ``scores`` (Q, n) float32 each. Audits of predictions hold ``predictions.parquet`` instead. ``zero_shot.safetensors`` (a tensor ``<arm>/<attribute>`` each) and
``caption_ranks.parquet`` carry the utility.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.data.samples import Samples
from equipoise.errors import ChecksumError, MissingColumnError, MissingFileError, SchemaError, did_you_mean
from equipoise.schema import EVIDENCE_QUERIES
from equipoise.store.files import atomic_write, read_arrays, sha256_of, write_arrays, write_table

SLAB = 1 << 14
"""Cells that become Python objects at a time."""


def codes_of(attributes: pa.Table, vocabulary: Vocabulary, key: str) -> NDArray[np.int32]:
    """Return group numbers (n,) of a key from the text columns of its attributes; -1 where unknown."""
    columns = {}
    for name in vocabulary.parts(key):
        if name not in attributes.column_names:
            raise MissingColumnError(
                f"The rows have no column for '{name}'.{did_you_mean(name, attributes.column_names)}",
                "Name it among the attributes when the table is read.",
                value=name,
            )
        columns[name] = attributes[name]
    return vocabulary.encode(columns, key)


def evidence_columns(samples: Samples) -> dict[str, pa.ChunkedArray]:
    """Return ``row_id``, ``cluster``, and where the samples know them ``image`` and ``sha256`` of each row's picture."""
    table = samples.table
    there = [name for name in ("image", "sha256") if name in table.column_names and name not in samples.attributes]
    found = {name: table[name].cast(pa.string()) for name in ("row_id", *there)}
    clusters = table["cluster"].cast(pa.string()) if "cluster" in samples.roles else None
    empty = pa.chunked_array([pa.repeat(pa.scalar("", pa.string()), len(samples))])
    return {"row_id": found.pop("row_id"), "cluster": empty if clusters is None else clusters, **found}


def image_root(samples: Samples) -> dict[str, str]:
    """Return the parameter ``image_root``: the folder of relative image paths; nothing where rows have no picture."""
    if "image" not in samples.roles or samples.root is None:
        return {}
    return {"image_root": Path(os.path.abspath(samples.root)).as_posix()}


@dataclass(frozen=True)
class RankingEvidence:
    """Cosines of every query with every row, for every arm.

    Attributes
    ----------
    rows : pyarrow.Table
        ``row_id``, ``cluster``, where known ``image`` and ``sha256`` of the picture, and one text column per
        attribute, sorted by row id.
    queries : tuple of Query
    scores : dict of str to ndarray (Q, n) float32
        By arm; ``main`` is the audited one.
    zero_shot : dict of str to dict of str to ndarray (n,) int32
        By arm and attribute: the group that zero-shot classification predicts.
    ranks : dict of str to ndarray (m,) int64
        By arm: how many rows score above the caption's own row; empty without captions.
    ranked_rows : ndarray (m,) int64
        Row number of each caption.
    """

    rows: pa.Table
    queries: tuple[Query, ...]
    scores: dict[str, NDArray[np.float32]]
    zero_shot: dict[str, dict[str, NDArray[np.int32]]] = field(default_factory=dict)
    ranks: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    ranked_rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def ids(self) -> list[str]:
        """Row ids in order."""
        return self.rows["row_id"].to_pylist()

    @property
    def clusters(self) -> NDArray[np.int32] | None:
        """Cluster number of every row, or None."""
        return clusters_of(self.rows)

    def digest(self) -> str:
        """Return a SHA-256 of all that is in it."""
        found = _table_digest(self.rows)
        for arm, scores in self.scores.items():
            found.update(arm.encode() + np.ascontiguousarray(scores, np.float32).tobytes())
        for arm, by_attribute in self.zero_shot.items():
            for name, predicted in by_attribute.items():
                found.update(f"{arm}/{name}".encode() + predicted.tobytes())
        for arm, ranks in self.ranks.items():
            found.update(arm.encode() + ranks.tobytes())
        return found.hexdigest()

    def save(self, folder: Path) -> dict[str, str]:
        """Write all files below ``folder``; return relative path to SHA-256."""
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "rows.parquet", self.rows)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(EVIDENCE_QUERIES)
        writer.writerows((query.family, query.text) for query in self.queries)
        atomic_write(folder / "queries.csv", text.getvalue().encode())
        for arm, scores in self.scores.items():
            path = folder / "scores.safetensors" if arm == "main" else folder / "arms" / f"{arm}.safetensors"
            path.parent.mkdir(exist_ok=True)
            write_arrays(path, {"scores": np.ascontiguousarray(scores, np.float32)})
        if self.zero_shot:
            named = {f"{arm}/{name}": found for arm, by in self.zero_shot.items() for name, found in by.items()}
            write_arrays(folder / "zero_shot.safetensors", dict(sorted(named.items())))
        if self.ranks:
            columns: dict[str, Any] = {"row": self.ranked_rows}
            write_table(folder / "caption_ranks.parquet", pa.table(columns | self.ranks))
        return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}

    @classmethod
    def load(cls, folder: Path, queries: tuple[Query, ...], arms: list[str], files: dict[str, str]) -> RankingEvidence:
        """Read what :meth:`save` wrote; every file is checked against its SHA-256, and no other is read."""
        names = {arm: "scores.safetensors" if arm == "main" else f"arms/{arm}.safetensors" for arm in arms}
        check_files(folder, files, ("rows.parquet", *names.values()))
        scores = {arm: read_arrays(folder / name)["scores"] for arm, name in names.items()}
        rows = pq.read_table(folder / "rows.parquet")
        zero_shot: dict[str, dict[str, NDArray[np.int32]]] = {}
        if "zero_shot.safetensors" in files:
            predicted = read_arrays(folder / "zero_shot.safetensors")
            for arm in arms:
                own = {name.partition("/")[2]: found for name, found in predicted.items() if name.startswith(f"{arm}/")}
                if own:
                    zero_shot[arm] = {name: own[name] for name in rows.column_names if name in own}
        ranks: dict[str, NDArray[np.int64]] = {}
        ranked = np.zeros(0, np.int64)
        if "caption_ranks.parquet" in files:
            found = pq.read_table(folder / "caption_ranks.parquet")
            ranked = found["row"].to_numpy()
            ranks = {name: found[name].to_numpy() for name in found.column_names if name != "row"}
        return cls(rows, queries, scores, zero_shot, ranks, ranked)


@dataclass(frozen=True)
class PredictionEvidence:
    """Labels, predictions and scores by row.

    Attributes
    ----------
    rows : pyarrow.Table
        ``row_id``, ``cluster``, where known ``image`` and ``sha256`` of the picture, ``label``, ``prediction``, ``score``
        (float64, null where absent) and one text column per attribute, sorted by row id.
    """

    rows: pa.Table

    @property
    def ids(self) -> list[str]:
        """Row ids in order."""
        return self.rows["row_id"].to_pylist()

    @property
    def clusters(self) -> NDArray[np.int32] | None:
        """Cluster number of every row, or None."""
        return clusters_of(self.rows)

    def digest(self) -> str:
        """Return a SHA-256 of all that is in it."""
        return _table_digest(self.rows).hexdigest()

    def save(self, folder: Path) -> dict[str, str]:
        """Write ``predictions.parquet``; return its SHA-256."""
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "predictions.parquet", self.rows)
        return {"predictions.parquet": sha256_of(folder / "predictions.parquet")}

    @classmethod
    def load(cls, folder: Path, files: dict[str, str]) -> PredictionEvidence:
        """Read what :meth:`save` wrote, checked."""
        check_files(folder, files, ("predictions.parquet",))
        return cls(pq.read_table(folder / "predictions.parquet"))


def clusters_of(rows: pa.Table) -> NDArray[np.int32] | None:
    """Return cluster numbers (n,) of a table's ``cluster`` column, or None when no row has one.

    A row without a cluster is one of its own.
    """
    if not pc.any(pc.not_equal(rows["cluster"], "")).as_py():
        return None
    names = rows["cluster"].to_pylist()
    own = [name or f"\0row {i}" for i, name in enumerate(names)]
    return np.unique(np.asarray(own, object), return_inverse=True)[1].astype(np.int32)


def _table_digest(rows: pa.Table) -> Any:
    found = hashlib.sha256()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        found.update(f"({name!r}, [".encode("utf-8", "surrogatepass"))
        for start in range(0, len(column), SLAB):  # a million cells as Python objects would be most of the memory
            text = repr(column.slice(start, SLAB).to_pylist())[1:-1]
            found.update(f"{', ' if start else ''}{text}".encode("utf-8", "surrogatepass"))
        found.update(b"])")
    return found


def check_files(folder: Path, files: dict[str, str], needed: Sequence[str] = ()) -> None:
    """Raise if a file is gone, its bytes are not those that were written, or a needed one has no recorded SHA-256."""
    for name in needed:
        if name not in files:
            raise SchemaError(f"'{folder}' records no SHA-256 of '{name}'.", "Make it again.", value=name)
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise MissingFileError(f"'{path}' is missing.", "Make the audit again.", value=str(path))
        if sha256_of(path) != digest:
            raise ChecksumError(
                f"'{path}' has changed since it was written: its SHA-256 is not the recorded one.",
                "Make the audit again, or restore the file.",
                value=str(path),
            )
