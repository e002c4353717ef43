"""A checkpoint of a training run: one safetensors file that is whole or absent, with all that the next step depends on.

Held are the weights that are trained, the buffers, the state of the optimiser, the random generators, the record of the
steps so far, and, as JSON in the file's metadata, the step and the position of the batches. Weights that stay as they were
are not held: they are those of the model that the run began with. Nothing is pickled. The file carries a SHA-256 of its
own contents, since safetensors notices no flipped bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.errors import ChecksumError, FingerprintError, SchemaError
from equipoise.store.atomic import METADATA_KEY, atomic_write

FILE = "checkpoint.safetensors"
SCHEMA = "equipoise.training/1"


@dataclass
class State:
    """Where a training run stands.

    Attributes
    ----------
    step : int
        Steps that are done.
    position : dict
        Of the batches; JSON values.
    record : dict of str to list of float
        What was noted of each step.
    run : dict
        What decides the run; JSON values. A checkpoint of another run is refused.
    tensors : dict of str to tensor
        ``weights/...``, ``buffers/...``, ``optimiser/...``, ``random/...``, of torch, on the CPU.
    numbers : dict of str to float
        State of the optimiser that is no tensor.
    """

    step: int
    position: dict[str, Any]
    record: dict[str, list[float]]
    run: dict[str, Any]
    tensors: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def save_state(path: Path, state: State) -> str:
    """Write a checkpoint in place of the one before, atomically, and return its SHA-256; equal states give equal bytes."""
    import torch
    from safetensors.torch import save_file

    tensors = dict(state.tensors)
    tensors |= {f"record/{name}": torch.tensor(values, dtype=torch.float64) for name, values in state.record.items()}
    tensors = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    about = {
        "schema": SCHEMA, "step": state.step, "position": state.position, "run": state.run, "numbers": state.numbers,
        "contents": _digest(tensors),
    }  # fmt: skip
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    return atomic_write(path, lambda partial: save_file(tensors, partial, metadata={METADATA_KEY: text}))


def load_state(path: Path, run: Mapping[str, Any]) -> State | None:
    """Return the checkpoint at a path, None where there is none.

    Raises
    ------
    ChecksumError
        If it is damaged.
    SchemaError, FingerprintError
        If it is of another schema or another run.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if about.get("schema") != SCHEMA:
        raise SchemaError(
            f"'{path}' says schema '{about.get('schema', '')}', this version reads '{SCHEMA}'.",
            "Train again (--overwrite).",
            value=about.get("schema"),
        )
    if about["contents"] != _digest(tensors):
        raise _damaged(path, "its contents are not those that were written")
    if about["run"] != dict(run):
        raise FingerprintError(
            f"'{path}' is the checkpoint of another run.", "Choose another output, or train again (--overwrite)."
        )
    record = {name[7:]: tensors.pop(name).tolist() for name in sorted(tensors) if name.startswith("record/")}
    return State(about["step"], about["position"], record, about["run"], tensors, about["numbers"])


def capture(model: Any, optimiser: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return (tensors, numbers) of a model's trained weights and buffers, an optimiser and torch's random generators."""
    import torch

    tensors = {f"weights/{name}": value for name, value in _trained(model).items()}
    tensors |= {f"buffers/{name}": value for name, value in _buffers(model).items()}
    numbers: dict[str, float] = {}
    for place, slots in optimiser.state_dict()["state"].items():
        for key, value in slots.items():
            if torch.is_tensor(value):
                tensors[f"optimiser/{place}/{key}"] = value
            elif value is not None:
                numbers[f"{place}/{key}"] = value
    tensors["random/cpu"] = torch.get_rng_state()
    for place, state in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()):
        tensors[f"random/cuda{place}"] = state
    # the run goes on and would change what is still to be written
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}, numbers


def restore(state: State, model: Any, optimiser: Any) -> None:
    """Bring a model, an optimiser and torch's random generators to where a checkpoint was taken."""
    import torch

    found: dict[str, dict[str, Any]] = {"weights": {}, "buffers": {}, "optimiser": {}, "random": {}}
    for name, value in state.tensors.items():
        kind, _, rest = name.partition("/")
        found[kind][rest] = value
    with torch.no_grad():
        for kind, there in (("weights", _trained(model)), ("buffers", _buffers(model))):
            if {name: value.shape for name, value in there.items()} != {k: v.shape for k, v in found[kind].items()}:
                raise FingerprintError(
                    f"The {kind} of the checkpoint are not those that are trained here.", "Train again (--overwrite)."
                )
            for name, value in there.items():
                value.copy_(found[kind][name])
    slots: dict[int, dict[str, Any]] = {}
    for name, value in [*found["optimiser"].items(), *state.numbers.items()]:
        place, _, key = name.partition("/")
        slots.setdefault(int(place), {})[key] = value
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(found["random"]["cpu"])
    kept = [value for name, value in sorted(found["random"].items()) if name.startswith("cuda")]
    if kept and len(kept) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(kept)


def _trained(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def _buffers(model: Any) -> dict[str, Any]:
    """Buffers that belong to the model's state: the statistics of a normalisation, say."""
    kept = model.state_dict().keys()
    return {name: value for name, value in model.named_buffers() if name in kept}


def _digest(tensors: Mapping[str, Any]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> ChecksumError:
    return ChecksumError(
        f"The checkpoint '{path}' is damaged: {why}.", "Remove it, and train from the beginning.", value=str(path)
    )
