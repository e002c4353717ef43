"""Image classifiers of the transformers library: ``transformers:FOLDER`` or ``transformers:OWNER/NAME``.

Labels come from the model's configuration, the preprocessing from its processor, and what its makers say of its accuracy
from the model card (README.md), where that holds a ``model-index``.

Notation: n pictures, L labels, h rows, w columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.errors import InputError
from equipoise.models.checkpoint import CONFIG, PROCESSORS, Checkpoint, find, library
from equipoise.models.classifier import check_pixels, checked_labels, distinct_labels, fitted_scores
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.pretrained import chosen, configuration, load_weights, probed, readable, versions
from equipoise.models.untrained import untrained

LARGEST_CARD = 4_000_000
"""Bytes of a model card that is read."""


class TransformersClassifier:
    """An image classifier; made by :func:`load`.

    Attributes
    ----------
    name : str
    labels : tuple of str
        In the order of the outputs; those that repeat carry the number of their output.
    preprocessing : Preprocessing
        Geometry happens outside, normalisation inside :meth:`scores`.
    fingerprint : dict
        SHA-256 of the weight files and of the configuration; preprocessing, dtype, versions.
    card : dict
        ``accuracy`` in [0, 1] and the ``dataset`` that it was measured on, as the makers say; empty if they do not.
    notes : tuple of str
    """

    def __init__(
        self,
        model: Any,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        *,
        name: str,
        fingerprint: Mapping[str, Any],
        card: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.labels = checked_labels(labels, name)
        self.card = dict(card or {})
        self.notes = tuple(notes)
        self._model = model
        self._made_of = dict(fingerprint)
        self._turn_to(preprocessing)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers."""
        return {**self._made_of, "preprocessing": self.preprocessing.to_dict()}

    def with_preprocessing(self, preprocessing: Preprocessing) -> TransformersClassifier:
        """Return the same model behind another preprocessing; InputError if it takes no pictures of that size."""
        other = copy.copy(self)
        other._turn_to(preprocessing)
        return other

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) float32 pixels in [0, 1].

        Raises
        ------
        InputError
            If the pixels are of another shape, type or range.
        """
        pixels = np.asarray(pixels)
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, len(self.labels)), np.float32)
        return self._scores(self.preprocessing, pixels)

    def _turn_to(self, preprocessing: Preprocessing) -> None:
        black = np.zeros((1, 3, *preprocessing.size), np.float32)
        probed(lambda: self._scores(preprocessing, black), self.name, preprocessing)
        self.preprocessing = preprocessing

    def _scores(self, preprocessing: Preprocessing, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        x = torch.from_numpy(preprocessing.normalised(pixels)).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            out = self._model(pixel_values=x).logits.float().cpu().numpy()
        return fitted_scores(out, len(pixels), self.labels, self.name)


def load(
    argument: str,
    *,
    preprocessing: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    device: str = "auto",
    dtype: str | None = None,
    local_files_only: bool = False,
) -> TransformersClassifier:
    """Return the classifier of ``transformers:FOLDER`` or ``transformers:OWNER/NAME``.

    Parameters
    ----------
    argument : str
        A folder that ``save_pretrained`` wrote, or a hub name; a revision may follow ``@``.
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of that of the folder's processor.
    device : str
        ``auto`` (the GPU where there is one), ``cpu``, ``cuda``, ...
    dtype : str, optional
        ``float32`` (default) or ``bfloat16``; logits are float32 in any case.
    local_files_only : bool
        Whether the hub is left alone.

    Raises
    ------
    MissingFileError
        If the folder, its weights or its processor is missing, or a hub name cannot be had.
    InputError
        If the weights are pickled or damaged, the model is no image classifier, or its labels cannot be used.
    """
    found = find(argument, local=local_files_only, needs=(PROCESSORS,))
    place, dtype = chosen(device, dtype)
    config = configuration(found)
    saved = config.architectures or ["ForImageClassification"]
    # CLIP and SigLIP have such a class too: its head would be drawn at random over the weights of an encoder
    headed = any("ForImageClassification" in name for name in saved)
    if not headed or type(config) not in library().MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise InputError(
            f"'{found.name}' ({config.model_type}) is no image classifier.",
            "An encoder of pictures and texts is named with --encoder, or given words for every class.",
            value=config.model_type,
        )
    wanted = found.preprocessing(preprocessing)
    model, notes = load_weights(library().AutoModelForImageClassification, found, config, dtype)
    labels, unnamed = _labels(config, found.name)
    looks = untrained(model.state_dict())
    return TransformersClassifier(
        model.to(place),
        labels,
        wanted,
        name=found.name,
        fingerprint={
            "kind": "transformers",
            "architecture": type(model).__name__,
            "weights": found.digest(),
            "config": sha256_of(found.folder / CONFIG),
            "dtype": dtype,
            "versions": versions("torch", "transformers"),
        },
        card=read_card(found),
        notes=[*([looks] if looks else []), *notes, *unnamed],
    )


def read_card(found: Checkpoint) -> dict[str, Any]:
    """Return ``{"accuracy": share in [0, 1], "dataset": name}`` from the ``model-index`` of README.md; empty without one."""
    from huggingface_hub import metadata_load
    from huggingface_hub.repocard_data import model_index_to_eval_results

    path = found.folder / "README.md"
    if not path.is_file() or path.stat().st_size > LARGEST_CARD:
        return {}
    try:
        index = (metadata_load(path) or {}).get("model-index")
        results = model_index_to_eval_results(index)[1] if index else []
    except Exception:  # a card is prose: one that cannot be read says nothing
        return {}
    for result in results:
        if result.metric_type != "accuracy" or result.task_type not in (None, "image-classification"):
            continue
        try:
            value = float(result.metric_value)
        except (TypeError, ValueError):
            continue
        share = value / 100 if 1 < value <= 100 else value
        if 0 <= share <= 1:
            return {"accuracy": share, "dataset": str(result.dataset_name or result.dataset_type)}
    return {}


def _labels(config: Any, name: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the labels in the order of the outputs, and a note where they are only numbers."""
    with readable(name, "labels"):
        named = {int(place): str(label) for place, label in (config.id2label or {}).items()}
    if sorted(named) != list(range(len(named))):
        raise InputError(
            f"The labels of '{name}' are numbered {sorted(named)[:5]}, ..., and not 0, 1, 2, ...",
            "Mend id2label in config.json.",
            value=sorted(named)[:10],
        )
    labels = distinct_labels([named[place] for place in range(len(named))])
    generic = all(label == f"LABEL_{place}" for place, label in enumerate(labels))
    return labels, [
        "The classes have no names (LABEL_0, LABEL_1, ...): set id2label in config.json."
    ] if generic else []
