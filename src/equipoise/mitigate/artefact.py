"""A fitted mitigation as a folder: ``mitigation.json``, ``arrays.safetensors``, ``fit_rows.parquet``.

Nothing is pickled: the method is found by its name in the registry (ours or a plug-in's) and rebuilt from JSON values
and checked arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.errors import FingerprintError, InputError, MissingFileError, SchemaError
from equipoise.protocols import DataMitigation, EmbeddingMitigation, TrainingMitigation, WeightMitigation
from equipoise.registry import MITIGATIONS
from equipoise.schema import FIT_ROWS, MitigationDocument, conform, plain
from equipoise.store.files import Output, atomic_write, read_arrays, read_table, write_arrays, write_table

DOCUMENT, ARRAYS, ROWS = "mitigation.json", "arrays.safetensors", "fit_rows.parquet"

KINDS = (EmbeddingMitigation, DataMitigation)
MODELS = (TrainingMitigation, WeightMitigation)


def save_mitigation(
    mitigation: EmbeddingMitigation | DataMitigation,
    folder: str | Path,
    *,
    encoder: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> MitigationDocument:
    """Write a fitted mitigation; equal mitigations give equal bytes.

    Parameters
    ----------
    mitigation : EmbeddingMitigation or DataMitigation
        One of data needs ``state`` and ``from_state`` too, as :class:`~equipoise.mitigate.data.m4.M4` has.
    folder : path
    encoder : mapping, optional
        Description of the encoder whose space it edits; that of the embeddings it was fitted on when None, and empty for
        one of data.
    overwrite : bool
        Replace the output of another run.

    Raises
    ------
    OutputExistsError, LockedError, InputError
        If the folder holds the output of another run, is in use, or cannot be written.
    """
    name = mitigation.name
    if name not in MITIGATIONS:
        raise InputError(
            f"'{name}' is not the name of a registered mitigation: it could not be loaded again.",
            f"Register it as an entry point of '{MITIGATIONS.group}'.",
            value=name,
        )
    if not hasattr(mitigation, "state"):
        raise InputError(f"'{name}' has no state that could be saved.", "Give it `state` and `from_state`.", value=name)
    parameters, arrays = mitigation.state()  # pyright: ignore[reportAttributeAccessIssue]
    rows = pa.table({"row_id": pa.array(mitigation.fit_rows, pa.string())}, schema=FIT_ROWS)
    facts: dict[str, Any] = {
        "method": name,
        "method_version": mitigation.version,
        "kind": mitigation.kind,
        "attributes": list(mitigation.attributes),
        "edits": sorted(getattr(mitigation, "edits", ())),
        "guarantees": list(mitigation.guarantees),
        "encoder": dict(getattr(mitigation, "encoder", {}) if encoder is None else encoder),
        "parameters": parameters,
        "inputs": dict(getattr(mitigation, "inputs", {})),
    }
    run = plain(facts) | {"contents": _digest(arrays, mitigation.fit_rows)}
    with Output(folder, DOCUMENT, run, overwrite=overwrite, owned=(ARRAYS, ROWS)) as output:
        files = {
            ARRAYS: write_arrays(output.path(ARRAYS), arrays),
            ROWS: write_table(output.path(ROWS), rows),
        }
        document = MitigationDocument(**facts, files=files)
        atomic_write(output.path(DOCUMENT), document.to_json())
    return document


def read_document(folder: str | Path) -> MitigationDocument:
    """Read ``mitigation.json`` alone.

    Raises
    ------
    MissingFileError
        If the folder holds no mitigation.
    SchemaError
        If it is of another schema.
    """
    path = Path(folder) / DOCUMENT
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError(f"'{path}' is not UTF-8 text.", "Make it again.", value=str(path)) from error
    except OSError as error:
        raise MissingFileError(
            f"There is no mitigation in '{folder}': {DOCUMENT} cannot be read.",
            "Pass the folder that `equipoise mitigate` wrote.",
            value=str(folder),
        ) from error
    return MitigationDocument.from_json(text, f"'{path}'")


def load_mitigation(folder: str | Path) -> Any:
    """Read a mitigation that :func:`save_mitigation` wrote; its transform, or its weights, are bit-identical.

    The result also has ``encoder`` and ``inputs`` of the document.

    Raises
    ------
    MissingFileError
        If the folder holds no mitigation.
    ChecksumError
        If the bytes of a file are not those that were written.
    SchemaError, UnknownNameError, FingerprintError
        If the document is of another schema, its method is not installed, or of another version.
    """
    document = read_document(folder)
    kind = MITIGATIONS.load(document.method)
    trains = isinstance(kind, type) and issubclass(kind, MODELS) and hasattr(kind, "from_folder")
    if not trains and not (isinstance(kind, type) and issubclass(kind, KINDS) and hasattr(kind, "from_state")):
        raise SchemaError(f"'{document.method}' cannot be loaded from a folder.", "Load it with its own package.")
    if kind.version != document.method_version:
        raise FingerprintError(
            f"'{folder}' was made by version {document.method_version} of '{document.method}', this is {kind.version}.",
            "Fit it again, or use the version of equipoise that made it.",
            value=document.method_version,
        )
    if trains:
        return kind.from_folder(folder, document)  # pyright: ignore[reportAttributeAccessIssue]
    arrays = read_arrays(Path(folder) / ARRAYS, _recorded(document, ARRAYS, folder))
    rows = read_table(Path(folder) / ROWS, _recorded(document, ROWS, folder))
    try:
        mitigation: Any = kind.from_state(document.parameters, arrays)  # pyright: ignore[reportAttributeAccessIssue]
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(
            f"'{folder}': the parameters are not those of '{document.method}' ({error!r}).", "Fit it again."
        ) from error
    mitigation.fit_rows = tuple(conform(rows, FIT_ROWS, ROWS)["row_id"].to_pylist())
    for name in ("encoder", "inputs"):
        setattr(mitigation, name, getattr(document, name))
    return mitigation


def _recorded(document: MitigationDocument, name: str, folder: str | Path) -> str:
    if name not in document.files:
        raise SchemaError(f"'{folder}': {DOCUMENT} records no checksum of {name}.", "Make it again.", value=name)
    return document.files[name]


def _digest(arrays: Mapping[str, NDArray[Any]], rows: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\n".join(rows).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
