"""Files that are whole or absent: atomic writes, and reads that check what they read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.errors import ChecksumError, InputError, MissingFileError

PARTIAL = ".partial"
METADATA_KEY = "equipoise"


def atomic_write(path: str | Path, content: bytes | str | Callable[[Path], Any]) -> str:
    """Write a file that is either whole or not there, and return its SHA-256.

    Parameters
    ----------
    path : path
    content : bytes, str (written as UTF-8) or callable
        A callable is given the temporary path and writes it.

    Raises
    ------
    InputError
        If the folder cannot be written (absent, read-only, full).
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
        # safetensors makes its files private; ours are as readable as any file of the user.
        partial.chmod(mode)
        sha256 = sha256_of(partial)
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return sha256


def unwritable(path: Path, error: OSError) -> InputError:
    """Return the error for a path that cannot be written."""
    return InputError(
        f"'{path}' cannot be written: {error.strerror or error}.",
        "Check that the folder exists, is writable and has space, or choose another output.",
        value=str(path),
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: str | Path) -> Path:
    """Create a folder with its parents, if it is absent; InputError if that cannot be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def remove_leftovers(folder: str | Path) -> None:
    """Remove what a killed run left half written, in a folder and the folders below it."""
    for partial in Path(folder).rglob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def remove_stale(path: str | Path, *, held: bool = False) -> None:
    """Remove what processes that are gone left half written of one file.

    Parameters
    ----------
    path : path
        The file that they were to write.
    held : bool
        Whether a lock says that nobody else writes it; else what a running process has begun stays.
    """
    path = Path(path)
    start = f".{path.name}."
    try:
        found = [item for item in path.parent.iterdir() if item.name.startswith(start) and item.suffix == PARTIAL]
    except OSError:
        return
    for item in found:
        process = item.name[len(start) : -len(PARTIAL)]
        if process.isdecimal() and (held or not _runs(int(process))):
            with suppress(OSError):
                item.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # of another user
    return True


def check_sha256(path: str | Path, sha256: str) -> None:
    """Raise ChecksumError if a file's bytes are not those that were recorded, MissingFileError if it is gone."""
    found = sha256_of(path)
    if found != sha256:
        raise ChecksumError(
            f"'{path}' has changed: its SHA-256 is {found[:12]}..., recorded was {sha256[:12]}....",
            "Restore the file, or make the output again with --overwrite.",
            value=str(path),
        )


def write_table(path: str | Path, table: pa.Table) -> str:
    """Write a Parquet file atomically and return its SHA-256; equal tables give equal bytes."""
    import pyarrow.parquet as pq

    return atomic_write(path, lambda partial: pq.write_table(table.combine_chunks(), partial, compression="zstd"))


def read_table(path: str | Path, sha256: str | None = None) -> pa.Table:
    """Read a Parquet file, after its checksum if one is given."""
    import pyarrow.parquet as pq

    if sha256 is not None:
        check_sha256(path, sha256)
    if not Path(path).is_file():
        raise MissingFileError(f"There is no file '{path}'.", "Check the path.", value=str(path))
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise ChecksumError(
            f"'{path}' cannot be read as Parquet: {error}.", "Restore it or make it again.", value=str(path)
        ) from error


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]], metadata: str = "") -> str:
    """Write a safetensors file atomically and return its SHA-256; equal arrays give equal bytes.

    Parameters
    ----------
    arrays : mapping of name to ndarray
        Any order in memory; written in C order.
    metadata : str, optional
        One text, usually JSON with sorted keys. There is one key only: the library writes several in random order.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    def save(partial: Path) -> None:
        try:
            save_file(plain, str(partial), metadata=kept)
        except SafetensorError as error:
            raise OSError(str(error)) from error

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    kept = {METADATA_KEY: metadata} if metadata else None
    return atomic_write(path, save)


def read_arrays(path: str | Path, sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """Read a safetensors file, after its checksum if one is given.

    Raises
    ------
    MissingFileError, ChecksumError
        If it is absent, has changed, or is no safetensors file (truncated, overlapping, a giant header).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if sha256 is not None:
        check_sha256(path, sha256)
    if not Path(path).is_file():
        raise MissingFileError(f"There is no file '{path}'.", "Check the path.", value=str(path))
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _not_safetensors(path, error) from error


def read_metadata(path: str | Path) -> str:
    """Return the text that :func:`write_arrays` kept beside the arrays; empty if there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return (file.metadata() or {}).get(METADATA_KEY, "")
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file '{path}'.", "Check the path.", value=str(path)) from error
    except (SafetensorError, OSError) as error:
        raise _not_safetensors(path, error) from error


def _not_safetensors(path: str | Path, error: Exception) -> ChecksumError:
    return ChecksumError(
        f"'{path}' cannot be read as safetensors: {error}.", "Restore it or make it again.", value=str(path)
    )
