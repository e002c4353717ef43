"""Shards: files of float vectors with a checksum each, read as one array; :mod:`equipoise.store.blocks` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.vectors import Vectors
from equipoise.errors import ChecksumError, MissingFileError
from equipoise.schema import Shard
from equipoise.store.files import check_sha256

TENSOR = "vectors"
SUFFIX = ".safetensors"


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
        return shard_vectors(self.folder, self.shards)

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


def shard_vectors(folder: Path, shards: Sequence[Shard]) -> Vectors:
    """Return the rows of shards whose checksums were compared, as one array that stays on disk."""
    return Vectors(
        [_ShardFile(folder / shard.path, shard) for shard in shards], [f"'{shard.path}'" for shard in shards]
    )
