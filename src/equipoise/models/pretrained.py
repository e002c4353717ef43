"""Loading a checkpoint of transformers: safetensors and installed code only, quietly, with errors that name the model.

Nothing that a checkpoint holds is run: no pickles, no code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from equipoise.errors import InputError, listed
from equipoise.models.checkpoint import Checkpoint, library
from equipoise.models.preprocessing import Preprocessing

DTYPES = ("float32", "bfloat16")


def configuration(found: Checkpoint) -> Any:
    """Return the configuration of a checkpoint."""
    with readable(found.name, "configuration"):
        return library().AutoConfig.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)


def load_weights(auto: Any, found: Checkpoint, config: Any, dtype: str) -> tuple[Any, tuple[str, ...]]:
    """Return (model in evaluation mode, notes on weights that the files lack).

    Weights that the files lack are drawn from a fixed seed, so that equal fingerprints give equal vectors.
    """
    import torch

    with readable(found.name, "model"), _seeded():
        model, info = auto.from_pretrained(
            found.folder,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    state = model.state_dict()
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(
            f"The weights of '{found.name}' hold NaN or infinity: {listed(broken, 3)}.",
            "The file is damaged, or its training diverged: download it again.",
            value=broken,
        )
    absent = sorted(str(key) for key in info["missing_keys"] if not str(key).endswith(("logit_scale", "logit_bias")))
    if absent and len(absent) == len([name for name in state if not name.endswith(("logit_scale", "logit_bias"))]):
        raise InputError(
            f"None of the weights of '{found.name}' belongs to a {type(model).__name__}.",
            "Check that config.json and the weights are of one model.",
            value=absent[:10],
        )
    notes = (
        (f"{len(absent)} weights are not in the files and were drawn at random: {listed(absent, 3)}.",)
        if absent
        else ()
    )
    return model.eval().requires_grad_(False), notes


def chosen(device: str, dtype: str | None) -> tuple[Any, str]:
    """Return (device, dtype) of what was asked; ``auto`` is the GPU where there is one."""
    import torch

    dtype = dtype or "float32"
    if dtype not in DTYPES:
        raise InputError(f"The dtype is '{dtype}'.", f"It is {' or '.join(DTYPES)}.", value=dtype)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
        return torch.device(device), dtype
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"The device '{device}' cannot be used: {str(error).splitlines()[0]}.", "Use auto or cpu.", value=device
        ) from error


@contextmanager
def readable(name: str, what: str) -> Iterator[None]:
    """Turn what transformers raises while it reads a file into one error of the input, and keep it quiet."""
    logging = library().utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            raise
        said = " ".join(str(error).split())[:400] or type(error).__name__
        if "trust_remote_code" in said or "custom code" in said:
            said = "it needs code that comes with it, and none of that is run"
        raise InputError(
            f"The {what} of '{name}' cannot be loaded: {said}.",
            "Check that the folder is whole and of a kind that the installed transformers knows.",
            value=name,
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _seeded() -> Iterator[None]:
    import torch

    generator: Any = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(0)
    try:
        yield
    finally:
        generator.set_state(before)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages that decide the numbers."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}


def probed(run: Callable[[], Any], name: str, preprocessing: Preprocessing) -> Any:
    """Return what a model says of one black picture; InputError if it does not take pictures of that size."""
    try:
        return run()
    except Exception as error:
        if isinstance(error, (InputError, MemoryError)) or "out of memory" in str(error).lower():
            raise
        raise InputError(
            f"'{name}' takes no pictures of {preprocessing.size[0]} x {preprocessing.size[1]} pixels: "
            f"{' '.join(str(error).split())[:300]}.",
            "Use the preprocessing that it was trained with.",
            value=list(preprocessing.size),
        ) from error
