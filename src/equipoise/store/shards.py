"""Shards: float vectors appended in batches, in files of equal size with a checksum each.

A run that was killed keeps its finished shards and drops the rest. Files depend only on the rows and on
``rows_per_shard``, never on how the rows were batched or how often the run was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.vectors import Vectors, check_floats
from equipoise.errors import ChecksumError, EmbeddingError, FingerprintError, InputError, MissingFileError
from equipoise.schema import Shard
from equipoise.store.files import (
    atomic_write,
    check_sha256,
    make_folder,
    read_arrays,
    remove_leftovers,
    write_arrays,
)

TENSOR = "vectors"
RECORD = ".shards.json"
SUFFIX = ".safetensors"


class ShardWriter:
    """Appends vectors to a folder of shards.

    Parameters
    ----------
    folder : path
        Holds ``00000.safetensors``, ``00001.safetensors``, ... and the record of finished shards.
    dim : int
    dtype : str
        ``float32`` or ``float16``.
    rows_per_shard : int

    Attributes
    ----------
    rows : int
        Rows that are safe or buffered: after opening, the place from which to go on.

    Raises
    ------
    FingerprintError
        If the folder was begun with another width, type or shard size.
    ChecksumError, MissingFileError
        If a finished shard was edited or deleted; the message names it.
    """

    def __init__(self, folder: str | Path, dim: int, dtype: str = "float32", rows_per_shard: int = 8192) -> None:
        if dtype not in ("float32", "float16"):
            raise InputError(f"Shards hold float32 or float16, not {dtype}.", "Choose one.", value=dtype)
        if dim < 1 or rows_per_shard < 1:
            raise InputError(f"A shard of {rows_per_shard} rows and {dim} columns holds nothing.", "Give 1 or more.")
        self.folder = make_folder(folder)
        self.dim = dim
        self.dtype = np.dtype(dtype)
        self.rows_per_shard = rows_per_shard
        self._shards: list[Shard] = []
        self._buffer: list[NDArray[Any]] = []
        self._resume()

    @property
    def rows(self) -> int:
        """Rows that are safe or buffered."""
        return sum(shard.rows for shard in self._shards) + sum(len(batch) for batch in self._buffer)

    @property
    def safe(self) -> int:
        """Rows in finished shards."""
        return sum(shard.rows for shard in self._shards)

    def append(self, batch: NDArray[Any]) -> None:
        """Add (b, dim) vectors; full shards are written at once.

        Raises
        ------
        EmbeddingError
            If the width differs, or a value is not finite as it would be stored.
        """
        check_floats(batch, "The batch")
        if batch.shape[1] != self.dim:
            raise EmbeddingError(f"The batch has {batch.shape[1]} columns, the shards {self.dim}.", "Use one encoder.")
        with np.errstate(over="ignore"):
            kept = np.array(batch, self.dtype, order="C")
        if len(bad := np.flatnonzero(~np.isfinite(kept).all(axis=1))):
            raise EmbeddingError(
                f"Row {self.rows + int(bad[0]) + 1} is not finite as {self.dtype}.", "Set such rows aside first."
            )
        if not self._buffer:
            self._take_up_last()
        self._buffer.append(kept)
        while sum(len(rows) for rows in self._buffer) >= self.rows_per_shard:
            rows = np.concatenate(self._buffer)
            self._write(rows[: self.rows_per_shard])
            self._buffer = [rest] if len(rest := rows[self.rows_per_shard :]) else []

    def finish(self) -> list[Shard]:
        """Write what is buffered and return all shards, with paths relative to the parent of the folder."""
        if rest := [rows for rows in self._buffer if len(rows)]:
            self._write(np.concatenate(rest))
        self._buffer = []
        return list(self._shards)

    def _write(self, rows: NDArray[Any]) -> None:
        path = self.folder / f"{len(self._shards):05d}{SUFFIX}"
        sha256 = write_arrays(path, {TENSOR: rows})
        self._shards.append(
            Shard(
                path=f"{self.folder.name}/{path.name}",
                sha256=sha256,
                rows=len(rows),
                dim=self.dim,
                dtype=str(self.dtype),
            )
        )
        self._record()

    def _record(self) -> None:
        record = {
            "schema": "equipoise.shards/1",
            "dim": self.dim,
            "dtype": str(self.dtype),
            "rows_per_shard": self.rows_per_shard,
            "shards": [shard.model_dump() for shard in self._shards],
        }
        atomic_write(self.folder / RECORD, json.dumps(record, indent=1) + "\n")

    def _resume(self) -> None:
        """Check the finished shards and drop files that are not on record."""
        remove_leftovers(self.folder)
        path = self.folder / RECORD
        if path.exists():
            self._shards = self._read_record(path)
        for shard in self._shards:
            check_sha256(self.folder.parent / shard.path, shard.sha256)
        known = {Path(shard.path).name for shard in self._shards}
        for stray in self.folder.glob(f"*{SUFFIX}"):
            if stray.name not in known:
                stray.unlink()

    def _take_up_last(self) -> None:
        """Return a short last shard to the buffer, off the record first: a kill never leaves a file that belies it."""
        if self._shards and self._shards[-1].rows < self.rows_per_shard:
            last = self._shards.pop()
            self._buffer = [read_arrays(self.folder.parent / last.path, last.sha256)[TENSOR]]
            self._record()

    def _read_record(self, path: Path) -> list[Shard]:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            begun = {key: record[key] for key in ("dim", "dtype", "rows_per_shard")}
            shards = [Shard(**shard) for shard in record["shards"]]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ChecksumError(
                f"'{path}' cannot be read: {error}.", "Make the store again with --overwrite."
            ) from error
        asked = {"dim": self.dim, "dtype": str(self.dtype), "rows_per_shard": self.rows_per_shard}
        if changed := [f"{key}: {begun[key]} -> {asked[key]}" for key in asked if begun[key] != asked[key]]:
            raise FingerprintError(
                f"'{self.folder}' was begun with other settings: {'; '.join(changed)}.",
                "Go on with the same settings, or make it again with --overwrite.",
            )
        return shards


class _ShardFile:
    """Rows of one shard, read on demand."""

    def __init__(self, path: Path, shard: Shard) -> None:
        self.path = path
        self.shape = (shard.rows, shard.dim)
        self.dtype = np.dtype(shard.dtype)

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        from safetensors import safe_open

        with safe_open(str(self.path), framework="numpy") as file:
            tensor = file.get_slice(TENSOR)
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(self.shape[0])
                return tensor[start:stop]
            if not len(rows):
                return np.empty((0, self.shape[1]), self.dtype)
            first = int(rows.min())
            return tensor[first : int(rows.max()) + 1][rows - first]


class ShardReader:
    """Shards on disk, checked against their checksums.

    Parameters
    ----------
    folder : path
        The folder that the paths of the shards are relative to.
    shards : sequence of Shard

    Raises
    ------
    MissingFileError, ChecksumError
        Naming the shard.
    """

    def __init__(self, folder: str | Path, shards: Sequence[Shard]) -> None:
        self.folder = Path(folder)
        self.shards = list(shards)
        if not self.shards:
            raise MissingFileError(f"'{folder}' has no shards.", "Make the store again.", value=str(folder))
        for shard in self.shards:
            check_sha256(self.folder / shard.path, shard.sha256)
            self._check_shape(shard)

    def vectors(self) -> Vectors:
        """Return all rows as one array that stays on disk."""
        files = [_ShardFile(self.folder / shard.path, shard) for shard in self.shards]
        return Vectors(files, [f"'{shard.path}'" for shard in self.shards])

    def _check_shape(self, shard: Shard) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.folder / shard.path), framework="numpy") as file:
                shape = tuple(file.get_slice(TENSOR).get_shape())
        except (SafetensorError, OSError) as error:
            raise ChecksumError(f"'{shard.path}' cannot be read: {error}.", "Restore it.", value=shard.path) from error
        if shape != (shard.rows, shard.dim):
            raise ChecksumError(
                f"'{shard.path}' has the shape {shape}, recorded was {(shard.rows, shard.dim)}.", "Restore it."
            )
