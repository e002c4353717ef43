"""Attributes from pictures: an encoder is asked in words, or a classifier, and answers only where it is sure enough.

An answer's vector is the normalised mean of the unit embeddings of all its prompts in all templates (Radford et al. 2021,
section 3.1.4); the softmax of scale x cosine gives each answer a probability, and ``margin`` is that of the first less that
of the second. Where rows are labelled, each answer gets the smallest margin from which on it is right 9 times in 10: below
it the picture is ``ambiguous``. The rows that choose the margins cannot tell the error that is left: others must.

Notation: n rows, A answers, d dimensions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.annotate.fields import with_annotation
from equipoise.annotate.question import Question, read_question
from equipoise.data.annotated import Annotation
from equipoise.data.samples import Samples
from equipoise.data.vectors import unit
from equipoise.errors import EmbeddingError, InputError, UnknownNameError, did_you_mean, expect, listed
from equipoise.models.zero_shot import SCALE
from equipoise.schema import plain
from equipoise.store.embeddings import EmbeddingSet

PRECISION = 0.9
LEAST = 10
"""Labelled rows beyond a margin, below which it is not trusted."""


@dataclass(frozen=True)
class ImageTags:
    """Answers about pictures, in the order of the table as it was given.

    Attributes
    ----------
    question : Question
    answers : ndarray (n,), int64
        Index into ``question.values``; -1 where there is no picture to answer of.
    margin : ndarray (n,), float64
        Probability of the answer less that of the next one, in [0, 1]; NaN where there is no answer. Of classifiers twice
        the probability less 1, the least that it can be.
    status : tuple of str, (n,)
        Why there is no answer; ``""`` where there is one.
    annotator : dict
        ``ref``, ``name`` and ``fingerprints`` of what answered.
    bands : dict of str to float
        Smallest margin of each answer; empty where no rows were labelled: then nothing is ambiguous, and the error unknown.
    notes : tuple of str
    """

    question: Question
    answers: NDArray[np.int64]
    margin: NDArray[np.float64]
    status: tuple[str, ...]
    annotator: dict[str, Any]
    bands: dict[str, float]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def columns(self) -> dict[str, pa.Array]:
        """The variable's text a row; null where there is no answer."""
        question = self.question
        least = np.array([self.bands.get(value, -1.0) for value in question.values] + [-1.0])
        unsure = (self.answers >= 0) & (self.margin < least[self.answers])
        states = pa.array(question.states, pa.string())
        place = np.where(unsure, question.states.index(question.abstain), self.answers)
        return {question.variable: states.take(pa.array(place, mask=self.answers < 0))}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many rows have each state."""
        found = Counter(self.columns[self.question.variable].to_pylist())
        return {self.question.variable: {state: found[state] for state in self.question.states}}

    def field(self, gold: Mapping[str, Any] | None = None) -> pa.Field:
        """Return the field of the column ``gender_image``, with what it declares of itself."""
        question = self.question
        answered = [self.annotator["fingerprints"], self.bands]
        own = hashlib.sha256(_canonical([question.sha256, *answered])).hexdigest()
        version = f"{question.name} by {self.annotator['name']} ({own[:8]})"
        annotation = Annotation(
            question.name, version, own, question.states, question.groups, gold, {**self.annotator, "bands": self.bands}
        )
        return with_annotation(pa.field(question.column, pa.string()), annotation)

    def calibrated(
        self, rows: Sequence[int], labels: Sequence[str], weight: Sequence[float] | None = None,
        precision: float = PRECISION,
    ) -> ImageTags:  # fmt: skip
        """Return the same with margins below which an answer becomes ``ambiguous``.

        Parameters
        ----------
        rows : sequence of int
            Rows whose truth is known.
        labels : sequence of str
            It.
        weight : sequence of float, optional
            How many rows each stands for.
        precision : float in (0, 1)
            Wanted share of right answers. An answer that cannot reach it with at least 10 labelled rows keeps no margin,
            and a note says so.
        """
        if not 0 < precision < 1:
            raise InputError(f"The precision is {precision!r}.", "Give a share below 1, as 0.9.", value=precision)
        places = np.asarray(rows, np.int64)
        if places.size != len(labels):
            raise InputError(f"{places.size} rows have {len(labels)} labels.", "Give one label a row.")
        weights = np.ones(places.size) if weight is None else np.asarray(weight, np.float64)
        truth = np.array(list(labels), object)
        bands, notes = {}, []
        for place, value in enumerate(self.question.values):
            own = self.answers[places] == place
            right = (truth[own] == value).astype(np.float64)
            band, reached = band_for(self.margin[places][own], right, weights[own], precision)
            bands[value] = band
            if reached < precision:
                notes.append(_unfiltered(value, right, weights[own], reached, precision))
        return replace(self, bands=bands, notes=(*self.notes, *notes))


def _unfiltered(
    value: str, right: NDArray[np.float64], weight: NDArray[np.float64], reached: float, precision: float
) -> str:
    """Return why every answer of a value was kept, and how precise they are."""
    n = right.size
    start = f"All answers '{value}' were kept, sure or not: "
    if not n:
        return (
            f"{start}no row that was labelled to choose the margins has that answer, so their precision is not known."
        )
    share = float((right * weight).sum() / weight.sum())
    told = f"{share:.2f} of them are right ({int(right.sum())} of the {n} labelled rows that choose)"
    if n < LEAST:
        return f"{start}{told}; {LEAST} such rows or more are needed to ask for a precision of {precision:g}."
    best = f", and of the surest at most {reached:.2f}" if reached > share + 0.005 else ""
    return f"{start}{told}{best}, where {precision:g} was asked for."


def band_for(
    margin: NDArray[np.float64], right: NDArray[np.float64], weight: NDArray[np.float64], precision: float
) -> tuple[float, float]:
    """Return the smallest margin from which on the share of right answers is as wanted, and the share reached.

    Parameters
    ----------
    margin, right, weight : ndarray (m,), float64
        Of labelled rows with one answer; ``right`` is 1 or 0.
    precision : float

    Returns
    -------
    band : float
        0 where no margin with at least 10 rows beyond it reaches the precision.
    reached : float
        Share of right answers from the band on, else the best one.
    """
    if not margin.size:
        return 0.0, 0.0
    order = np.argsort(-margin, kind="stable")
    sorted_margin = margin[order]
    share = np.cumsum((right * weight)[order]) / np.cumsum(weight[order])
    # a row counts with all rows of its margin
    last = np.flatnonzero(np.r_[np.diff(sorted_margin) < 0, True])
    last = last[last + 1 >= min(LEAST, margin.size)]
    good = last[share[last] >= precision]
    if not good.size or margin.size < LEAST:
        return 0.0, float(share[last].max()) if margin.size >= LEAST else 0.0
    chosen = int(good.max())
    if chosen == margin.size - 1:
        return 0.0, float(share[chosen])
    return float((sorted_margin[chosen] + sorted_margin[chosen + 1]) / 2), float(share[chosen])


def annotate_images(
    source: EmbeddingSet | Samples, question: str | Path | Question = "gender", *, scale: float | None = None
) -> ImageTags:
    """Answer a question about every picture.

    Parameters
    ----------
    source : EmbeddingSet or Samples
        Pictures through an encoder that also embeds texts (:func:`equipoise.embed`); or rows that a classifier answered
        (:func:`equipoise.predict`), whose labels are then the values of the question.
    question : str, path or Question
        A name (``"gender"``), a file, or a section of a vocabulary, as ``"groups.toml:gender"``.
    scale : float, optional
        Factor of the cosines; the encoder's own ``logit_scale`` unless given, else 100. It decides probabilities, and so
        margins, never the answer.

    Returns
    -------
    ImageTags
        Without margins: rows labelled by hand give them, with :meth:`ImageTags.calibrated`.

    Raises
    ------
    InputError, UnknownNameError
        If the question has no words for an answer, or a classifier says what is no value of it.
    MissingTextError
        If texts have no vector and no encoder is at hand.
    """
    asked = read_question(question)
    expect(
        source, (EmbeddingSet, Samples), "What is to be annotated", "Give an EmbeddingSet, or Samples with predictions."
    )
    if isinstance(source, Samples):
        return _of_classifier(source, asked)
    used, notes = _scale(source, scale)
    vectors = answer_vectors(source, asked)
    n = source.rows_in
    answers, margin = np.full(len(source), -1, np.int64), np.full(len(source), np.nan)
    for start, block in source.blocks():
        logits = used * (block.astype(np.float64) @ vectors.T.astype(np.float64))
        rows = slice(start, start + len(block))
        answers[rows], margin[rows] = _first_two(logits)
    aside = source.quarantine()
    lines = np.concatenate([source.samples.lines, aside["row"].to_numpy()])
    order = np.argsort(lines, kind="stable")
    status = np.array([*[""] * len(source), *aside["reason"].to_pylist()], object)
    missing = n - len(source)
    return ImageTags(
        asked, np.concatenate([answers, np.full(missing, -1, np.int64)])[order],
        np.concatenate([margin, np.full(missing, np.nan)])[order], tuple(status[order].tolist()),
        _annotator(source.encoder, scale=used), {}, (*asked.notes, *source.notes, *notes),
    )  # fmt: skip


def answer_vectors(source: EmbeddingSet, question: Question) -> NDArray[np.float32]:
    """Return (A, d) float32 unit vectors of the answers: the mean over all prompts in all templates, normalised.

    Raises
    ------
    EmbeddingError
        If the prompts of an answer cancel out.
    """
    worded = [question.texts(value) for value in question.values]
    texts = list(dict.fromkeys(text for part in worded for text in part))
    place = {text: row for row, text in enumerate(texts)}
    vectors = source.text(texts).astype(np.float64)
    out, lengths = unit(np.stack([vectors[[place[text] for text in part]].mean(axis=0) for part in worded]))
    if (short := np.flatnonzero(lengths < 1e-6)).size:
        raise EmbeddingError(
            f"The prompts of '{question.values[int(short[0])]}' cancel out: their mean vector is zero.",
            "Use other prompts.", value=question.values[int(short[0])],
        )  # fmt: skip
    return out


def fingerprint_sha256(fingerprint: Any) -> str:
    """Return the SHA-256 of a model's fingerprint, ``""`` for one that says nothing: equal ones are one model."""
    return hashlib.sha256(_canonical(plain(fingerprint))).hexdigest() if fingerprint else ""


def fingerprints_of(model: Mapping[str, Any]) -> list[str]:
    """Return the fingerprints by which a model is known: its own, and that of an encoder inside a classifier."""
    own = model.get("fingerprint") or {}
    found = [fingerprint_sha256(own), fingerprint_sha256(own.get("encoder") if isinstance(own, Mapping) else None)]
    return [digest for digest in found if digest]


def _annotator(model: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    kind, _, path = str(model.get("ref", "")).partition(":")
    short = Path(path).name if Path(path).is_absolute() else path  # a table is handed on; folders of a machine are not
    ref = f"{kind}:{short}" if short else kind
    return {"ref": ref, "name": str(model.get("name", "")), "fingerprints": fingerprints_of(model), **more}


def _of_classifier(samples: Samples, question: Question) -> ImageTags:
    if not samples.model:
        raise InputError(
            "These rows have no answers of a classifier.", "Pass what equipoise.predict returns, or an EmbeddingSet."
        )
    said = [str(text) for text in samples.column("prediction")]
    if strange := sorted({text for text in said if text} - set(question.values)):
        raise UnknownNameError(
            f"The classifier says '{strange[0]}', which is no value of '{question.name}'."
            f"{did_you_mean(strange[0], question.values)}",
            f"Its values: {listed(question.values)}; name what is meant, as --classes {strange[0]}={question.values[0]}.",
            value=strange[0],
        )  # fmt: skip
    place = {value: number for number, value in enumerate(question.values)} | {"": -1}
    answers = np.array([place[text] for text in said], np.int64)
    score = np.asarray(samples.column("score"), np.float64)
    positive = samples.model.get("score_of")
    if positive is not None:  # the probability of that label, whatever was said
        score = np.where(np.array([text == positive for text in said], bool), score, 1 - score)
    order = np.argsort(samples.lines, kind="stable")
    margin = np.where(answers >= 0, np.maximum(2 * score - 1, 0.0), np.nan)
    reasons = [str(text) for text in samples.column("reason")]
    return ImageTags(
        question, answers[order], margin[order], tuple(reasons[row] for row in order.tolist()),
        _annotator(samples.model), {}, tuple(samples.model.get("notes", ())),
    )  # fmt: skip


def _scale(source: EmbeddingSet, given: float | None) -> tuple[float, tuple[str, ...]]:
    if given is not None:
        if not (np.isfinite(given) and given > 0):
            raise InputError(f"The scale is {given!r}.", "Give a number above 0, as 100.", value=given)
        return float(given), ()
    own = source.logit_scale
    if own is not None:
        return own, ()
    return SCALE, (f"The encoder tells no logit scale: {SCALE:g} is taken, which changes margins and no answer.",)


def _first_two(logits: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the first answer of each row, and its probability less that of the second."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    share = shifted / shifted.sum(axis=1, keepdims=True)
    top = np.sort(share, axis=1)[:, -2:]
    return logits.argmax(axis=1), top[:, 1] - top[:, 0]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
