"""The loop: batches in, steps of an optimiser, a checkpoint now and then; killed at any moment it goes on.

On one CPU, with one number of threads, a run that was killed and resumed ends with the bytes of one that was not: weights,
optimiser, random generators and the position of the batches come from the checkpoint, and the steps behind it are made
again. On a GPU kernels may add in another order, and the ends differ in the last digits.

Notation: step k of K; a step is one update of the weights and may take several batches (``accumulate``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.errors import InputError, MethodRefusal
from equipoise.progress import advance
from equipoise.train.checkpoint import FILE, State, capture, load_state, restore, save_state
from equipoise.train.sampling import BatchStream, Position
from equipoise.train.schedule import Recipe

Loss = Callable[[Any], tuple[Any, Mapping[str, float]]]
"""From a batch to (scalar tensor, numbers to note)."""
Loader = Callable[[Iterator[list[int]]], Iterable[Any]]
"""From rows of batches to what the loss takes of them; it may read ahead."""


@dataclass(frozen=True)
class Trained:
    """What a training run gave; the weights are in the model.

    Attributes
    ----------
    steps : int
    resumed_at : int
        Steps that an earlier run had done.
    record : pyarrow.Table
        One row a step: ``step`` (int64, from 1), ``loss``, ``learning_rate``, ``gradient_norm`` (before clipping), and what
        the loss told.
    """

    steps: int
    resumed_at: int
    record: pa.Table


def train(
    model: Any,
    batches: BatchStream,
    loss: Loss,
    recipe: Recipe,
    *,
    loader: Loader | None = None,
    optimiser: Callable[[Any], Any] | None = None,
    after_step: Callable[[int], None] | None = None,
    folder: Path | None = None,
    run: Mapping[str, Any] | None = None,
    what: str = "training",
) -> Trained:
    """Train the parameters of a model that want a gradient.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode (``train`` or ``eval``) that the caller chose.
    batches : BatchStream
    loss : callable
        From what the loader gives of a batch to (scalar tensor, numbers to note of it).
    recipe : Recipe
    loader : callable, optional
        From an iterator of row lists to an iterable of what ``loss`` takes, one a batch and in order; the row lists
        themselves when None.
    optimiser : callable, optional
        From the model to an optimiser of torch, whose learning rate the schedule then sets; AdamW when None.
    after_step : callable, optional
        Called with the number of the step (from 0) after each update, as to hold weights where they must not move.
    folder : Path, optional
        Where the checkpoint is kept; without it a killed run begins anew.
    run : mapping, optional
        JSON values that decide the run beside the recipe: a checkpoint of another run is refused.
    what : str
        What progress calls it.

    Raises
    ------
    MethodRefusal
        If the loss or the gradient is NaN or infinite; the last checkpoint stays.
    InputError
        If no parameter wants a gradient, or the checkpoint cannot be used.
    """
    import torch

    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not wanted:
        raise InputError("No parameter of the model is to be trained.", "Let some of them require a gradient.")
    device = wanted[0].device
    made = adamw(model, recipe) if optimiser is None else optimiser(model)
    identity = {"recipe": recipe.as_dict(), **(run or {})}
    path = None if folder is None else folder / FILE
    with _random(recipe.seed):
        state = None if path is None else load_state(path, identity)
        if state is None:
            state = State(0, {}, {}, identity)
        else:
            restore(state, model, made)
        began = state.step
        source = _source(batches, state.position or None, loader)
        half = torch.autocast(device.type, torch.bfloat16) if recipe.precision == "bfloat16" else nullcontext()
        for step in range(began, recipe.steps):
            advance(what, step, recipe.steps)
            noted: dict[str, float] = {}
            made.zero_grad(set_to_none=True)
            for _ in range(recipe.accumulate):
                payload, state.position = next(source)
                with half:
                    value, told = loss(payload)
                number = float(value.detach())
                _finite(number, "loss", step, recipe, path, state.step)
                (value / recipe.accumulate).backward()
                for name, one in {"loss": number, **told}.items():
                    noted[name] = noted.get(name, 0.0) + one / recipe.accumulate
            norm = float(torch.nn.utils.clip_grad_norm_(wanted, recipe.clip_norm or math.inf))
            _finite(norm, "gradient", step, recipe, path, state.step)
            rate = recipe.rate(step)
            for group in made.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            made.step()
            if after_step is not None:
                after_step(step)
            _note(state.record, {"learning_rate": rate, "gradient_norm": norm, **noted}, step)
            if path is not None and ((step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.steps):
                state.tensors, state.numbers = capture(model, made)
                state.step = step + 1
                save_state(path, state)
        made.zero_grad(set_to_none=True)
    advance(what, recipe.steps, recipe.steps)
    return Trained(recipe.steps, began, _table(state.record))


def adamw(model: Any, recipe: Recipe) -> Any:
    """Return AdamW over the parameters that want a gradient; weight decay is for matrices alone."""
    import torch

    named = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in named if one.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [one for one in named if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon
    )


def _source(batches: BatchStream, position: Position | None, loader: Loader | None) -> Iterator[tuple[Any, Position]]:
    """Yield (what the loss takes, position behind it); a loader that reads ahead is ahead of no position."""
    behind: deque[Position] = deque()

    def rows() -> Iterator[list[int]]:
        for batch, reached in batches.after(position):
            behind.append(reached)
            yield batch

    for payload in rows() if loader is None else loader(rows()):
        yield payload, behind.popleft()


@contextmanager
def _random(seed: int) -> Iterator[None]:
    """Seed torch for the block; the caller's generators are as they were afterwards."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _finite(value: float, noun: str, step: int, recipe: Recipe, path: Path | None, kept: int) -> None:
    if math.isfinite(value):
        return
    stays = f" The checkpoint of step {kept} stays in '{path}'." if path is not None and kept else ""
    raise MethodRefusal(
        f"The {noun} is {value} at step {step + 1} of {recipe.steps}, at learning rate {recipe.rate(step):.3g}.{stays}",
        "Lower the learning rate, lengthen the warm-up, or look for pictures or captions that are damaged.",
        value=value,
    )


def _note(record: dict[str, list[float]], noted: Mapping[str, float], step: int) -> None:
    """Append what was noted of a step; NaN where a step has no such number."""
    for name in noted:
        record.setdefault(name, [math.nan] * step)
    for name, values in record.items():
        values.append(float(noted.get(name, math.nan)))


def _table(record: Mapping[str, list[float]]) -> pa.Table:
    first = ("loss", "learning_rate", "gradient_norm")
    names = [*(name for name in first if name in record), *sorted(set(record) - set(first))]
    steps = len(record["loss"]) if "loss" in record else 0
    columns = {"step": pa.array(range(1, steps + 1), pa.int64())}
    return pa.table(columns | {name: pa.array(record[name], pa.float64()) for name in names})
