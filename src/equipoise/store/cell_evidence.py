"""Evidence of an audit of data: its cells, and the weight of each under every arm.

``evidence/cells.parquet`` is a table of cells with its layout, ``evidence/weights.safetensors`` a float64 tensor (C,) an
arm, in the order of the cells. There are no rows: a cell stands for all rows that show the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_table import CellTable
from equipoise.errors import InputError, SchemaError
from equipoise.store.evidence import check_files
from equipoise.store.files import read_arrays, sha256_of, write_arrays

CELLS, WEIGHTS = "cells.parquet", "weights.safetensors"


@dataclass(frozen=True)
class CellEvidence:
    """Cells and weights.

    Attributes
    ----------
    cells : CellTable
    weights : dict of str to ndarray (C,), float64
        By arm, at least 0; ``main`` is the audited one.

    Raises
    ------
    InputError
        If weights are negative, not finite, or not one a cell.
    """

    cells: CellTable
    weights: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        for arm, weights in self.weights.items():
            if weights.shape != (len(self.cells),):
                raise InputError(
                    f"There are weights of shape {weights.shape} for {len(self.cells):,} cells ('{arm}').",
                    "Pass one weight a cell.",
                )
            if not (np.isfinite(weights).all() and (weights >= 0).all()):
                raise InputError(f"A weight of '{arm}' is negative or not finite.", "Pass weights of at least 0.")

    def digest(self) -> str:
        """Return a SHA-256 of all that is in it."""
        found = hashlib.sha256(self.cells.layout.id.encode())
        found.update(np.ascontiguousarray(self.cells.keys).tobytes())
        found.update(np.ascontiguousarray(self.cells.counts).tobytes())
        for arm, weights in self.weights.items():
            found.update(arm.encode() + np.ascontiguousarray(weights, np.float64).tobytes())
        return found.hexdigest()

    def save(self, folder: Path) -> dict[str, str]:
        """Write both files below ``folder``; return name to SHA-256."""
        folder.mkdir(parents=True, exist_ok=True)
        self.cells.to_parquet(folder / CELLS)
        write_arrays(folder / WEIGHTS, {arm: np.ascontiguousarray(w) for arm, w in self.weights.items()})
        return {name: sha256_of(folder / name) for name in (CELLS, WEIGHTS)}

    @classmethod
    def load(cls, folder: Path, arms: list[str], files: dict[str, str]) -> CellEvidence:
        """Read what :meth:`save` wrote, checked.

        Raises
        ------
        MissingFileError, ChecksumError, SchemaError
        """
        check_files(folder, files, (CELLS, WEIGHTS))
        weights = read_arrays(folder / WEIGHTS)
        if missing := [arm for arm in arms if arm not in weights]:
            raise SchemaError(f"'{folder}' has no weights of '{missing[0]}'.", "Make the audit again.")
        return cls(CellTable.from_parquet(folder / CELLS), {arm: weights[arm] for arm in arms})
