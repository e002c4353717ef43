"""Files that ``equipoise balance`` writes: what another run left is never replaced unasked, what the same run left stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, OutputExistsError

FOLDERS = ("mitigation_out", "ledger_out")


def check_outputs(
    out: Path, others: Mapping[str, Path | None], *, overwrite: bool, folder: bool = False,
    tables: Sequence[Path] = (), inputs: Iterable[Path | None] = (), wanted: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Refuse before anything is computed what could not be written in the end.

    Parameters
    ----------
    out : path
    others : mapping of flag to path
        Outputs beside the weights, None where they were not asked for.
    overwrite : bool
    folder : bool
        Whether ``out`` is a folder.
    tables, inputs : paths
        The table, and what else is read: never written over.
    wanted : mapping, optional
        Attributes, labels, seed and options by name, as a run records them; None where nothing is fitted.

    Raises
    ------
    InputError
        If weights would not be Parquet, two outputs are one, or an output is an input.
    OutputExistsError
        If something that no balance wrote is in the way, or plainly the output of another run.
    """
    from equipoise.data.tables import PARQUET
    from equipoise.store.inputs import refuse_inputs

    if folder and out.suffix:
        raise InputError(
            f"'{out}' is to be a folder: many machines write a file each.", "Give --out a name without a dot."
        )
    if not folder and out.suffix.lower() not in PARQUET:
        raise InputError(f"'{out}' is to hold Parquet.", "Give --out a name that ends in .parquet.", value=str(out))
    given = {"out": out, **{name: path for name, path in others.items() if path is not None}}
    read = [*tables, *inputs]
    for name, path in given.items():
        refuse_inputs(path, read, f"--{name.replace('_', '-')}")
    named = [path.resolve() for path in given.values()]
    if len(set(named)) < len(named):
        raise InputError("Two outputs have one name.", "Name each output by itself.")
    for name, path in given.items():
        if name in FOLDERS:
            _check_folder(path, tables, wanted, overwrite=overwrite)
        elif path.is_dir() and not (folder and name == "out"):
            raise in_the_way(path)
    if folder:
        return  # the writer knows its own folder
    if out.exists() and not overwrite and not _holds_weights(out):
        raise in_the_way(out)


def write_once(path: Path, write: Callable[[Path], object], *, overwrite: bool) -> None:
    """Write a file; one that is there stays if it has the bytes that would be written, and is refused otherwise.

    Raises
    ------
    OutputExistsError
    """
    from equipoise.store.atomic import remove_stale
    from equipoise.store.files import sha256_of

    remove_stale(path)
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


def _check_folder(path: Path, tables: Sequence[Path], wanted: Mapping[str, Any] | None, *, overwrite: bool) -> None:
    """Refuse the folder of a run of another table or of other options; what only the result tells is left to the writer."""
    from equipoise.cli.balance_source import fingerprints
    from equipoise.schema import plain
    from equipoise.store.files import RUN

    if path.exists() and not path.is_dir():
        raise OutputExistsError(f"'{path}' is a file.", "Name a folder.", value=str(path))
    if overwrite or not path.is_dir():
        return
    if not (path / RUN).is_file():
        if there := sorted(item.name for item in path.iterdir() if not item.name.startswith(".")):
            raise OutputExistsError(
                f"'{path}' holds other files ({', '.join(there[:3])}).", "Name another output.", value=str(path)
            )
        return
    try:
        found = json.loads((path / RUN).read_text("utf-8"))["fingerprint"]
        before = found.get("before", found)  # a ledger names its inputs in the audits
        own = found if "before" not in found else (found["after"]["mitigation"] or {})
        inputs, options = before["inputs"], own["parameters"]
        options = options.get("options", options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # the writer tells what is the matter with it
    if tables and inputs != fingerprints(tables):
        raise _of_another(path, "of another table")
    for name, value in plain(wanted or {}).items():
        if name in options and options[name] != value:
            raise _of_another(path, f"{name} {_said(options[name])}, not {_said(value)}")


def _said(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _of_another(path: Path, what: str) -> OutputExistsError:
    return OutputExistsError(
        f"'{path}' is in the way: another run wrote it, {what}.",
        "Name another output, or pass --overwrite.",
        value=str(path),
    )


def _holds_weights(path: Path) -> bool:
    """Return whether a file is Parquet that a balance may have written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "m4_weight" in pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        return False
