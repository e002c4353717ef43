"""Frozen duals as one JSON document: a few kilobytes to publish, to audit, and to weight other rows with.

It begins with what it is: schema, versions of the package and of the method and of the word lists, fingerprints of what the
duals were fitted on (of files and Samples; none of a bare Arrow table). The checksum is over all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._version import __version__
from equipoise.errors import EquipoiseError, InputError, SchemaError
from equipoise.store.files import atomic_write

SCHEMA = "equipoise.duals/1"
REMEDY = "Name a file that M4.save or --duals-out wrote."


def write_duals(mitigation: Any, path: str | Path) -> None:
    """Write the state of a fitted :class:`~.m4.M4`."""
    parameters, arrays = mitigation.state()
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "equipoise": __version__,
        "method": mitigation.name,
        "method_version": mitigation.version,
        "lists": _sorted(mitigation.layout_.lists),
        "inputs": _sorted(mitigation.inputs),
        "parameters": _sorted(parameters),
        "arrays": {name: array.tolist() for name, array in arrays.items()},
    }
    document["sha256"] = hashlib.sha256(_canonical(document)).hexdigest()
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write(Path(path), f"{text}\n")


def read_duals(kind: type[Any], path: str | Path) -> Any:
    """Return a mitigation of that kind from a document.

    Raises
    ------
    InputError
        If the file cannot be read.
    SchemaError
        If it is no such document, or its bytes are not those that were written.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        checksum = document.pop("sha256")
        if document["schema"] != SCHEMA or document["method_version"] != kind.version:
            raise SchemaError(
                f"'{path}' is of schema {document['schema']!r}, version {document['method_version']!r} of the method.",
                f"This reads {SCHEMA} of version {kind.version}.",
            )
        if hashlib.sha256(_canonical(document)).hexdigest() != checksum:
            raise SchemaError(f"'{path}' was changed after it was written.", "Fit the duals again.")
        arrays = {name: np.asarray(values, np.float64) for name, values in document["arrays"].items()}
        found = kind.from_state(document["parameters"], arrays)
        found.inputs = {str(name): str(fingerprint) for name, fingerprint in document["inputs"].items()}
        return found
    except EquipoiseError:
        raise
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error}).", REMEDY) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"'{path}' holds no duals ({error!r}).", REMEDY) from error


def _sorted(values: Mapping[str, Any]) -> Any:
    """Return the same with all keys in order, so that equal duals give equal bytes."""
    return json.loads(json.dumps(values, sort_keys=True))


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
