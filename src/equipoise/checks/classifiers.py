"""Contract checks of a classifier, for ours and for plug-ins: what predict and audit take for granted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.checks.cases import need
from equipoise.checks.pictures import alike, answers, fresh, pictures, run_checks, said, survives
from equipoise.models.preprocessing import Preprocessing, unit_pixels
from equipoise.protocols import Classifier

FRESH = """
import json, sys
from equipoise.models.references import load_classifier
classifier = load_classifier(sys.argv[1])
print(json.dumps([classifier.fingerprint, list(classifier.labels)], sort_keys=True))
"""


def check_classifier(
    classifier: Classifier, *, ref: str | None = None, expected_failures: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Run every contract check on a classifier.

    Parameters
    ----------
    classifier : Classifier
    ref : str, optional
        Its reference: it is then also loaded in a fresh process, where fingerprint and labels must be the same.
    expected_failures : mapping of str to str, optional
        Name of a check to the reason why this classifier need not pass it. A check that is expected to fail and passes is
        a failure too, so that the list stays true.

    Returns
    -------
    tuple of str
        The checks that passed.

    Raises
    ------
    CheckFailed
        With one line for each check that failed: its name and what was seen.

    Examples
    --------
    >>> from equipoise import load_classifier
    >>> check_classifier(load_classifier("py:my_package.model:make"))  # doctest: +SKIP
    ('description', 'fingerprint', ...)
    """
    checks = dict(CHECKS)
    if ref is not None:
        checks["fresh"] = partial(check_fresh, ref=ref)
    called = getattr(classifier, "name", type(classifier).__name__)
    return run_checks(f"classifier '{called}'", checks, classifier, expected_failures)


def check_description(classifier: Any) -> None:
    """Require name, labels, and all methods."""
    need(isinstance(classifier, Classifier), f"{type(classifier).__name__} lacks something of the protocol Classifier")
    need(isinstance(classifier.name, str) and classifier.name.strip(), f"name is {classifier.name!r}")
    labels = classifier.labels
    need(isinstance(labels, tuple) and len(labels) >= 2, f"labels is {labels!r}, not a tuple of two or more")
    need(all(isinstance(label, str) and label.strip() for label in labels), f"labels is {labels!r}: not all are texts")
    need(len(set(labels)) == len(labels), "two labels are alike")
    card, notes = getattr(classifier, "card", {}), getattr(classifier, "notes", ())
    need(isinstance(card, dict) and set(card) <= {"accuracy", "n"}, f"card is {card!r}")
    need(isinstance(notes, tuple) and all(isinstance(note, str) and note for note in notes), f"notes is {notes!r}")


def check_fingerprint(classifier: Any) -> None:
    """Require a fingerprint of JSON values that neither looking at it nor using the classifier changes."""
    before = said(classifier)
    classifier.scores(_pixels(classifier)[:1])
    need(said(classifier) == before, "fingerprint changes when the classifier is used")


def check_preprocessing(classifier: Any) -> None:
    """Require a Preprocessing that the fingerprint follows."""
    found = classifier.preprocessing
    need(isinstance(found, Preprocessing), f"preprocessing is a {type(found).__name__}, not a Preprocessing")
    need(Preprocessing.from_dict(found.to_dict()) == found, "preprocessing does not come back from its description")
    if not hasattr(classifier, "with_preprocessing"):
        return
    other = found.with_(resize="none", resize_to=None)
    changed = survives(lambda: classifier.with_preprocessing(other), "another preprocessing")
    if changed is not None and other != found:
        need(changed.preprocessing == other, "with_preprocessing keeps the old one")
        need(changed.fingerprint != classifier.fingerprint, "another preprocessing has the same fingerprint")
        need(classifier.preprocessing == found, "with_preprocessing changes the classifier itself")
        alike(changed.scores(_pixels(classifier)), classifier.scores(_pixels(classifier)),
              "the same pixels behind another geometry", classifier)  # fmt: skip


def check_scores(classifier: Any, parts: tuple[str, ...]) -> None:
    """Require parts of the contract of answers."""
    answers(classifier.scores, _pixels(classifier), len(classifier.labels), "picture", classifier, parts)


def check_inputs(classifier: Any) -> None:
    """Require that pixels stay as they are, and that read-only and strided ones do as well."""
    given, kept = _pixels(classifier), _pixels(classifier)
    given.setflags(write=False)
    found = classifier.scores(given)
    need(np.array_equal(given, kept), "scores changes the pixels it is given")
    alike(classifier.scores(np.repeat(kept, 2, axis=0)[::2]), found, "pixels with other strides", classifier)


def check_extremes(classifier: Any) -> None:
    """Require finite scores of black, white and grey."""
    height, width = classifier.preprocessing.size
    for level in (0.0, 0.5, 1.0):
        found = classifier.scores(np.full((1, 3, height, width), level, np.float32))
        need(np.isfinite(found).all(), f"a picture of {level} everywhere gives NaN or infinity")


def check_fresh(classifier: Any, ref: str) -> None:
    """Require the same fingerprint and labels of the reference in a fresh process."""
    import json

    fingerprint, labels = json.loads(fresh(FRESH, ref))
    need(fingerprint == classifier.fingerprint, f"in a fresh process the fingerprint is {fingerprint}")
    need(tuple(labels) == classifier.labels, "in a fresh process the labels are others")


def _pixels(classifier: Any) -> NDArray[np.float32]:
    """Return made-up pictures as (n, 3, h, w) float32 in [0, 1], prepared as the classifier wants them."""
    return unit_pixels(np.stack([classifier.preprocessing.picture(picture) for picture in pictures()]))


PARTS = ("shape", "repeatable", "batches", "order", "duplicates", "distinct", "empty", "own")

CHECKS: dict[str, Callable[[Any], None]] = {
    "description": check_description,
    "fingerprint": check_fingerprint,
    "preprocessing": check_preprocessing,
    **{f"scores_{part}": partial(check_scores, parts=(part,)) for part in PARTS},
    "inputs": check_inputs,
    "extremes": check_extremes,
}
"""Every check by its name; ``fresh`` is added where a reference is given."""
