"""Notice weights that nobody trained: their normalisation layers are exactly as a library makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALES = ("weight", "scale", "gamma")
SHIFTS = {"weight": "bias", "scale": "bias", "gamma": "beta"}
COUNTED = ("running_mean", "running_var")


def untrained(state: Mapping[str, Any]) -> str | None:
    """Return a sentence if the weights look as if they were never trained.

    Libraries start every normalisation layer with weight 1 (or 0, for a branch that begins closed) and bias 0, and a step
    of an optimiser moves them all. One that has moved, or statistics that a normalisation has counted, is a sign of
    training. Nothing else is: other weights start at random.

    Parameters
    ----------
    state : mapping of str to array
        As of ``module.state_dict()``: names that end in ``.weight``, ``.bias``, ``.gamma``, ...; numpy arrays or tensors.

    Returns
    -------
    str or None
        None too where there is no normalisation to judge by.
    """
    fresh = 0
    for name, scale in _vectors(state, SCALES):
        stem, _, last = name.rpartition(".")
        shift = state.get(f"{stem}.{SHIFTS[last]}" if stem else SHIFTS[last])
        if last == "gamma" and shift is None:
            continue  # of a branch's own scale, which starts at any small number
        if scale.min() != scale.max() or (shift is not None and _array(shift).any()):
            return None
        fresh += bool(scale[0] == 1)
    for name, counted in _vectors(state, COUNTED):
        if (counted != (0 if name.endswith("mean") else 1)).any():
            return None
    if not fresh:
        return None
    layers = "its normalisation layer has" if fresh == 1 else f"all {fresh} normalisation layers have"
    return f"The weights look untrained: {layers} weight 1 and bias 0 exactly."


def _vectors(state: Mapping[str, Any], endings: tuple[str, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the entries of that ending which are vectors of two or more numbers."""
    for name, value in state.items():
        if name.rpartition(".")[2] in endings and len(getattr(value, "shape", ())) == 1 and value.shape[0] > 1:
            yield name, _array(value)


def _array(value: Any) -> NDArray[Any]:
    """Return an array; tensors of a type that numpy lacks become float32."""
    return value.detach().float().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
