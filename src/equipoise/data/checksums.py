"""SHA-256 of files and of columns."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equipoise.errors import MissingFileError


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file '{path}'.", "Check the path.", value=str(path)) from error
    except OSError as error:
        raise MissingFileError(
            f"'{path}' cannot be read: {error.strerror}.",
            "Check that it is a file and its permissions.",
            value=str(path),
        ) from error


def sha256_of_columns(table: pa.Table) -> str:
    """Return a SHA-256 over names, cells and nulls of text columns; how the table is chunked does not matter."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].cast(pa.large_string())
        lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().astype("<i8")
        digest.update(f"{len(name)}:{name}:{len(lengths)}:".encode())
        digest.update(lengths.tobytes())
        for chunk in pc.fill_null(column, "").chunks:
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            if len(chunk) and (data := chunk.buffers()[2]) is not None:
                digest.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
    return digest.hexdigest()
