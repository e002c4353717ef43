"""Tables as people have them: CSV, Parquet, a folder of Parquet files or of images, a frame. Only columns asked for are read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of, sha256_of_columns
from equipoise.data.csv_file import DELIMITERS, CsvFile, repeated_column
from equipoise.errors import InputError, MissingColumnError, MissingFileError, did_you_mean, listed

PARQUET = (".parquet", ".pq")
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
NUMBERS = re.compile(r"(\d+)")
FOLDER_COLUMNS = ("image", "folder")


@dataclass(frozen=True)
class Source:
    """A table that is open: its columns are known, cells are read on demand.

    Attributes
    ----------
    what : str
        What a message calls it.
    names : tuple of str
    rows : int
    root : Path or None
        Folder against which relative paths in its cells are resolved.
    unit : str
        What :meth:`lines` counts: ``"line"`` of a text file or ``"row"``.
    inputs : dict of str to str
        File name to SHA-256; empty for frames (see :meth:`fingerprint`).
    """

    what: str
    names: tuple[str, ...]
    rows: int
    root: Path | None
    unit: str
    inputs: dict[str, str]
    _read: Callable[[Sequence[str]], pa.Table]
    _lines: Callable[[], NDArray[np.int64]]

    def read(self, names: Sequence[str]) -> pa.Table:
        """Return columns by name, in the order of the rows.

        Raises
        ------
        MissingColumnError
            If one is absent, or occurs twice.
        """
        names = list(dict.fromkeys(names))
        for name in names:
            if name not in self.names:
                hint = did_you_mean(name, self.names)
                if len(self.names) == 1 and any(sign in self.names[0] for sign in ";\t|"):
                    hint = (
                        f" Its only column is '{self.names[0]}': cells are separated by commas (.csv) or tabs (.tsv)."
                    )
                raise MissingColumnError(
                    f"{self.what} has no column '{name}'.{hint}", f"Its columns: {listed(self.names, 20)}.", value=name
                )
            if self.names.count(name) > 1:
                raise repeated_column(name, self.what)
        return self._read(names)

    def lines(self) -> NDArray[np.int64]:
        """Return (rows,) the number by which a person finds each row."""
        return self._lines()

    def fingerprint(self, used: pa.Table) -> dict[str, str]:
        """Return ``inputs``, or for a frame the SHA-256 of the columns that were used."""
        return self.inputs or {"table": sha256_of_columns(used)}


def open_table(source: Any) -> Source:
    """Open a path (CSV, TSV, Parquet, a folder of images or of Parquet files), a frame, an Arrow table or a mapping of columns.

    Raises
    ------
    MissingFileError, InputError
        If it is absent, empty, or of a kind that is not read.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(Path(source))
    table = _arrow(source)
    if table.num_rows == 0:
        raise InputError("The table has no rows.", "Pass one with rows.")
    return _in_memory(table, "The table", None, {})


def _open_path(path: Path) -> Source:
    if not path.exists():
        raise MissingFileError(f"There is no table '{path}'.", "Check the path.", value=str(path))
    if path.is_dir():
        parts = [] if any(True for _ in _images(path)) else _parts(path)
        return _open_parts(path, parts) if parts else _open_folder(path)
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return _open_csv(path)
    if suffix in PARQUET:
        return _open_parquet(path)
    raise InputError(
        f"'{path}' is not a table that is read: its name ends in '{suffix}'.",
        f"Give {listed([*DELIMITERS, *PARQUET])}, or a folder of images or of Parquet files.",
        value=str(path),
    )


def _open_csv(path: Path) -> Source:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"'{path}' cannot be read: {error.strerror}.", "Check it.", value=str(path)) from error
    found = CsvFile(path, content)
    return Source(
        what=f"'{path.name}'",
        names=tuple(found.names),
        rows=found.rows,
        root=path.parent,
        unit="line",
        inputs={path.name: hashlib.sha256(content).hexdigest()},
        _read=found.read,
        _lines=found.lines,
    )


def _open_parquet(path: Path) -> Source:
    import pyarrow.parquet as pq

    sha256 = sha256_of(path)
    try:
        with pq.ParquetFile(path) as file:
            names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {error}.", "Make it again.", value=str(path)) from error
    if rows == 0:
        raise InputError(f"'{path}' has no rows.", "Add rows.", value=str(path))

    def read(columns: Sequence[str]) -> pa.Table:
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=list(columns)).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"'{path}' cannot be read: {error}.", "Make it again.", value=str(path)) from error

    return Source(
        what=f"'{path.name}'",
        names=names,
        rows=rows,
        root=path.parent,
        unit="row",
        inputs={path.name: sha256},
        _read=read,
        _lines=lambda: np.arange(1, rows + 1, dtype=np.int64),
    )


def _parts(path: Path) -> list[Path]:
    """Return the Parquet files that lie in a folder, ``metadata_10`` after ``metadata_9``."""
    found = [item for item in path.iterdir() if item.suffix.lower() in PARQUET and item.name[0] not in "._"]
    return sorted(
        found, key=lambda item: [int(part) if part.isdecimal() else part for part in NUMBERS.split(item.name)]
    )


def _open_parts(path: Path, files: Sequence[Path]) -> Source:
    """Open Parquet files as one table, one after the other; all have the columns of the first."""
    sources = [_open_parquet(file) for file in files]
    first = sources[0]
    for source in sources[1:]:
        if set(source.names) != set(first.names):
            odd = sorted(set(source.names) ^ set(first.names))
            raise InputError(
                f"{source.what} and {first.what} in '{path}' differ in the columns {listed(odd)}.",
                "Parts of one table have the same columns.",
                value=odd,
            )
    rows = sum(source.rows for source in sources)

    def read(columns: Sequence[str]) -> pa.Table:
        tables = [source.read(columns) for source in sources]
        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise InputError(
                f"The parts of '{path}' hold one column as different types: {error}.",
                "Write them alike.",
                value=str(path),
            ) from error

    return Source(
        what=f"'{path.name}'",
        names=first.names,
        rows=rows,
        root=path,
        unit="row",
        inputs={f"{path.name}/{name}": sha256 for source in sources for name, sha256 in source.inputs.items()},
        _read=read,
        _lines=lambda: np.arange(1, rows + 1, dtype=np.int64),
    )


def _images(path: Path) -> Iterator[str]:
    """Yield the images below a folder, as paths in it; hidden files and folders are passed over."""
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.lower().endswith(IMAGES) and not name.startswith("."):
                yield Path(folder, name).relative_to(path).as_posix()


def _open_folder(path: Path) -> Source:
    found = list(_images(path))
    if not found:
        raise InputError(
            f"There is no image in the folder '{path}'.",
            f"Images end in {listed(IMAGES, 20)}; Parquet files in it are read as one table.",
            value=str(path),
        )
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The name of the image {name!r} is not UTF-8.", "Rename it.", value=name) from error
    found.sort()
    parents = [os.path.dirname(name) for name in found]
    table = pa.table({"image": found, "folder": parents})
    return _in_memory(table, f"The folder '{path.name}'", path, {path.name: sha256_of_columns(table)})


def _in_memory(table: pa.Table, what: str, root: Path | None, inputs: dict[str, str]) -> Source:
    return Source(
        what=what,
        names=tuple(table.column_names),
        rows=table.num_rows,
        root=root,
        unit="row",
        inputs=inputs,
        _read=lambda names: table.select(list(names)),
        _lines=lambda: np.arange(1, table.num_rows + 1, dtype=np.int64),
    )


def _arrow(source: Any) -> pa.Table:
    """Return any frame as an Arrow table."""
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, Mapping):
        return _converted(lambda: pa.table(dict(source)))
    if hasattr(source, "with_format") and hasattr(source, "column_names"):
        # A Hugging Face dataset: its own table ignores select() and shuffle(), its arrow format does not.
        return _converted(lambda: source.with_format("arrow")[:])
    import narwhals as nw

    frame = nw.from_native(source, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, nw.DataFrame):
        return _converted(frame.to_arrow)
    if hasattr(source, "__arrow_c_stream__"):
        return _converted(lambda: pa.table(source))
    raise InputError(
        f"A {type(source).__name__} is not a table.",
        "Pass a path, a pandas or polars frame, an Arrow table or a Hugging Face dataset.",
        value=type(source).__name__,
    )


def _converted(convert: Callable[[], pa.Table]) -> pa.Table:
    try:
        return convert()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"The table cannot be read as columns of one type each: {error}.", "Make each column one type, as text."
        ) from error
