"""References to a model: ``precomputed:DIR``, ``demo``, or the name of a plug-in, with what follows its colon."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from equipoise import loading
from equipoise.data.groups import Attribute
from equipoise.errors import InputError, listed
from equipoise.models.preprocessing import Preprocessing, read_preprocessing
from equipoise.protocols import Classifier, Encoder
from equipoise.registry import CLASSIFIERS, ENCODERS


def load_encoder(
    ref: str,
    *,
    preprocessing: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    device: str = "auto",
    dtype: str | None = None,
) -> Encoder:
    """Return the encoder that a reference names.

    Parameters
    ----------
    ref : str
        ``NAME`` or ``NAME:ARGUMENT``; the loader of that name is called with the argument (``""`` if there is none).
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of the model's own.
    device, dtype : str, optional
        Passed to loaders that take them.

    Raises
    ------
    UnknownNameError
        If no encoder has that name; the message proposes a near one.
    InputError
        If what was loaded is no encoder, or takes no other preprocessing.
    """
    taken = preprocessing is not None and takes_preprocessing(ref)
    given: dict[str, Any] = {"preprocessing": preprocessing} if taken else {}
    encoder = loading.load_encoder(ref, device=None if device == "auto" else device, dtype=dtype, **given)
    return encoder if preprocessing is None or taken else prepared_by(encoder, preprocessing)


def takes_preprocessing(ref: str) -> bool:
    """Return whether the loader of an encoder is given the preprocessing: some models do not say their own."""
    return loading.takes(ref, "preprocessing")


def load_classifier(
    ref: str,
    *,
    words: Attribute | None = None,
    preprocessing: str | Path | Mapping[str, Any] | Preprocessing | None = None,
    device: str = "auto",
    dtype: str | None = None,
) -> Classifier:
    """Return the classifier that a reference names, or an encoder with words for every class.

    Parameters
    ----------
    ref : str
        As for :func:`load_encoder`, among the classifiers.
    words : Attribute, optional
        A section of the vocabulary with prompts. Where the reference names an encoder and no classifier, these prompts
        make a classifier of it (``equipoise.models.zero_shot``).
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of the model's own.
    device, dtype : str, optional
        Passed to loaders that take them.

    Raises
    ------
    UnknownNameError
        If nothing has that name.
    InputError
        If what was loaded is no classifier, or takes no other preprocessing.
    """
    name, _, argument = ref.partition(":")
    given = {"device": None if device == "auto" else device, "dtype": dtype}
    prompted = words is not None and any(words.prompts.values())
    if name not in CLASSIFIERS and (name in ENCODERS or prompted):
        if not prompted:
            raise InputError(
                f"'{name}' is an encoder, and no classifier.",
                "Give words for every class: a section of the vocabulary named as the label column, with prompts.",
                value=ref,
            )
        return _zero_shot(ref, words, preprocessing, device, dtype)
    loader = CLASSIFIERS.load(name)
    taken = preprocessing is not None and "preprocessing" in signature(loader).parameters
    try:
        found = loading.called(loader, argument, {**given, **({"preprocessing": preprocessing} if taken else {})})
        check_classifier(found, ref)
    except InputError:
        if not (prompted and name in ENCODERS):
            raise
        return _zero_shot(ref, words, preprocessing, device, dtype)
    return found if preprocessing is None or taken else prepared_by(found, preprocessing)


def prepared_by(model: Any, preprocessing: str | Path | Mapping[str, Any] | Preprocessing) -> Any:
    """Return a model behind another preprocessing; InputError if it takes none."""
    turn = getattr(model, "with_preprocessing", None)
    if turn is None:
        raise InputError(
            f"'{getattr(model, 'name', model)}' takes no other preprocessing: it has no with_preprocessing.",
            "Leave the preprocessing out, or give the model that method.",
            value=getattr(model, "name", None),
        )
    return turn(read_preprocessing(preprocessing))


def _zero_shot(ref: str, words: Any, preprocessing: Any, device: str, dtype: str | None) -> Classifier:
    from equipoise.models.zero_shot import ZeroShot

    options = {"device": device, "dtype": dtype} if device != "auto" or dtype is not None else {}
    encoder = load_encoder(ref, preprocessing=preprocessing, **options)
    return ZeroShot.from_attribute(getattr(encoder, "live", encoder), words)


def check_classifier(found: Any, ref: str) -> None:
    """Raise InputError where something is no classifier, saying what it lacks."""
    missing = [
        need for need in ("name", "labels", "preprocessing", "fingerprint", "scores") if not hasattr(found, need)
    ]
    if missing:
        raise InputError(
            f"'{ref}' gives a {type(found).__name__}, which is no classifier: it has no {listed(missing)}.",
            "A classifier has name, labels, preprocessing, fingerprint and scores.",
            value=ref,
        )
    from equipoise.models.classifier import checked_labels

    checked_labels(found.labels, found.name)
    if not isinstance(found.preprocessing, Preprocessing):
        raise InputError(
            f"The preprocessing of '{found.name}' is a {type(found.preprocessing).__name__}.",
            "Make it with equipoise.models.preprocessing.read_preprocessing.",
            value=ref,
        )
