"""The file of an annotated table: what another run wrote is not replaced unasked, what the same run wrote is finished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from equipoise.data.tables import PARQUET
from equipoise.errors import InputError, LockedError, OutputExistsError
from equipoise.store.atomic import remove_stale, unwritable
from equipoise.store.files import differences
from equipoise.store.inputs import refuse_inputs

RUN = b"equipoise.run"
"""Key of the file's metadata: what decided it, as JSON."""


def check_path(out: Path, table: Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse an output that is no Parquet, is the table or another input, or what no annotation wrote.

    Raises
    ------
    InputError, OutputExistsError
    """
    if out.suffix.lower() not in PARQUET:
        raise InputError(f"'{out}' is to hold Parquet.", "Give --out a name that ends in .parquet.", value=str(out))
    refuse_inputs(out, (table, *inputs), "--out")
    if not out.exists():
        return
    if out.is_dir():
        raise OutputExistsError(f"'{out}' is a folder.", "Name a file.", value=str(out))
    if _recorded(out) is None:
        raise OutputExistsError(
            f"'{out}' is in the way: no annotation wrote it.", "Name another output.", value=str(out)
        )


def check_output(out: Path, table: Path, run: str, *, overwrite: bool) -> None:
    """Refuse an output that another run wrote; that of the same run is finished.

    Raises
    ------
    InputError, OutputExistsError
    """
    check_path(out, table)
    before = _recorded(out) if out.exists() else None
    if before is None:
        return
    if before != run and not overwrite:
        found = differences(json.loads(before), json.loads(run))
        changed = "; ".join(sorted(found, key=len)[:3])  # what is short says most
        raise OutputExistsError(
            f"'{out}' holds the output of another run: {changed}.", "Name another output, or pass --overwrite.",
            value=str(out),
        )  # fmt: skip


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold an output for this process, and remove what a killed run left half written.

    Raises
    ------
    LockedError, InputError
        If another process writes it, or its folder cannot be written.
    """
    from filelock import FileLock, Timeout

    path = out.with_name(f".{out.name}.lock")
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(f"Another process writes '{out}'.", "Wait for it, or name another output.") from error
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        remove_stale(out, held=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        held.release()


def _recorded(path: Path) -> str | None:
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(RUN)
    except (OSError, pa.ArrowException):
        return None
    return None if found is None else found.decode("utf-8", "replace")
