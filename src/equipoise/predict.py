"""Samples and a classifier become Samples with predictions and scores, in memory or through a store of logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.samples import Samples
from equipoise.errors import InputError
from equipoise.models.answers import Wording, check_strangers
from equipoise.models.classifier import checked_card
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.references import check_classifier, load_classifier, prepared_by
from equipoise.pictures.passing import Work, through
from equipoise.pictures.scoring import classifier_work
from equipoise.protocols import Classifier
from equipoise.schema import plain
from equipoise.store.logits import Logits

OWN = "own"
"""Names the model's own preprocessing, to set it against another."""


def predict(
    model: str | Classifier,
    samples: Samples,
    *,
    ref: str | None = None,
    store: str | Path | None = None,
    classes: Mapping[str, str] | None = None,
    positive: str | None = None,
    preprocess: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    card: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    shard_rows: int = 1024,
    workers: int | None = None,
    policy: ImagePolicy | None = None,
    overwrite: bool = False,
    engine: str = "local",
) -> Samples:
    """Ask a classifier about the picture of every row.

    Parameters
    ----------
    model : str or Classifier
        A reference, or anything with ``scores`` (:func:`equipoise.models.classifier.torch_classifier` for a torch module,
        :class:`equipoise.models.zero_shot.ZeroShot` for an encoder and prompts).
    samples : Samples
        With the role ``image``. Where they have labels, the model must be able to say one of them.
    ref : str, optional
        What the model is called in records, where it was loaded from a reference already.
    store : path, optional
        Folder of the logits: resumable, and a second run over a finished one scores no picture. ``classes`` and
        ``positive`` are not part of it and may change.
    classes : mapping of str to str, optional
        Label of the model to label of the table, as ``{"male": "Male"}``; others keep their name. Probabilities of labels
        that become one are added.
    positive : str, optional
        The label of the table whose probability becomes the score.
    preprocess : str, path, mapping or Preprocessing, optional
        Instead of the model's own; ``"own"`` is the model's own.
    card : mapping, optional
        What is said of the model, as ``{"accuracy": 0.751, "n": 50000}``; its own card unless given.
    batch_size, shard_rows, workers, policy, overwrite, engine
        As for :func:`equipoise.embed`.

    Returns
    -------
    Samples
        The rows as they were, with ``prediction``: the most probable label as the table calls them, ``""`` where there
        is none; ``score``, float64 in [0, 1]: the softmax probability of the positive label (the one that is named, or
        the truth of two labels such as 0 and 1), else of the predicted one; NaN where there is none; and ``reason``: why
        a row has no answer, ``""`` where it has one. ``sha256`` is that of the picture that was looked at; ``model``
        tells what made the answers.

    Raises
    ------
    InputError
        If there is no column of images, or the model can say none of the labels.
    EmbeddingError
        If no picture can be used, or the model fails or answers something else than it promises.
    OutputExistsError, LockedError
        If the store holds another run (the difference is shown) or other rows, or another process works on it.
    ChecksumError, MissingFileError
        If a file of the store was edited or deleted.
    """
    if "prediction" in samples.roles or "score" in samples.roles:
        raise InputError("The rows have predictions or scores already.", "Read the table without those columns.")
    classifier = _loaded(model, None if preprocess == OWN else preprocess)
    wording = Wording.of(classifier.labels, classes, positive)
    if "label" in samples.roles:
        check_strangers(wording, samples.table["label"].to_pylist())
    called = ref or (model if isinstance(model, str) else classifier.name)
    work = classifier_work(
        classifier, called, policy=policy, batch_size=batch_size, shard_rows=shard_rows, workers=workers, engine=engine
    )
    if isinstance(model, str):
        work = replace(work, remake=partial(_again, model, preprocess, called, policy, batch_size))
    passed = through(work, samples, store=None if store is None else Path(store), overwrite=overwrite)
    about: dict[str, Any] = {"ref": called, "name": work.name, "fingerprint": plain(work.fingerprint)}
    logits = Logits(
        passed.samples,
        passed.reasons,
        passed.index,
        passed.vectors,
        wording.labels,
        about,
        work.manifest_preprocessing(),
    )
    notes: list[str] = list(getattr(classifier, "notes", ()))
    happened = tuple(note for note in passed.notes if note not in notes)
    if positive is None and wording.positive is not None:
        notes.append(f"The positive label is '{wording.positive}', taken from the model's labels; name it to be sure.")
    about |= {
        "labels": list(classifier.labels),
        "classes": wording.changed,
        "called": list(wording.called),
        "score_of": wording.positive,
        "card": checked_card(card if card is not None else getattr(classifier, "card", None) or {}),
        "preprocessing": {"name": classifier.preprocessing.name, **work.manifest_preprocessing()},
        "notes": notes,
    }
    found = answered(logits, wording, about)
    return replace(found, notes=(*found.notes, *happened))


def answered(logits: Logits, wording: Wording, about: dict[str, Any]) -> Samples:
    """Return the rows of logits with the answers that these give; streamed by blocks."""
    samples = logits.samples
    n = len(samples)
    said, scores = np.full(n, -1, np.int64), np.full(n, np.nan)
    for rows, block in logits.blocks():
        said[rows], scores[rows] = wording.answers(block)
    words = pa.array([*wording.called, ""], pa.string())
    columns: dict[str, Any] = {
        "prediction": words.take(pa.array(np.where(said < 0, len(wording.called), said))),
        "score": pa.array(scores),
        "reason": pa.array(list(logits.reasons), pa.string()),
    }
    table = samples.table
    for name, column in columns.items():
        table = table.add_column(len(table.column_names) - len(samples.attributes), name, column)
    what = "the prediction" if wording.positive is None else wording.positive
    roles = {"prediction": f"prediction of {about['name']}", "score": f"probability of {what}"}
    return replace(samples, table=table, roles={**samples.roles, **roles}, model=about)


def _again(ref: str, preprocess: Any, called: str, policy: ImagePolicy | None, batch_size: int) -> Work:
    """Return the work of a classifier in another process, which has one core to read with."""
    return classifier_work(
        _loaded(ref, None if preprocess == OWN else preprocess), called, policy=policy, batch_size=batch_size, workers=1
    )


def _loaded(model: str | Classifier, preprocess: Any) -> Classifier:
    if isinstance(model, str):
        return load_classifier(model, preprocessing=preprocess)
    check_classifier(model, getattr(model, "name", type(model).__name__))
    return model if preprocess is None else prepared_by(model, preprocess)
