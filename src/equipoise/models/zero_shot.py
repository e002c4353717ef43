"""Zero-shot classification: an encoder and words for every class are a classifier.

A class's vector is the normalised mean of the unit embeddings of all its prompts in all templates (Radford et al. 2021,
section 3.1.4); the logit of a picture is the encoder's scale times its cosine with that vector.

Notation: n pictures, L classes, d dimensions, h rows, w columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.groups import Attribute
from equipoise.data.vectors import unit
from equipoise.errors import EmbeddingError, InputError, listed
from equipoise.models.classifier import check_pixels, checked_card, checked_labels
from equipoise.models.guard import checked_images, checked_texts, name_of
from equipoise.models.preprocessing import Preprocessing
from equipoise.protocols import Encoder

SCALE = 100.0
"""Logit scale of an encoder that tells none: what CLIP's is clipped to in training, and reaches."""
TEXTS = 256
"""Texts that are embedded at a time."""


class ZeroShot:
    """A classifier made of an encoder and prompts.

    Parameters
    ----------
    encoder : Encoder
        With ``preprocessing``: it takes (n, h, w, 3) uint8 pictures.
    classes : mapping of str to str or sequence of str
        Words for each label, as ``{"cat": ["a cat", "a kitten"]}``; their order is that of the scores.
    templates : sequence of str
        Sentences with exactly one ``{}``, as ``"a photo of {}"``.
    logit_scale : float, optional
        Factor of the cosines: it decides probabilities and never the predicted label. The encoder's own
        ``logit_scale`` unless given, else 100.
    name : str, optional
    card : mapping, optional
        What is said of it: ``{"accuracy": 0.633, "n": 50000}``.

    Attributes
    ----------
    labels : tuple of str
    class_vectors : ndarray (L, d), float32
        Unit rows. A text that several classes or templates share is embedded once.
    preprocessing : Preprocessing
        That of the encoder.
    fingerprint : dict
    notes : tuple of str
        Those of the encoder, and how many prompts were longer than its context.

    Raises
    ------
    InputError
        If the encoder takes no pixels or no texts, or the classes, templates or the scale cannot be used.
    EmbeddingError
        If the prompts of a class cancel out.

    Notes
    -----
    :meth:`scores` takes pixels in [0, 1] and encoders take 8-bit ones: pixels are multiplied by 255 and rounded to the
    nearest whole number (halves to even). Pictures that were decoded are met exactly; a change of a pixel below half a
    grey level (1/510) is invisible to the encoder.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Mapping[str, str | Sequence[str]],
        templates: Sequence[str] = ("{}",),
        *,
        logit_scale: float | None = None,
        name: str | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        found = getattr(encoder, "preprocessing", None)
        if not isinstance(found, Preprocessing):
            raise InputError(
                f"Encoder {name_of(encoder)} takes no pixels: it has no preprocessing.",
                "Use an encoder that says how pictures are prepared, as transformers:PATH.",
                value=name_of(encoder),
            )
        if not hasattr(encoder, "encode_text"):
            raise InputError(f"Encoder {name_of(encoder)} embeds no texts.", "Use one with a text tower.")
        self.encoder = encoder
        self.preprocessing = found
        self.name = name or f"zero-shot {encoder.name}"
        self.labels = checked_labels(list(classes), self.name)
        self.classes = {label: _words(label, words) for label, words in classes.items()}
        self.templates = (templates,) if isinstance(templates, str) else tuple(templates)
        if not self.templates:
            raise InputError("There is no template.", 'Give one such as "a photo of {}".')
        for template in self.templates:
            if template.count("{}") != 1:
                raise InputError(
                    f"The template '{template}' has {template.count('{}')} placeholders.",
                    "A template holds {} exactly once.",
                    value=template,
                )
        self.logit_scale = _scale(getattr(encoder, "logit_scale", None) if logit_scale is None else logit_scale)
        self.card = checked_card(card or {})
        self.class_vectors, self.notes = self._embedded()

    @classmethod
    def from_attribute(cls, encoder: Encoder, attribute: Attribute, **options: Any) -> ZeroShot:
        """Make a classifier of a section of the vocabulary: its values, their prompts, its templates."""
        for value in attribute.values:
            attribute.prompt_texts(value)
        classes = {value: attribute.prompts[value] for value in attribute.values}
        return cls(encoder, classes, attribute.templates, **options)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the scores: the encoder's fingerprint, classes, templates and scale."""
        return {
            "kind": "zero-shot",
            "encoder": self.encoder.fingerprint,
            "classes": {label: list(words) for label, words in self.classes.items()},
            "templates": list(self.templates),
            "logit_scale": self.logit_scale,
            "preprocessing": self.preprocessing.to_dict(),
        }

    def with_preprocessing(self, preprocessing: Preprocessing) -> ZeroShot:
        """Return the same behind another preprocessing; the texts are not embedded again."""
        turn = getattr(self.encoder, "with_preprocessing", None)
        if turn is None:
            raise InputError(
                f"Encoder {name_of(self.encoder)} cannot take another preprocessing.", "Leave --preprocess out."
            )
        found = copy.copy(self)
        found.encoder, found.preprocessing = turn(preprocessing), preprocessing
        return found

    def prompts(self, label: str) -> list[str]:
        """Return every prompt of a label in every template, each text once."""
        return list(dict.fromkeys(t.replace("{}", words) for t in self.templates for words in self.classes[label]))

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) pixels in [0, 1]: scale x cosine.

        Raises
        ------
        InputError
            If the pixels are not in [0, 1].
        EmbeddingError
            If a picture's vector has length zero.
        """
        pixels = np.asarray(pixels)
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, len(self.labels)), np.float32)
        whole = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        vectors, lengths = unit(checked_images(self.encoder, np.ascontiguousarray(whole.transpose(0, 2, 3, 1))))
        if (short := np.flatnonzero(lengths == 0)).size:
            raise EmbeddingError(
                f"Encoder {name_of(self.encoder)} gave pictures {listed(short.tolist())} of the batch a vector of length "
                "zero, which has no direction.",
                "Look at those pictures, or use another encoder.",
                value=short.tolist(),
            )
        return np.float32(self.logit_scale) * (vectors @ self.class_vectors.T)

    def _embedded(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return the class vectors and the notes; the texts are embedded in slices, so that many take little memory."""
        worded = [self.prompts(label) for label in self.labels]
        owners: dict[str, list[int]] = {}
        for place, prompts in enumerate(worded):
            for text in prompts:
                owners.setdefault(text, []).append(place)
        texts = list(owners)
        sums = np.zeros((len(self.labels), self.encoder.dim))
        cut = 0
        truncated = getattr(self.encoder, "truncated", None)
        for start in range(0, len(texts), TEXTS):
            part = texts[start : start + TEXTS]
            vectors, lengths = unit(checked_texts(self.encoder, part))
            if (short := np.flatnonzero(lengths == 0)).size:
                raise EmbeddingError(
                    f"The vector of {part[int(short[0])]!r} has length zero.",
                    "Use another prompt.",
                    value=part[short[0]],
                )
            for text, vector in zip(part, vectors, strict=True):
                sums[owners[text]] += vector
            cut += sum(truncated(part)) if truncated is not None else 0
        means = sums / np.array([len(prompts) for prompts in worded])[:, None]
        out, lengths = unit(means)
        if (lost := np.flatnonzero(lengths < 1e-6)).size:
            raise EmbeddingError(
                f"The prompts of '{self.labels[int(lost[0])]}' cancel out: their mean vector is zero.",
                "Use other prompts.",
                value=self.labels[int(lost[0])],
            )
        notes = tuple(getattr(self.encoder, "notes", ()))
        if cut:
            notes += (f"{cut} of {len(texts)} prompts are longer than the text context and were cut.",)
        return out, notes


def _words(label: str, words: str | Sequence[str]) -> tuple[str, ...]:
    found = (words,) if isinstance(words, str) else tuple(words)
    if not found:
        raise InputError(f"'{label}' has no prompts.", "Give words for every class.", value=label)
    for text in found:
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"A prompt of '{label}' is {text!r}.", "Give texts that are not empty.", value=text)
    return found


def _scale(given: Any) -> float:
    if given is None:
        return SCALE
    scale = float(given)
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"The logit scale is {given!r}.", "Give a number above 0, as 100.", value=given)
    return scale
