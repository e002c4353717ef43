"""Folders of embeddings that somebody made: which files, which ids, which texts.

Two layouts are read: ``image.npy`` + ``rows.parquet`` (+ ``text.npy`` + ``texts.csv``), and that of clip-retrieval
(``img_emb/img_emb_*.npy``, ``metadata/metadata_*.parquet``, optional ``text_emb/``), whose texts are its captions.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.data.columns import Column
from equipoise.data.tables import open_table
from equipoise.data.vectors import Vectors, open_npy
from equipoise.errors import EmbeddingError, InputError, MissingFileError, listed

CLIP_RETRIEVAL_IDS = ("id", "image_path", "key")


@dataclass(frozen=True)
class VectorFiles:
    """Arrays and the tables that name their rows.

    Attributes
    ----------
    arrays : tuple of Path
    tables : tuple of Path
        One per array: row i of a table names row i of its array.
    columns : tuple of str
        The column of each table that holds the id, or the text.
    """

    arrays: tuple[Path, ...]
    tables: tuple[Path, ...]
    columns: tuple[str, ...]

    def joined(self, other: VectorFiles) -> VectorFiles:
        """Return the files of both, one after the other."""
        return VectorFiles(self.arrays + other.arrays, self.tables + other.tables, self.columns + other.columns)

    def open(self) -> Vectors:
        """Return the arrays, memory-mapped."""
        return Vectors([open_npy(path) for path in self.arrays], [f"'{path.name}'" for path in self.arrays])

    def ids(self, vectors: Vectors) -> pa.Array:
        """Return (n,) ids of the rows, each once; EmbeddingError if an array and its table differ in rows."""
        return self._names(vectors).ids()

    def texts(self, vectors: Vectors) -> list[str]:
        """Return (m,) texts of the rows; EmbeddingError if an array and its table differ in rows."""
        return pc.fill_null(self._names(vectors).text(), "").to_pylist()

    def _names(self, vectors: Vectors) -> Column:
        columns = []
        for array, table, name, part in zip(self.arrays, self.tables, self.columns, vectors.parts, strict=True):
            source = open_table(table)
            if source.rows != part.shape[0]:
                raise EmbeddingError(
                    f"'{array.name}' has {part.shape[0]} rows and '{table.name}' {source.rows}.",
                    "Row i of the table names row i of the array.",
                )
            columns.append(Column(source.read([name])[name], name, source.lines(), source.unit))
        if len(columns) == 1:
            return columns[0]
        joined = pa.chunked_array([column.text() for column in columns])
        return Column(joined, self.columns[0], np.arange(1, len(joined) + 1), "row")


@dataclass(frozen=True)
class PrecomputedFolder:
    """What a folder of embeddings holds.

    Attributes
    ----------
    path : Path
    images : VectorFiles
    texts : VectorFiles or None
    card : Path or None
        ``encoder.json``, if the folder says which encoder made it.
    """

    path: Path
    images: VectorFiles
    texts: VectorFiles | None
    card: Path | None


def read_folder(path: str | Path) -> PrecomputedFolder:
    """Find the arrays and tables of a folder.

    Raises
    ------
    MissingFileError
        If the folder or one of a pair of files is absent; the message says which.
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingFileError(f"There is no folder '{path}'.", "Check the path after 'precomputed:'.", value=str(path))
    card = path / "encoder.json"
    if (path / "image.npy").exists():
        images = VectorFiles((path / "image.npy",), (_present(path / "rows.parquet"),), ("id",))
        texts = None
    elif (path / "img_emb").is_dir():
        images, texts = _clip_retrieval(path)
    else:
        raise MissingFileError(
            f"'{path}' holds neither image.npy nor img_emb/.",
            "Give image.npy with rows.parquet (column id), or the output of clip-retrieval.",
            value=str(path),
        )
    if (path / "text.npy").exists():
        words = VectorFiles((path / "text.npy",), (_present(path / "texts.csv"),), ("text",))
        texts = words if texts is None else texts.joined(words)
    elif (path / "texts.csv").exists():
        _present(path / "text.npy")
    return PrecomputedFolder(path, images, texts, card if card.exists() else None)


def _present(path: Path) -> Path:
    if not path.is_file():
        raise MissingFileError(
            f"There is no file '{path}'.", "Add it: arrays and tables come in pairs.", value=str(path)
        )
    return path


def _clip_retrieval(path: Path) -> tuple[VectorFiles, VectorFiles | None]:
    images = _numbered(path / "img_emb", "img_emb", ".npy")
    tables = _numbered(path / "metadata", "metadata", ".parquet")
    _same_numbers(images, tables)
    names = open_table(tables[min(tables)]).names
    column = next((name for name in CLIP_RETRIEVAL_IDS if name in names), None)
    if column is None:
        raise InputError(
            f"The metadata of '{path}' has no column that identifies an image.",
            f"It needs one of {', '.join(CLIP_RETRIEVAL_IDS)}; it has {listed(names, 20)}.",
        )
    texts = None
    if (path / "text_emb").is_dir() and "caption" in names:
        captions = _numbered(path / "text_emb", "text_emb", ".npy")
        _same_numbers(captions, tables)
        texts = _in_order(captions, tables, "caption")
    return _in_order(images, tables, column), texts


def _in_order(arrays: dict[int, Path], tables: dict[int, Path], column: str) -> VectorFiles:
    numbers = sorted(arrays)
    return VectorFiles(
        tuple(arrays[number] for number in numbers),
        tuple(tables[number] for number in numbers),
        (column,) * len(numbers),
    )


def _numbered(folder: Path, stem: str, suffix: str) -> dict[int, Path]:
    """Return the files ``stem_0.suffix``, ``stem_1.suffix``, ... of a folder by number."""
    pattern = re.compile(rf"{stem}_(\d+){re.escape(suffix)}")
    found = {int(match[1]): path for path in folder.glob(f"*{suffix}") if (match := pattern.fullmatch(path.name))}
    if not found:
        raise MissingFileError(f"'{folder}' holds no {stem}_*{suffix}.", "Check the folder.", value=str(folder))
    return found


def _same_numbers(arrays: dict[int, Path], tables: dict[int, Path]) -> None:
    if odd := sorted(set(arrays) ^ set(tables)):
        path = arrays.get(odd[0]) or tables[odd[0]]
        raise MissingFileError(f"'{path}' has no counterpart.", "Arrays and metadata come in pairs.", value=str(path))
