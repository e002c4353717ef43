"""Weights come from safetensors files only: a pickled checkpoint can run code when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise.data.checksums import sha256_of
from equipoise.errors import InputError, MissingFileError, listed

OTHERS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".tar", ".npz", ".npy")
"""Endings of files that may hold weights, and are not read."""


def read_weights(path: Path) -> tuple[dict[str, Any], str]:
    """Return the tensors of a safetensors file, on the CPU, and the file's SHA-256.

    Raises
    ------
    MissingFileError
        If it is no file, or cannot be read.
    InputError
        If it is a pickled checkpoint, cut short, no safetensors file, or holds NaN.
    """
    if path.suffix.lower() != ".safetensors":
        raise pickled(path)
    if not path.is_file():
        raise MissingFileError(
            f"There is no file '{path}'." if not path.exists() else f"'{path}' is no file.",
            "Check the path of the weights.",
            value=str(path),
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    digest = sha256_of(path)
    try:
        state = load_file(path)
    except (SafetensorError, ValueError, OverflowError, OSError, RuntimeError) as error:
        raise InputError(
            f"'{path}' ({path.stat().st_size} bytes) cannot be read as safetensors: {error}.",
            "It may be cut short: copy it again.",
            value=str(path),
        ) from error
    if not state:
        raise InputError(f"'{path}' holds no weights.", "Save the model's state again.", value=str(path))
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(
            f"The weights '{path}' hold NaN or infinity: {listed(broken, 3)}.",
            "The file is damaged, or its training diverged.",
            value=broken,
        )
    return state, digest


def pickled(path: Path) -> InputError:
    """Return the error for weights in another format."""
    return InputError(
        f"'{path}' is no safetensors file, and pickled checkpoints are not read: they can run code.",
        "Convert it where you trust it: safetensors.torch.save_file(model.state_dict(), 'model.safetensors').",
        value=str(path),
    )


def fill(module: Any, state: Mapping[str, Any], where: str) -> None:
    """Put weights into a module; every weight must be there, of its shape, and no other.

    Raises
    ------
    InputError
        Naming the weights at fault.
    """
    own = module.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # safetensors of older tools lack them
    missing = [name for name in own if name not in state and name not in counters]
    strange = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)} and not {tuple(own[name].shape)}"
        for name in own
        if name in state and tuple(state[name].shape) != tuple(own[name].shape)
    ]
    if missing or strange or shapes:
        parts = (
            f"{len(missing)} are missing ({listed(missing, 3)})" if missing else "",
            f"{len(strange)} are of another model ({listed(strange, 3)})" if strange else "",
            f"{len(shapes)} have another shape ({listed(shapes, 3)})" if shapes else "",
        )
        raise InputError(
            f"The weights of '{where}' do not fit the model: {'; '.join(part for part in parts if part)}.",
            "Name the architecture that they were saved from.",
            value=where,
        )
    module.load_state_dict(dict(state), strict=False)
