"""Models of open_clip as encoders: ``open_clip:ARCH/TAG``, ``open_clip:ARCH`` (random weights), ``open_clip:local-dir:PATH``.

open_clip builds the towers and the tokenizer; where weights come from (``open_clip_files.py``) and how pictures are prepared
is ours. Texts are padded to the whole context, as open_clip does: shorter ones would be added to other positions.

Notation: n pictures, m texts, d dimensions, h rows, w columns.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EquipoiseError, InputError
from equipoise.models.classifier import weights_sha256
from equipoise.models.hub import hub_file, offline
from equipoise.models.open_clip_files import Source, source_of
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.pretrained import chosen
from equipoise.models.torch_run import as_array, library, quiet, running, seeded
from equipoise.models.untrained import untrained
from equipoise.models.weight_files import read_weights

TEXTS = 256
"""Texts a forward pass."""


class OpenClip:
    """The two towers of a model of open_clip.

    Attributes
    ----------
    ref, name : str
        How a person refers to it, and what a message calls it (without the folders of a path).
    dim : int
    preprocessing : Preprocessing
        From the model's ``preprocess_cfg``: mean, std, size, interpolation and ``resize_mode``.
    max_text_length : int
        Tokens of the context, with those of begin and end.
    logit_scale : float
        What the model multiplies cosines with.
    notes : tuple of str
    """

    def __init__(
        self, model: Any, tokenizer: Any, source: Source, preprocessing: Preprocessing, made: Mapping[str, Any]
    ):
        self.ref, self.name, self.preprocessing = source.ref, source.name, preprocessing
        self.notes = source.notes
        self.dim = int(source.config["embed_dim"])
        self.max_text_length = int(tokenizer.context_length)
        self.logit_scale = float(as_array(model.logit_scale.detach().exp()).reshape(-1)[0])
        self._model, self._tokenizer, self._made = model, tokenizer, dict(made)
        weight = next(model.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._size = tuple(_pair(model.visual.image_size))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the vectors: weights, architecture, tokenizer, preprocessing, type, versions."""
        return {**self._made, "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> OpenClip:
        """Return the same model behind another preprocessing, of the size that the network takes."""
        if preprocessing.size != self._size:
            raise InputError(
                f"'{self.name}' takes {self._size[0]} x {self._size[1]} pixels, "
                f"and the preprocessing gives {preprocessing.size[0]} x {preprocessing.size[1]}.",
                "Change its size.",
                value=list(preprocessing.size),
            )
        other = copy.copy(self)
        other.preprocessing = preprocessing
        return other

    def encode_image(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) float32 vectors of (n, h, w, 3) uint8 pictures made by ``preprocessing.picture``."""
        import torch

        if not len(pixels):
            return np.empty((0, self.dim), np.float32)
        x = torch.from_numpy(self.preprocessing.normalised(np.asarray(pixels))).to(self._device, self._dtype)
        with running(self._device, self._dtype):
            return as_array(self._model.encode_image(x))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 vectors of texts; what is longer than the context is cut, as open_clip does."""
        out = np.empty((len(texts), self.dim), np.float32)
        with running(self._device, self._dtype):
            for start in range(0, len(texts), TEXTS):
                tokens = self._tokenizer(list(texts[start : start + TEXTS])).to(self._device)
                out[start : start + TEXTS] = as_array(self._model.encode_text(tokens))
        return out

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether its end lies outside the context."""
        return [length > self.max_text_length for length in _lengths(self._tokenizer, list(texts))]


def load(argument: str, *, device: str = "auto", dtype: str | None = None, local_files_only: bool = False) -> OpenClip:
    """Return the encoder of ``open_clip:ARCH/TAG``, ``open_clip:ARCH`` or ``open_clip:local-dir:PATH``.

    Parameters
    ----------
    argument : str
        Without ``open_clip:``. TAG may be the path of a safetensors file.
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
    oc, torch = library("open_clip", "open-clip"), library("torch", "open-clip")
    torch_device, kept = chosen(device, dtype)
    source = source_of(oc, argument, local_files_only)
    digest = read_weights(source.weights)[1] if source.weights is not None else ""
    model, tokenizer = _built(oc, source)
    if source.weights is not None:
        _fill(oc, model, source)
        looks = untrained(model.state_dict())
        source = source.noted(*([looks] if looks else []))
    model.eval().requires_grad_(False)
    digest = digest or weights_sha256(model)
    preprocessing = preprocessing_of(model.visual.preprocess_cfg, source.name)
    model.to(device=torch_device, dtype=getattr(torch, kept))
    text = source.config.get("text_cfg", {})
    versions = {"open_clip": oc.__version__, "torch": str(torch.__version__)}
    if source.config.get("vision_cfg", {}).get("timm_model_name"):
        versions["timm"] = str(library("timm", "timm").__version__)
    if any(key.startswith("hf_") for key in text):
        versions["transformers"] = str(library("transformers", "transformers").__version__)
    made = {
        "kind": "open_clip",
        "weights": digest,
        "config": hashlib.sha256(json.dumps(source.config, sort_keys=True).encode()).hexdigest(),
        "tokenizer": _tokenizer_digest(tokenizer) if text.get("hf_tokenizer_name") else "open_clip",
        "context": int(tokenizer.context_length),
        "dtype": kept,
        "versions": versions,
    }
    return OpenClip(model, tokenizer, source, preprocessing, made)


def preprocessing_of(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return what open_clip's evaluation transform does for a ``preprocess_cfg``.

    Raises
    ------
    InputError
        If it brings the short edge to the size of a picture that is not square, which a preprocessing cannot express.
    """
    h, w = _pair(config["size"])
    mode = config.get("resize_mode") or "shortest"
    resize: Any = {"shortest": "shortest", "longest": "pad", "squash": "exact"}.get(mode)
    if resize is None or (resize == "shortest" and h != w):
        raise InputError(
            f"'{name}' prepares pictures of {h} x {w} with the resize_mode '{mode}', which cannot be expressed.",
            "Use a square model, or squash or longest.",
            value=mode,
        )
    mean, std = (_three(config[key]) for key in ("mean", "std"))
    fill = int(config.get("fill_color") or 0)
    return Preprocessing(
        (h, w), mean, std, resize,
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        crop="round", fill=(fill, fill, fill), name=name,
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- building


def _built(oc: Any, source: Source) -> tuple[Any, Any]:
    """Return the model with random weights, and its tokenizer; nothing of somebody's code is run."""
    options = {"pretrained_image": False, "pretrained_text": False, "load_weights": False, **source.options}
    text = source.config.get("text_cfg", {})
    tokens = {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
    if not source.local:
        for key, file in (("hf_tokenizer_name", "tokenizer_config.json"), ("hf_model_name", "config.json")):
            if text.get(key):
                hub_file(text[key], file)  # an early answer where there is no network
    try:
        with quiet(), seeded():
            if source.local:
                with offline():
                    return oc.create_model(source.model, **options), oc.get_tokenizer(source.model, **tokens)
            return oc.create_model(source.model, **options), oc.get_tokenizer(source.model, **tokens)
    except EquipoiseError:
        raise
    except Exception as error:  # a configuration can be wrong in any way
        said = str(error).strip().splitlines() or [""]
        raise InputError(
            f"open_clip cannot build '{source.ref}': {type(error).__name__}: {said[0]}",
            "Mend open_clip_config.json; tokenizer and text configuration must be in the folder or the cache."
            if source.local
            else "Update open_clip_torch, or name another architecture.",
            value=source.ref,
        ) from error


def _fill(oc: Any, model: Any, source: Source) -> None:
    """Load weights as open_clip does, with its conversions of older layouts."""
    try:
        with quiet():
            oc.factory.load_checkpoint(model, str(source.weights), strict=True)
    except Exception as error:  # shapes and names that do not fit, in many kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = " ".join(lines[1:3] or lines)[:400]
        raise InputError(
            f"The weights '{source.weights}' do not fit the model of '{source.ref}': {said}",
            "Name the architecture that they were saved from.",
            value=str(source.weights),
        ) from error


# -------------------------------------------------------------------------------------------------------- tokenizers


def _lengths(tokenizer: Any, texts: list[str]) -> list[int]:
    """Return how many tokens each text would have in an endless context."""
    if not texts:
        return []
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    if getattr(tokenizer, "tokenizer_mode", "") == "clips":  # begin, end and class are put there by open_clip
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        return [len(ids) + 3 for ids in inner(cleaned, add_special_tokens=False, truncation=False)["input_ids"]]
    cleaned = [tokenizer.clean_fn(text) for text in texts]
    return [len(ids) for ids in inner(cleaned, padding=False, truncation=False)["input_ids"]]


def _tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of what a tokenizer of transformers does."""
    inner = tokenizer.tokenizer
    fast = getattr(inner, "backend_tokenizer", None)
    held = fast.to_str() if fast is not None else json.dumps(sorted(inner.get_vocab().items()))
    return hashlib.sha256(held.encode()).hexdigest()


def _three(value: Any) -> Any:
    return (value, value, value) if isinstance(value, (int, float)) else value


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))
