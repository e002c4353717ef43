"""The plan of a training run: how many steps, how long they are, and what each step does to a gradient."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from equipoise.errors import InputError

Precision = Literal["float32", "bfloat16"]
Shape = Literal["cosine", "constant"]


def learning_rate(step: int, steps: int, peak: float, *, warmup: int = 0, shape: Shape = "cosine") -> float:
    """Return the learning rate of a step: a line up to ``peak``, then half a cosine down to 0 (or no change).

    Parameters
    ----------
    step : int
        From 0 to ``steps - 1``.
    steps : int
        Steps of the whole run.
    peak : float
        Highest rate, reached at the last step of the warm-up.
    warmup : int
        Steps of the warm-up, within the whole; rate ``peak (step + 1) / warmup``.
    shape : {"cosine", "constant"}
        ``cosine``: ``peak (1 + cos(pi t)) / 2``, t the share of the steps after the warm-up that are done
        (Loshchilov and Hutter 2017, one period, down to 0).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if shape == "constant":
        return peak
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides a training run, beside the model, the data and the loss.

    Attributes
    ----------
    steps : int
        Steps of the optimiser.
    learning_rate : float
        Highest learning rate.
    warmup : float
        Share of the steps in which the rate rises, in [0, 1].
    shape : {"cosine", "constant"}
        What it does afterwards.
    weight_decay : float
        Of AdamW, on matrices alone: biases, normalisations and scales are left alone.
    betas : pair of float
    epsilon : float
    clip_norm : float or None
        Longest gradient; a longer one is shortened to it. None: as it is.
    accumulate : int
        Batches a step: their losses are averaged. A contrastive batch sees no negatives of the others.
    precision : {"float32", "bfloat16"}
        Of the arithmetic of the forward pass (autocast); weights and their updates are float32.
    checkpoint_every : int
        Steps between two checkpoints.
    seed : int
    """

    steps: int
    learning_rate: float = 1e-5
    warmup: float = 0.1
    shape: Shape = "cosine"
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-6
    clip_norm: float | None = 1.0
    accumulate: int = 1
    precision: Precision = "float32"
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("accumulate", 1), ("checkpoint_every", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"'{name}' is {value!r}.", f"Give a whole number of {least} or more.", value=value)
        _number("learning_rate", self.learning_rate, low=0.0, strict=True)
        _number("weight_decay", self.weight_decay, low=0.0)
        _number("warmup", self.warmup, low=0.0, high=1.0)
        _number("epsilon", self.epsilon, low=0.0, strict=True)
        for beta in self.betas:
            _number("betas", beta, low=0.0, high=1.0)
        if self.clip_norm is not None:
            _number("clip_norm", self.clip_norm, low=0.0, strict=True)
        for name, known in (("precision", ("float32", "bfloat16")), ("shape", ("cosine", "constant"))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise InputError(f"'{name}' is {value!r}.", f"Give {' or '.join(known)}.", value=value)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        warmup = math.ceil(self.warmup * self.steps)
        return learning_rate(step, self.steps, self.learning_rate, warmup=warmup, shape=self.shape)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return {**asdict(self), "betas": list(self.betas)}


def _number(name: str, value: Any, *, low: float, high: float = math.inf, strict: bool = False) -> None:
    """Refuse what is no number of a range; ``strict`` leaves out its lower end."""
    number = not isinstance(value, bool) and isinstance(value, (int, float, np.integer, np.floating))
    if not number or not math.isfinite(value) or not low <= value <= high or (strict and value == low):
        above = f"above {low:g}" if strict else f"from {low:g}"
        remedy = f"Give a number {above}{f' to {high:g}' if math.isfinite(high) else ''}."
        raise InputError(f"'{name}' is {value!r}.", remedy, value=value)
