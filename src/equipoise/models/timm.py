"""Models of timm: ``timm:NAME`` (random weights), ``timm:NAME@file.safetensors``, ``timm:NAME.TAG`` (from the hub).

As an encoder a model gives its pooled features and has no words; as a classifier it gives the logits of its head. timm
builds the network and says how pictures are prepared. A ``config.json`` beside the file, as timm writes it, brings labels
and preprocessing.

Notation: n pictures, d dimensions, L labels, h rows, w columns.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError
from equipoise.models.classifier import TorchClassifier, checked_labels, distinct_labels, weights_sha256
from equipoise.models.preprocessing import INTERPOLATIONS, Preprocessing
from equipoise.models.pretrained import chosen
from equipoise.models.timm_files import Source, source_of
from equipoise.models.torch_run import as_array, library, quiet, running, seeded
from equipoise.models.untrained import untrained
from equipoise.models.weight_files import fill


class TimmFeatures:
    """The pooled features of a model of timm, as an encoder of pictures.

    Attributes
    ----------
    ref, name : str
    dim : int
    preprocessing : Preprocessing
    fingerprint : dict
    notes : tuple of str
    """

    def __init__(self, module: Any, source: Source, preprocessing: Preprocessing, made: Mapping[str, Any], dim: int):
        self.ref, self.name, self.preprocessing, self.dim = source.ref, source.name, preprocessing, dim
        self.notes = (
            *source.notes,
            f"'{source.name}' has features and no words: no query and no prompt can be embedded with it.",
        )
        self._module, self._made, self._fixed = module, dict(made), source.fixed
        weight = next(module.parameters())
        self._device, self._dtype = weight.device, weight.dtype

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the vectors: weights, architecture, preprocessing, type, versions."""
        return {**self._made, "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> TimmFeatures:
        """Return the same model behind another preprocessing."""
        _check_size(self.name, self._fixed, preprocessing)
        other = copy.copy(self)
        other.preprocessing = preprocessing
        return other

    def encode_image(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) float32 pooled features of (n, h, w, 3) uint8 pictures made by ``preprocessing.picture``."""
        import torch

        if not len(pixels):
            return np.empty((0, self.dim), np.float32)
        x = torch.from_numpy(self.preprocessing.normalised(np.asarray(pixels))).to(self._device, self._dtype)
        with running(self._device, self._dtype):
            return as_array(self._module(x))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse: there is no text tower."""
        raise InputError(
            f"'{self.name}' has no text tower: it cannot embed {len(texts)} queries or prompts.",
            "Use an encoder of pictures and words, as open_clip:ARCH/TAG, or audit this model as a classifier.",
            value=self.ref,
        )


@dataclass(frozen=True)
class TimmClassifier(TorchClassifier):
    """A model of timm with its head; see :class:`TorchClassifier`."""

    ref: str = ""
    fixed: tuple[int, int] | None = None
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the scores: weights, architecture, preprocessing, type, versions."""
        return {**self.made, "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> TorchClassifier:
        """Return the same model behind another preprocessing."""
        _check_size(self.name, self.fixed, preprocessing)
        return super().with_preprocessing(preprocessing)

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) float32 pixels in [0, 1]."""
        weight = next(self.module.parameters())
        with running(weight.device, weight.dtype):
            return super().scores(pixels)


def load(
    argument: str, *, device: str = "auto", dtype: str | None = None, local_files_only: bool = False
) -> TimmFeatures:
    """Return the encoder of ``timm:NAME``, ``timm:NAME@file.safetensors`` or ``timm:NAME.TAG``.

    Parameters
    ----------
    argument : str
        Without ``timm:``.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
    dtype : str, optional
        ``float32`` or ``bfloat16``.
    local_files_only : bool
        Whether files and the hub's cache must do.

    Raises
    ------
    MissingFileError, UnknownNameError, InputError
        Naming what is missing or does not fit.
    """
    import torch

    source, module, preprocessing, made = _built(argument, device, dtype, local_files_only)
    if source.classes:
        module.reset_classifier(0)
    try:
        weight = next(module.parameters())
        with running(weight.device, weight.dtype):
            trial = module(torch.zeros(1, 3, *preprocessing.size, device=weight.device, dtype=weight.dtype))
    except RuntimeError as error:
        raise InputError(
            f"'{source.name}' fails on {preprocessing.size[0]} x {preprocessing.size[1]} pixels: {error}.",
            "Name another model.",
            value=source.ref,
        ) from error
    if getattr(trial, "ndim", 0) != 2:
        raise InputError(
            f"'{source.name}' gives no vector for a picture.", "Name a model with pooling.", value=source.ref
        )
    return TimmFeatures(module, source, preprocessing, {**made, "output": "features"}, int(trial.shape[1]))


def load_classifier(
    argument: str, *, device: str = "auto", dtype: str | None = None, local_files_only: bool = False
) -> TimmClassifier:
    """Return the classifier of a reference; as :func:`load`, with the labels of the model's head.

    Labels are those of ``config.json`` beside the file; else ImageNet's, for published weights (``NAME.TAG``) with as many
    classes; else ``class 0``, ``class 1``, ...
    """
    source, module, preprocessing, made = _built(argument, device, dtype, local_files_only)
    if not source.classes:
        raise InputError(
            f"The weights of '{source.name}' have no classification head.",
            "Use it as an encoder, or save the whole model.",
            value=source.ref,
        )
    labels = checked_labels(distinct_labels(source.labels), source.name)
    return TimmClassifier(
        module, labels, preprocessing, source.name,
        notes=source.notes, ref=source.ref, fixed=source.fixed, made={**made, "output": "logits"},
    )  # fmt: skip


def preprocessing_of(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return what timm's evaluation transform does for the result of ``timm.data.resolve_data_config``.

    Raises
    ------
    InputError
        If it does what a preprocessing cannot express.
    """
    channels, h, w = (int(value) for value in config["input_size"])
    percent, mode = float(config["crop_pct"]), config.get("crop_mode") or "center"
    edges = math.floor(h / percent), math.floor(w / percent)
    whole = edges == (h, w)
    known = mode in ("center", "squash", "border") and config["interpolation"] in INTERPOLATIONS
    if channels != 3 or not known or (h != w and (mode == "center" or not whole)) or (mode == "border" and not whole):
        raise InputError(
            f"'{name}' prepares {channels} x {h} x {w} with crop_mode '{mode}', crop_pct {percent:g} and "
            f"{config['interpolation']} interpolation, which cannot be expressed.",
            "Use a model of square RGB pictures that are cropped at the centre.",
            value=name,
        )
    mean, std = config["mean"], config["std"]
    resize: Any = {"center": "shortest", "squash": "exact", "border": "pad"}[mode]
    fill: Any = tuple(round(255 * value) for value in mean) if mode == "border" else (0, 0, 0)
    return Preprocessing(
        (h, w), mean, std, resize,
        None if whole else edges[0], config["interpolation"], "round", fill, name,
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- building


def _built(
    argument: str, device: str, dtype: str | None, local: bool
) -> tuple[Source, Any, Preprocessing, dict[str, Any]]:
    """Return a model with its head and its weights in place, and what decides its numbers."""
    timm, data, torch = library("timm", "timm"), library("timm.data", "timm"), library("torch", "timm")
    torch_device, kept = chosen(device, dtype)
    source = source_of(timm, argument, local)
    try:
        with quiet(), seeded():
            module = timm.create_model(source.model, **source.options)
    except Exception as error:  # options of a config.json can be wrong in any way
        said = str(error).strip().splitlines() or [""]
        raise InputError(
            f"timm cannot build '{source.ref}': {type(error).__name__}: {said[0]}",
            "Name the architecture that the weights were saved from.",
            value=source.ref,
        ) from error
    if source.state is not None:
        fill(module, source.state, str(source.weights))
        looks = untrained(module.state_dict())
        source = source.noted(*([looks] if looks else []))
    module.eval().requires_grad_(False)
    config = data.resolve_data_config(pretrained_cfg=module.pretrained_cfg, model=module)
    preprocessing = preprocessing_of(config, source.name)
    if module.pretrained_cfg.get("fixed_input_size"):
        source = source.sized(preprocessing.size)
    made = {
        "kind": "timm",
        "model": source.architecture,
        "options": source.shape,
        "weights": source.sha256 or weights_sha256(module),
        "dtype": kept,
        "versions": {"timm": timm.__version__, "torch": str(torch.__version__)},
    }
    return source, module.to(device=torch_device, dtype=getattr(torch, kept)), preprocessing, made


def _check_size(name: str, fixed: tuple[int, int] | None, preprocessing: Preprocessing) -> None:
    if fixed is not None and preprocessing.size != fixed:
        raise InputError(
            f"'{name}' takes {fixed[0]} x {fixed[1]} pixels, "
            f"and the preprocessing gives {preprocessing.size[0]} x {preprocessing.size[1]}.",
            "Change its size.",
            value=list(preprocessing.size),
        )
