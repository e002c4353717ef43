"""ONNX files, read before a runtime may touch them: sizes, external data, normalisation layers, checksums.

A model may name other files that hold its weights. A runtime opens whatever is named; so the names are checked first:
relative, inside the folder of the model (links followed), regular files, long enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.errors import InputError, MissingFileError, listed

LARGEST = 2**31 - 1
"""Bytes of a protocol buffer: what ONNX can be, the files beside it aside."""
NORMS = ("BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
         "RMSNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization")  # fmt: skip
"""Operators with a scale, and mostly a bias, that an untrained network holds at 1 and 0."""


@dataclass(frozen=True)
class OnnxFile:
    """A model that was looked at.

    Attributes
    ----------
    path : Path
    metadata : dict of str to str
        Its ``metadata_props``.
    norms : dict of str to ndarray
        Weights, biases and statistics of normalisation layers that are stored in the model itself, as ``"norm.0.weight"``.
    data : tuple of Path
        Files beside it that hold weights.
    """

    path: Path
    metadata: dict[str, str]
    norms: dict[str, NDArray[Any]]
    data: tuple[Path, ...]

    def sha256(self) -> str:
        """Return one SHA-256 over the model and the files beside it: their names and contents."""
        found = hashlib.sha256()
        for file in (self.path, *self.data):
            name = "model" if file == self.path else file.relative_to(self.path.parent).as_posix()
            found.update(f"{name} {sha256_of(file)}\n".encode())
        return found.hexdigest()


def read_onnx(path: Path) -> OnnxFile:
    """Parse a model without its external data, and check where that lies.

    Raises
    ------
    MissingFileError
        If a file is missing.
    InputError
        If it is no ONNX model, is cut short, too large, or names a file outside its folder.
    """
    onnx = needed("onnx")
    if not path.is_file():
        raise MissingFileError(f"There is no file '{path}'.", "Name an .onnx file, or its folder.", value=str(path))
    size = path.stat().st_size
    if size > LARGEST:
        raise InputError(
            f"'{path}' has {size / 2**30:.1f} GiB; an ONNX file holds at most 2.",
            "Save the weights as external data beside it.",
            value=size,
        )
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be read: {error.strerror}.", "Check its permissions.", value=str(path)
        ) from error
    except Exception as error:  # the parser's own kinds of error
        raise _no_model(path, f": {error}" if str(error) else "") from error
    if not model.graph.node or not model.graph.output:
        raise _no_model(path, f" ({size} bytes without a graph)")
    weights = list(_tensors(model))
    data = {_confined(tensor, path) for tensor in weights if tensor.external_data or tensor.data_location}
    metadata = {item.key: item.value for item in model.metadata_props}
    return OnnxFile(path, metadata, _norms(model.graph), tuple(sorted(data)))


def needed(module: str) -> Any:
    """Import what the extra ``onnx`` brings; InputError names it where it is missing."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"ONNX models need {module}, which cannot be imported: {error}.",
            "pip install 'equipoise[onnx]'.",
            value=module,
        ) from error


def inside(folder: Path, name: str, what: str) -> Path:
    """Return a file that a description names; InputError if it leaves the folder, MissingFileError if it is not there.

    Names are relative with forward slashes. Links are followed, and must end inside the folder as well.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    away = (
        posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts) or "\0" in name
    )
    path = folder / name
    try:
        away = away or not name or not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        raise InputError(
            f"{what} '{name}' cannot be followed: {error}.", "Put the file itself there.", value=name
        ) from error
    if away:
        raise InputError(
            f"{what} lies outside the model's folder: '{name}'.",
            "Only files inside it are opened; copy the file there, or do not trust this model.",
            value=name,
        )
    if not path.exists():
        raise MissingFileError(f"{what} is missing: there is no '{path}'.", "Put it beside the model.", value=name)
    if not path.is_file():
        raise InputError(f"{what} '{path}' is no regular file.", "Put the file itself there.", value=name)
    return path


# ---------------------------------------------------------------------------------------------------------- the parts


def _confined(tensor: Any, path: Path) -> Path:
    """Return the file of a tensor's data, checked."""
    keys = [item.key for item in tensor.external_data]
    if keys.count("location") != 1 or len(set(keys)) < len(keys):
        raise InputError(
            f"The tensor '{tensor.name}' of '{path.name}' names its file {keys.count('location')} times, with the keys "
            f"{listed(keys)}.",
            "Save the model again.",
            value=tensor.name,
        )  # fmt: skip
    said = {item.key: item.value for item in tensor.external_data}
    file = inside(path.parent, said["location"], f"The external data of '{path.name}' (tensor '{tensor.name}')")
    try:
        offset, length = int(said.get("offset") or 0), int(said.get("length") or 0)
    except ValueError:
        offset = length = -1
    if min(offset, length) < 0 or offset + length > file.stat().st_size:
        raise InputError(
            f"'{file}' has {file.stat().st_size} bytes, and the tensor '{tensor.name}' lies at {said.get('offset', 0)} "
            f"with {said.get('length', 'all the rest')}.",
            "It is cut short, or belongs to another model.",
            value=str(file),
        )
    return file


def _tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor of a model, wherever it hides: initialisers, constants, subgraphs, functions, training parts."""
    stack = [message]
    while stack:
        current = stack.pop()
        if current.DESCRIPTOR.name == "TensorProto":
            yield current
            continue
        for field, value in current.ListFields():
            if field.message_type is not None:
                stack.extend([value] if hasattr(value, "ListFields") else value)


def _norms(graph: Any) -> dict[str, NDArray[Any]]:
    """Return weights and biases of normalisation layers of the main graph; those in external files are left out."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer if not tensor.external_data}
    found: dict[str, NDArray[Any]] = {}
    for place, node in enumerate(node for node in graph.node if node.op_type in NORMS):
        first = 2 if node.op_type == "SkipLayerNormalization" else 1
        parts = ("weight", "bias", *(("running_mean", "running_var") if node.op_type == "BatchNormalization" else ()))
        for part, name in zip(parts, node.input[first : first + 4], strict=False):
            if name in stored:
                found[f"norm.{place}.{part}"] = np.asarray(numpy_helper.to_array(stored[name]))
    return found


def _no_model(path: Path, why: str) -> InputError:
    return InputError(
        f"'{path}' is no ONNX model, or is cut short{why}.", "Export or download it again.", value=str(path)
    )
