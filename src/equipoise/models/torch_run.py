"""How models of torch are built and run: libraries, seeds, precision, silence; torch is imported when a function is called."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError


def library(name: str, extra: str) -> Any:
    """Import an optional library; InputError names the extra that installs it.

    Parameters
    ----------
    name, extra : str
        As ``"open_clip"`` and ``"open-clip"``.
    """
    try:
        return import_module(name)
    except Exception as error:  # half an installation fails in any way
        raise InputError(
            f"'{name}' cannot be imported: {error or type(error).__name__}.",
            f"Install it: pip install 'equipoise[{extra}]'.",
            value=name,
        ) from error


@contextmanager
def running(device: Any, dtype: Any) -> Iterator[None]:
    """Inference without gradients; float32 is float32 also in the convolutions of CUDA, which else cut it to TF32."""
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if device.type == "cuda" and dtype == torch.float32:
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
        yield


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Random weights that are the same each time; the caller's generator is as it was afterwards."""
    import torch

    generator: Any = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of libraries through the root logger, and no handler that ``logging.warning`` would put there."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)


def as_array(tensor: Any) -> NDArray[np.float32]:
    """Return a tensor as float32 on the CPU."""
    import torch

    return tensor.to(device="cpu", dtype=torch.float32).numpy()
