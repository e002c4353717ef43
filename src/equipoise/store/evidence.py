"""Row-level evidence of an audit: without it nothing can be paired later.

``evidence/rows.parquet`` holds the row ids, their cluster and attributes; ``queries.csv`` the queries in the order of the
score matrix; ``scores.safetensors`` and ``arms/<arm>.safetensors`` one tensor ``scores`` (Q, n) float32 each. Audits of
predictions hold ``predictions.parquet`` instead. ``zero_shot.parquet`` and ``caption_ranks.parquet`` carry the utility.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.errors import ChecksumError, MissingFileError
from equipoise.schema import EVIDENCE_QUERIES
from equipoise.store.files import atomic_write, read_arrays, sha256_of, write_arrays, write_table


def codes_of(attributes: pa.Table, vocabulary: Vocabulary, key: str) -> NDArray[np.int32]:
    """Return group numbers (n,) of a key from the text columns of its attributes; -1 where unknown."""
    columns = {name: attributes[name].to_pylist() for name in vocabulary.parts(key)}
    return vocabulary.encode(columns, key)


@dataclass(frozen=True)
class RankingEvidence:
    """Cosines of every query with every row, for every arm.

    Attributes
    ----------
    rows : pyarrow.Table
        ``row_id``, ``cluster`` and one text column per attribute, sorted by row id.
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
            write_table(folder / "zero_shot.parquet", self._by_arm(self.zero_shot))
        if self.ranks:
            columns: dict[str, Any] = {"row": self.ranked_rows}
            write_table(folder / "caption_ranks.parquet", pa.table(columns | self.ranks))
        return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}

    def _by_arm(self, predictions: dict[str, dict[str, NDArray[np.int32]]]) -> pa.Table:
        parts = []
        for arm, by_attribute in predictions.items():
            ids = self.rows["row_id"]
            parts.append(pa.table({"row_id": ids, "arm": pa.array([arm] * len(ids), pa.string()), **by_attribute}))
        return pa.concat_tables(parts)

    @classmethod
    def load(cls, folder: Path, queries: tuple[Query, ...], arms: list[str], files: dict[str, str]) -> RankingEvidence:
        """Read what :meth:`save` wrote; every file is checked against its SHA-256."""
        check_files(folder, files)
        scores = {}
        for arm in arms:
            path = folder / "scores.safetensors" if arm == "main" else folder / "arms" / f"{arm}.safetensors"
            scores[arm] = read_arrays(path)["scores"]
        rows = pq.read_table(folder / "rows.parquet")
        zero_shot: dict[str, dict[str, NDArray[np.int32]]] = {}
        if (folder / "zero_shot.parquet").exists():
            found = pq.read_table(folder / "zero_shot.parquet")
            names = [name for name in found.column_names if name not in ("row_id", "arm")]
            which = np.asarray(found["arm"].to_pylist(), object)
            for arm in dict.fromkeys(which):
                part = found.filter(pa.array(which == arm))
                zero_shot[arm] = {name: part[name].to_numpy().astype(np.int32) for name in names}
        ranks: dict[str, NDArray[np.int64]] = {}
        ranked = np.zeros(0, np.int64)
        if (folder / "caption_ranks.parquet").exists():
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
        ``row_id``, ``cluster``, ``label``, ``prediction``, ``score`` (float64, null where absent) and one text column
        per attribute, sorted by row id.
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

    def save(self, folder: Path) -> dict[str, str]:
        """Write ``predictions.parquet``; return its SHA-256."""
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "predictions.parquet", self.rows)
        return {"predictions.parquet": sha256_of(folder / "predictions.parquet")}

    @classmethod
    def load(cls, folder: Path, files: dict[str, str]) -> PredictionEvidence:
        """Read what :meth:`save` wrote, checked."""
        check_files(folder, files)
        return cls(pq.read_table(folder / "predictions.parquet"))


def clusters_of(rows: pa.Table) -> NDArray[np.int32] | None:
    """Return cluster numbers (n,) of a table's ``cluster`` column, or None when no row has one.

    A row without a cluster is one of its own.
    """
    names = rows["cluster"].to_pylist()
    if not any(names):
        return None
    own = [name or f"\0row {i}" for i, name in enumerate(names)]
    return np.unique(np.asarray(own, object), return_inverse=True)[1].astype(np.int32)


def check_files(folder: Path, files: dict[str, str]) -> None:
    """Raise if a file is gone or its bytes are not those that were written."""
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
