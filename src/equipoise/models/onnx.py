"""ONNX models: ``onnx:PATH``, a file or a folder with ``image.onnx``, ``text.onnx`` and ``model.json``, as encoder or classifier.

Nothing of the repository's own format is asked of the file: names of inputs and outputs, layout (channels first or last) and
a fixed number of pictures are read from it. What it cannot say stands in ``model.json`` (:mod:`equipoise.models.onnx_card`).

Notation: n pictures, m texts, d dimensions, L labels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError, InputError
from equipoise.models.classifier import check_pixels, fitted_scores
from equipoise.models.onnx_card import OnnxCard, read_card
from equipoise.models.onnx_files import OnnxFile, needed, read_onnx
from equipoise.models.onnx_session import ImageTower, Network
from equipoise.models.onnx_text import TextTower
from equipoise.models.preprocessing import Preprocessing, read_preprocessing


@dataclass(frozen=True)
class OnnxModel:
    """What encoder and classifier share.

    Attributes
    ----------
    ref, name : str
    preprocessing : Preprocessing
    notes : tuple of str
        What a person must know, as that the weights look untrained.
    """

    ref: str
    name: str
    tower: ImageTower
    preprocessing: Preprocessing
    weights: str
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        self.tower.check(self.preprocessing)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers; ``weights`` is one SHA-256 over all files that hold them."""
        return {
            "kind": "onnx",
            "weights": self.weights,
            "preprocessing": self.preprocessing.to_dict(),
            "dtype": np.dtype(self.tower.dtype).name,
            "outputs": [self.tower.output],
            "versions": {"onnxruntime": str(needed("onnxruntime").__version__)},
        }

    def with_preprocessing(self, preprocessing: Preprocessing) -> Any:
        """Return the same model behind another preprocessing."""
        return replace(self, preprocessing=preprocessing)


@dataclass(frozen=True)
class OnnxEncoder(OnnxModel):
    """An image tower, and a text tower or none."""

    text: TextTower | None = None

    @cached_property
    def dim(self) -> int:
        """Width of the vectors: what the file says, else of one answer."""
        if self.tower.width is not None:
            return self.tower.width
        grey = np.full((1, *self.preprocessing.size, 3), 127, np.uint8)
        found = self.tower(self.preprocessing.normalised(grey))
        if found.ndim != 2:
            raise EmbeddingError(
                f"'{self.tower.output}' of '{self.name}' has the shape {found.shape} for one picture.",
                "Name an output of the shape (n, d) in model.json.",
                value=list(found.shape),
            )
        return int(found.shape[1])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """As :class:`OnnxModel`, with what decides the texts."""
        words = {} if self.text is None else {"text": self.text.fingerprint}
        return {**super().fingerprint, **words}

    def encode_image(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) float32 of (n, h, w, 3) uint8 pixels that ``preprocessing.picture`` made."""
        images = np.asarray(images)
        x = self.preprocessing.normalised(images)
        if not len(x):
            return np.empty((0, self.dim), np.float32)
        return np.ascontiguousarray(self.tower(x), np.float32)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32; InputError where the model has no text tower."""
        if self.text is None:
            raise InputError(
                f"'{self.name}' has no text tower.", "Put text.onnx and tokenizer.json into its folder.", value=self.ref
            )
        if not len(texts):
            return np.empty((0, self.dim), np.float32)
        return self.text(list(texts))

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return which texts are longer than the context; none where there is no text tower."""
        return [False] * len(texts) if self.text is None else self.text.truncated(list(texts))


@dataclass(frozen=True)
class OnnxClassifier(OnnxModel):
    """A classifier; see :class:`equipoise.protocols.Classifier`."""

    labels: tuple[str, ...] = ()
    drop: tuple[int, ...] = ()
    card: dict[str, float] = field(default_factory=dict)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """As :class:`OnnxModel`, with the outputs that are left out."""
        return {**super().fingerprint, "drop": list(self.drop)}

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) pixels in [0, 1]; InputError where outputs and labels differ."""
        pixels = np.asarray(pixels)
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, len(self.labels)), np.float32)
        out = self.tower(self.preprocessing.normalised(pixels))
        return fitted_scores(out, len(pixels), self.labels, self.name, self.drop)


def load(argument: str, *, preprocessing: Any = None, device: str = "auto", threads: int | None = None) -> OnnxEncoder:
    """Return the encoder of ``onnx:PATH``.

    Parameters
    ----------
    argument : str
        An ``.onnx`` file (pictures only), or a folder.
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of the model's own; needed where it says none.
    device : str
        See :class:`equipoise.models.onnx_session.Network`.
    threads : int, optional

    Raises
    ------
    MissingFileError, InputError
        If a file is missing, corrupt, too large or outside the folder, or something is not said; before the runtime
        opens anything.
    """
    card, file, tower, pictures, notes = _read(argument, preprocessing, device, threads, classifier=False)
    text = None
    weights = file.sha256()
    if card.text is not None:
        words = read_onnx(card.text.file)
        text = TextTower(Network(words, device, threads), card.text)
        notes += _untrained(words, "text tower")
    encoder = OnnxEncoder(card.ref, card.name, tower, pictures, weights, tuple(notes), text)
    if text is not None and text.width not in (None, encoder.dim):
        raise EmbeddingError(
            f"The image tower of '{card.name}' has {encoder.dim} columns, the text tower {text.width}: "
            "they do not share a space.",
            "Export both with their projections.",
        )
    return encoder


def load_classifier(
    argument: str, *, preprocessing: Any = None, device: str = "auto", threads: int | None = None
) -> OnnxClassifier:
    """Return the classifier of ``onnx:PATH``; as :func:`load`, and the labels must be said."""
    card, file, tower, pictures, notes = _read(argument, preprocessing, device, threads, classifier=True)
    if card.labels is None:
        raise InputError(
            f"'{card.ref}' does not say what its outputs mean.",
            "Put labels.txt beside it (one label a line), or 'labels' into model.json.",
            value=argument,
        )
    model = OnnxClassifier(
        card.ref, card.name, tower, pictures, file.sha256(), tuple(notes), card.labels, card.drop, card.card
    )
    if tower.width is not None:
        fitted_scores(np.zeros((1, tower.width), np.float32), 1, card.labels, card.name, card.drop)
    return model


def _read(
    argument: str, preprocessing: Any, device: str, threads: int | None, *, classifier: bool
) -> tuple[OnnxCard, OnnxFile, ImageTower, Preprocessing, list[str]]:
    files: dict[Path, OnnxFile] = {}

    def metadata(path: Path) -> dict[str, str]:
        files[path] = read_onnx(path)
        return files[path].metadata

    card = read_card(argument, metadata)
    if card.classifier is not None and card.classifier != classifier:
        is_one, used = ("a classifier", "an encoder") if card.classifier else ("an encoder", "a classifier")
        raise InputError(
            f"'{card.ref}' says that it is {is_one}, and is used as {used}.",
            "Name it with --model." if card.classifier else "Name it with --encoder.",
            value=argument,
        )
    pictures = card.preprocessing if preprocessing is None else read_preprocessing(preprocessing)
    if pictures is None:
        raise InputError(
            f"'{card.ref}' does not say how pictures are prepared for it.",
            "Put 'preprocessing' into model.json, as \"clip\", or name one (--preprocess).",
            value=argument,
        )
    file = files[card.image]
    tower = ImageTower(Network(file, device, threads), card.image_input, card.image_output)
    return card, file, tower, pictures, _untrained(file, "image tower" if not classifier else "network")


def _untrained(file: OnnxFile, part: str) -> list[str]:
    from equipoise.models.untrained import untrained

    said = untrained(file.norms)
    return [f"{said} ({part})"] if said else []
