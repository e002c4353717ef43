"""Blocks: vectors in files of their own, each beside a hidden record of what became of its rows.

``image/00003.safetensors`` holds the vectors of the usable rows of block 3, ``image/.00003.parquet`` a line for each of its
rows. A block is finished when its record is there, which is written last: a run that was killed keeps its finished blocks
and drops the rest. Files depend only on the rows of a block, never on how often the run was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.vectors import Vectors
from equipoise.errors import ChecksumError, MissingFileError
from equipoise.schema import Shard
from equipoise.store.files import (
    check_sha256,
    make_folder,
    read_table,
    remove_leftovers,
    unwritable,
    write_arrays,
    write_table,
)
from equipoise.store.growth import Plan
from equipoise.store.shards import SUFFIX, TENSOR, shard_vectors

FOLDER = "image"
RECORD = pa.schema(
    [
        ("row_id", pa.string()),
        ("image", pa.string()),
        ("sha256", pa.string()),
        ("reason", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
    ]
)
"""What became of a row: SHA-256 of the bytes that were decoded (``""``: none were read), why it is set aside (``""``: it is
not), size and time of the file as it was found (-1: it was not)."""
KEY = b"equipoise"


@dataclass(frozen=True)
class Block:
    """What a block of rows became.

    Attributes
    ----------
    record : pyarrow.Table
        Of the schema ``RECORD``, in the order of the rows.
    vectors : ndarray (u, d), float32
        Of the rows without a reason, in their order.
    batch_size : int
        Pictures of the smallest batch that memory forced; the batch size asked for where it forced none.
    """

    record: pa.Table
    vectors: NDArray[np.float32]
    batch_size: int


class Blocks(Protocol):
    """Where blocks go: a folder, or memory."""

    def record(self, number: int) -> pa.Table | None:
        """Return the record of a finished block, None for another."""
        ...

    def write(self, number: int, block: Block) -> None:
        """Keep a block."""
        ...

    def note(self, number: int, record: pa.Table) -> None:
        """Keep another record of the same vectors: files that were touched and have not changed."""
        ...

    def discard(self, number: int) -> None:
        """Drop a block: it is to be made again."""
        ...

    def batch_size(self, number: int) -> int:
        """Return the smallest batch of a finished block."""
        ...

    def vectors(self) -> Vectors:
        """Return the vectors of all blocks as one array."""
        ...


class MemoryBlocks:
    """Blocks that are not kept."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}

    def record(self, number: int) -> pa.Table | None:
        """Return the record of a finished block, None for another."""
        return self._blocks[number].record if number in self._blocks else None

    def write(self, number: int, block: Block) -> None:
        """Keep a block."""
        self._blocks[number] = block

    def note(self, number: int, record: pa.Table) -> None:
        """Keep another record of the same vectors."""
        self._blocks[number] = Block(record, self._blocks[number].vectors, self._blocks[number].batch_size)

    def discard(self, number: int) -> None:
        """Drop a block."""
        self._blocks.pop(number, None)

    def batch_size(self, number: int) -> int:
        """Return the smallest batch of a finished block."""
        return self._blocks[number].batch_size

    def vectors(self) -> Vectors:
        """Return the vectors of all blocks as one array."""
        found = [self._blocks[number].vectors for number in sorted(self._blocks)]
        return Vectors(found, [f"Block {number}" for number in sorted(self._blocks)])


class BlockStore:
    """Blocks on disk; opening them checks what is finished and drops what is not.

    Parameters
    ----------
    store : path
        The folder of the store, held by this process (:class:`equipoise.store.files.Output`).
    plan : Plan
    dim : int
        Columns of a vector.
    made_by : str
        Digest of what decides the vectors; a block of another is dropped.
    mend : bool
        Whether a finished block that was deleted or edited is made again.

    Raises
    ------
    MissingFileError, ChecksumError
        If a finished block was deleted or edited and is not to be mended; the message names it.
    """

    def __init__(self, store: Path, plan: Plan, dim: int, made_by: str = "", *, mend: bool = False) -> None:
        self.store = store
        self.folder = make_folder(store / FOLDER)
        self.dim = dim
        self.made_by = made_by
        self._records: dict[int, pa.Table] = {}
        self._about: dict[int, dict[str, Any]] = {}
        remove_leftovers(self.folder)
        for number, rows in plan:
            try:
                self._open(number, rows)
            except (MissingFileError, ChecksumError):
                if not mend:
                    raise
        self._drop_strays()

    def record(self, number: int) -> pa.Table | None:
        """Return the record of a finished block, None for another."""
        return self._records.get(number)

    def write(self, number: int, block: Block) -> None:
        """Write the vectors, then the record: a kill never leaves a record that belies them."""
        path = self._shard_path(number)
        sha256 = write_arrays(path, {TENSOR: np.ascontiguousarray(block.vectors, np.float32)})
        shard = Shard(
            path=f"{FOLDER}/{path.name}", sha256=sha256, rows=len(block.vectors), dim=self.dim, dtype="float32"
        )
        self._about[number] = {
            "shard": shard.model_dump(),
            "batch_size": block.batch_size,
            "made_by": self.made_by,
        }
        self.note(number, block.record)

    def note(self, number: int, record: pa.Table) -> None:
        """Write another record of the same vectors."""
        about = json.dumps(self._about[number], sort_keys=True).encode()
        record = record.cast(RECORD).replace_schema_metadata({KEY: about})
        write_table(self._record_path(number), record)
        self._records[number] = record

    def discard(self, number: int) -> None:
        """Drop a block, its record first."""
        try:
            self._record_path(number).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self._record_path(number), error) from error
        self._records.pop(number, None)

    def batch_size(self, number: int) -> int:
        """Return the smallest batch of a finished block."""
        return int(self._about[number]["batch_size"])

    def shards(self) -> list[Shard]:
        """Return the files of all finished blocks, in order."""
        return [Shard(**self._about[number]["shard"]) for number in sorted(self._records)]

    def vectors(self) -> Vectors:
        """Return the vectors of all blocks as one array that stays on disk; what is on disk was checked on opening."""
        return shard_vectors(self.store, self.shards())

    # ---------------------------------------------------------------------------------------------------- opening

    def _open(self, number: int, rows: pa.Table) -> None:
        path = self._record_path(number)
        if not path.is_file():
            return
        record = read_table(path)
        try:
            about = json.loads((record.schema.metadata or {})[KEY])
            shard = Shard(**about["shard"])
            record = record.cast(RECORD).replace_schema_metadata({KEY: record.schema.metadata[KEY]})
            about["batch_size"], made_by = int(about["batch_size"]), about["made_by"]
        except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise ChecksumError(
                f"'{path}' is no record of a block: {error}.",
                "Remove it, and its block is made again.",
                value=str(path),
            ) from error
        same = record.select(["row_id", "image"]).equals(rows.select(["row_id", "image"]).cast(_NAMES))
        if same and made_by == self.made_by:
            try:
                check_sha256(self.store / shard.path, shard.sha256)
            except MissingFileError as error:
                raise MissingFileError(
                    f"'{self.store / shard.path}' is gone.",
                    "Restore it, or make the store again with --overwrite.",
                    value=shard.path,
                ) from error
            self._records[number], self._about[number] = record, about

    def _drop_strays(self) -> None:
        """Remove files of blocks that are not finished."""
        kept = {self._shard_path(number).name for number in self._records}
        kept |= {self._record_path(number).name for number in self._records}
        digits = "[0-9]" * 5 + "*"
        for path in [*self.folder.glob(f"{digits}{SUFFIX}"), *self.folder.glob(f".{digits}.parquet")]:
            if path.name not in kept:
                path.unlink()

    def _shard_path(self, number: int) -> Path:
        return self.folder / f"{number:05d}{SUFFIX}"

    def _record_path(self, number: int) -> Path:
        return self.folder / f".{number:05d}.parquet"


_NAMES = pa.schema([("row_id", pa.string()), ("image", pa.string())])


def joined(records: Sequence[pa.Table]) -> pa.Table:
    """Return the records of all blocks as one."""
    plain = [record.replace_schema_metadata(None) for record in records]
    return pa.concat_tables(plain).combine_chunks() if plain else RECORD.empty_table()
