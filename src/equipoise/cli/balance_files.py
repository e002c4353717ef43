"""Files that ``equipoise balance`` writes: what another run left is never replaced unasked, what the same run left stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from equipoise.errors import InputError, OutputExistsError


def check_outputs(out: Path, others: Iterable[Path | None], *, overwrite: bool, folder: bool = False) -> None:
    """Refuse before anything is computed what could not be written in the end.

    Raises
    ------
    InputError
        If weights would not be Parquet, or two outputs are one.
    OutputExistsError
        If something that no balance wrote is in the way.
    """
    from equipoise.data.tables import PARQUET

    if folder and out.suffix:
        raise InputError(
            f"'{out}' is to be a folder: many machines write a file each.", "Give --out a name without a dot."
        )
    if not folder and out.suffix.lower() not in PARQUET:
        raise InputError(f"'{out}' is to hold Parquet.", "Give --out a name that ends in .parquet.", value=str(out))
    named = [path.resolve() for path in (out, *others) if path is not None]
    if len(set(named)) < len(named):
        raise InputError("Two outputs have one name.", "Name each output by itself.")
    if folder:
        return  # the writer knows its own folder
    if out.is_dir() or (out.exists() and not overwrite and not _holds_weights(out)):
        raise in_the_way(out)


def write_once(path: Path, write: Callable[[Path], object], *, overwrite: bool) -> None:
    """Write a file; one that is there stays if it has the bytes that would be written, and is refused otherwise.

    Raises
    ------
    OutputExistsError
    """
    from equipoise.store.files import sha256_of

    if overwrite or not path.exists():
        write(path)
        return
    again = path.with_name(f".{path.stem}.again{path.suffix}")
    try:
        write(again)
        same = path.is_file() and sha256_of(again) == sha256_of(path)
    finally:
        again.unlink(missing_ok=True)
    if not same:
        raise in_the_way(path)


def in_the_way(path: Path) -> OutputExistsError:
    """Return the error of an output of another run."""
    return OutputExistsError(
        f"'{path}' is in the way: another run wrote it.", "Name another output, or pass --overwrite.", value=str(path)
    )


def _holds_weights(path: Path) -> bool:
    """Return whether a file is Parquet that a balance may have written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "m4_weight" in pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        return False
