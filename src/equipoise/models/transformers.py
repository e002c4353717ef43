"""Encoders of the transformers library: CLIP, SigLIP 1 and 2, and every model with an image tower and a text tower.

``transformers:FOLDER`` or ``transformers:OWNER/NAME`` (``OWNER/NAME@REVISION``). Weights are read from safetensors only,
code that comes with a model is never run. SigLIP 2 is of fixed resolution here; its NaFlex variant, which takes
patches of pictures of any shape, is refused.

Notation: n pictures, m texts, d dimensions, h rows, w columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.errors import EmbeddingError, InputError
from equipoise.models.checkpoint import CONFIG, PROCESSORS, Checkpoint, combined, find, library
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.pretrained import chosen, configuration, load_weights, probed, versions
from equipoise.models.transformers_text import TOKENIZER_FILES, VOCABULARIES, Texts, load_tokenizer, vectors
from equipoise.models.untrained import untrained

TOWERS = ("get_image_features", "get_text_features")


class TransformersEncoder:
    """A model with two towers; made by :func:`load`.

    Attributes
    ----------
    name : str
    dim : int
    preprocessing : Preprocessing
        Geometry happens outside, normalisation inside :meth:`encode_image`.
    fingerprint : dict
        SHA-256 of the weight files, and of the configuration with the tokenizer's files; preprocessing, dtype, versions.
    notes : tuple of str
        What a person must know: weights that look untrained or were drawn at random, full padding.
    max_text_length : int
        Tokens of the longest text; what is longer is cut, see :meth:`truncated`.
    trimmed : bool
        Whether texts are padded to the longest of their batch only.
    text_batch : int
        Texts a forward pass.
    """

    text_batch = 64

    def __init__(
        self,
        model: Any,
        texts: Texts,
        preprocessing: Preprocessing,
        *,
        name: str,
        fingerprint: Mapping[str, Any],
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.notes = tuple(notes)
        self.max_text_length = texts.context
        self.trimmed = texts.trimmed
        self._model, self._texts = model, texts
        self._made_of = dict(fingerprint)
        self.dim = texts.encode(["a"], 1).shape[1]
        self._turn_to(preprocessing)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers."""
        return {**self._made_of, "preprocessing": self.preprocessing.to_dict()}

    @property
    def model(self) -> Any:
        """The module of torch behind it, in evaluation mode and without gradients; what changes it changes the vectors."""
        return self._model

    @property
    def texts(self) -> Texts:
        """The text tower with its tokenizer."""
        return self._texts

    @property
    def logit_scale(self) -> float | None:
        """Factor of the cosines that the model was trained with, None where it has none."""
        scale = getattr(self._model, "logit_scale", None)
        return None if scale is None else float(scale.detach().float().exp().reshape(-1)[0])

    def with_preprocessing(self, preprocessing: Preprocessing) -> TransformersEncoder:
        """Return the same model behind another preprocessing; InputError if it takes no pictures of that size."""
        other = copy.copy(self)
        other._turn_to(preprocessing)
        return other

    def encode_image(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) float32 vectors of (n, h, w, 3) uint8 pixels, as ``preprocessing.picture`` makes them.

        Raises
        ------
        InputError
            If the pixels are of another shape or type.
        """
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        return self._images(self.preprocessing, np.asarray(images))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 vectors, one per text, in their order; what is longer than the context is cut."""
        if isinstance(texts, str):
            raise InputError("encode_text got one text.", "Give a list of texts.", value=texts)
        return self._texts.encode(texts, self.text_batch) if len(texts) else np.empty((0, self.dim), np.float32)

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return of each text whether it is longer than the context."""
        return self._texts.truncated(texts)

    def _turn_to(self, preprocessing: Preprocessing) -> None:
        black = np.zeros((1, *preprocessing.size, 3), np.uint8)
        width = probed(lambda: self._images(preprocessing, black), self.name, preprocessing).shape[1]
        if width != self.dim:
            raise EmbeddingError(
                f"'{self.name}' gives image vectors of {width} columns and text vectors of {self.dim}: "
                "they do not share a space.",
                "Use a model that was trained to compare pictures and texts.",
                value=[width, self.dim],
            )
        self.preprocessing = preprocessing

    def _images(self, preprocessing: Preprocessing, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        x = torch.from_numpy(preprocessing.normalised(pixels)).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            return vectors(self._model.get_image_features(pixel_values=x), self.name, "picture")


def load(
    argument: str,
    *,
    preprocessing: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    device: str = "auto",
    dtype: str | None = None,
    local_files_only: bool = False,
) -> TransformersEncoder:
    """Return the encoder of ``transformers:FOLDER`` or ``transformers:OWNER/NAME``.

    Parameters
    ----------
    argument : str
        A folder that ``save_pretrained`` wrote, or a hub name; a revision may follow ``@``.
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of that of the folder's processor.
    device : str
        ``auto`` (the GPU where there is one), ``cpu``, ``cuda``, ...
    dtype : str, optional
        ``float32`` (default) or ``bfloat16`` for weights and arithmetic; vectors are float32 in any case.
    local_files_only : bool
        Whether the hub is left alone.

    Raises
    ------
    MissingFileError
        If the folder, its weights, its tokenizer or its processor is missing, or a hub name cannot be had.
    InputError
        If the weights are pickled or damaged, or the model has no two towers.
    EmbeddingError
        If the towers do not share a space, or all texts get one vector.
    """
    found = find(argument, local=local_files_only, needs=(PROCESSORS, VOCABULARIES))
    place, dtype = chosen(device, dtype)
    config = configuration(found)
    _check_towers(config, found)
    tokenizer = load_tokenizer(found)
    wanted = found.preprocessing(preprocessing)
    model, notes = load_weights(library().AutoModel, found, config, "float32")
    texts = Texts(model.to(place), tokenizer, found.name)
    padding = texts.prove()  # in float32: what differs is then the padding, and not the rounding
    if dtype != "float32":
        trimmed = texts.trimmed
        model, _ = load_weights(library().AutoModel, found, config, dtype)
        texts = Texts(model.to(place), tokenizer, found.name)
        texts.trimmed = trimmed
    case = ()
    if config.model_type == "siglip" and texts.keeps_case():
        case = ("The tokenizer keeps upper case, and SigLIP 2 was trained on lower case: write prompts in lower case.",)
    fingerprint = {
        "kind": "transformers",
        "architecture": type(model).__name__,
        "weights": found.digest(),
        "config": _digest_of_settings(found),
        "dtype": dtype,
        "versions": versions("torch", "transformers", "tokenizers"),
    }
    looks = _untrained_towers(model)
    return TransformersEncoder(
        model,
        texts,
        wanted,
        name=found.name,
        fingerprint=fingerprint,
        notes=[*looks, *notes, *([padding] if padding else []), *case],
    )


def _check_towers(config: Any, found: Checkpoint) -> None:
    """Refuse, before gigabytes are read, what is no pair of towers."""
    if config.model_type == "siglip2":
        raise InputError(
            f"'{found.name}' is a SigLIP 2 NaFlex model: it takes patches of pictures in their own shape, which a "
            "preprocessing cannot express.",
            "Use a SigLIP 2 model of fixed resolution, as siglip2-base-patch16-224.",
            value=config.model_type,
        )
    kind = library().MODEL_MAPPING.get(type(config), None)
    if not isinstance(kind, type) or not all(hasattr(kind, tower) for tower in TOWERS):
        raise InputError(
            f"'{found.name}' ({config.model_type}) has no image tower and text tower with vectors of one space.",
            "Use a model like CLIP or SigLIP; an image classifier is named with --model.",
            value=config.model_type,
        )


def _digest_of_settings(found: Checkpoint) -> str:
    names = [name for name in (CONFIG, *TOKENIZER_FILES) if found.has(name)]
    return combined({name: sha256_of(found.folder / name) for name in names})


def _untrained_towers(model: Any) -> list[str]:
    """Return a sentence if the model looks untrained, or one for each part that does."""
    state = model.state_dict()
    whole = untrained(state)
    if whole:
        return [whole]
    parts = sorted({name.partition(".")[0] for name in state})
    looks = {part: untrained({k: v for k, v in state.items() if k.startswith(f"{part}.")}) for part in parts}
    return [f"In '{part}': {text[0].lower()}{text[1:]}" for part, text in looks.items() if text]
