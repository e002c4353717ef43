"""Contract checks of an encoder, for ours and for plug-ins: what embed, audit and the store take for granted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from equipoise.checks import CheckFailed
from equipoise.checks.cases import need
from equipoise.checks.pictures import (
    LONG_TEXT,
    ODD_TEXTS,
    TEXTS,
    alike,
    answers,
    floats,
    fresh,
    pictures,
    run_checks,
    said,
    survives,
)
from equipoise.models.preprocessing import Preprocessing
from equipoise.protocols import Encoder

FRESH = """
import json, sys
from equipoise.models.references import load_encoder
encoder = load_encoder(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps([encoder.fingerprint, encoder.encode_text(texts).tolist() if texts else []], sort_keys=True))
"""


@dataclass(frozen=True)
class Subject:
    """An encoder under test, the texts to ask it, and the reference that loads it again."""

    encoder: Any
    texts: tuple[str, ...]
    ref: str | None


def check_encoder(
    encoder: Encoder,
    *,
    texts: Sequence[str] = TEXTS,
    ref: str | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Run every contract check on an encoder.

    Parameters
    ----------
    encoder : Encoder
    texts : sequence of str, optional
        Five or so texts to ask, all different; for an encoder that knows only some.
    ref : str, optional
        Its reference: it is then also loaded in a fresh process, where fingerprint and vectors must be the same.
    expected_failures : mapping of str to str, optional
        Name of a check to the reason why this encoder need not pass it. A check that is expected to fail and passes is a
        failure too, so that the list stays true.

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
    >>> from equipoise import load_encoder
    >>> check_encoder(load_encoder("py:my_package.model:make"))  # doctest: +SKIP
    ('description', 'fingerprint', ...)
    """
    checks = dict(CHECKS)
    if ref is not None:
        checks["fresh"] = check_fresh
    called = getattr(encoder, "name", type(encoder).__name__)
    return run_checks(f"encoder '{called}'", checks, Subject(encoder, tuple(texts), ref), expected_failures)


def check_description(subject: Subject) -> None:
    """Require name, width, and all methods."""
    encoder = subject.encoder
    need(isinstance(encoder, Encoder), f"{type(encoder).__name__} lacks something of the protocol Encoder")
    need(isinstance(encoder.name, str) and encoder.name.strip(), f"name is {encoder.name!r}")
    good = isinstance(encoder.dim, int) and not isinstance(encoder.dim, bool) and encoder.dim > 0
    need(good, f"dim is {encoder.dim!r}")
    notes = getattr(encoder, "notes", ())
    need(isinstance(notes, tuple) and all(isinstance(note, str) and note for note in notes), f"notes is {notes!r}")


def check_fingerprint(subject: Subject) -> None:
    """Require a fingerprint of JSON values that neither looking at it nor using the encoder changes."""
    before = said(subject.encoder)
    survives(lambda: subject.encoder.encode_text(list(subject.texts[:1])), "a text")
    need(said(subject.encoder) == before, "fingerprint changes when the encoder is used")


def check_preprocessing(subject: Subject) -> None:
    """Require a Preprocessing that its fingerprint names, or none; embeddings that exist already have a record of theirs."""
    found = getattr(subject.encoder, "preprocessing", None)
    if found is None:
        return
    if hasattr(subject.encoder, "image_arrays"):
        need(isinstance(found, dict), f"preprocessing is a {type(found).__name__}; of stored embeddings it is a record")
        json.dumps(found, allow_nan=False)
        return
    need(isinstance(found, Preprocessing), f"preprocessing is a {type(found).__name__}, not a Preprocessing")
    need(Preprocessing.from_dict(found.to_dict()) == found, "preprocessing does not come back from its description")
    for picture in pictures():
        made = found.picture(picture)
        need(made.dtype == np.uint8 and made.shape == (*found.size, 3), f"a picture becomes {made.dtype} {made.shape}")
    need("preprocessing" in subject.encoder.fingerprint, "fingerprint does not say the preprocessing")
    if hasattr(subject.encoder, "with_preprocessing"):
        other = found.with_(resize="none", resize_to=None)
        survivor = survives(lambda: subject.encoder.with_preprocessing(other), "another preprocessing")
        if survivor is not None and other != found:
            need(survivor.preprocessing == other, "with_preprocessing keeps the old one")
            need(survivor.fingerprint != subject.encoder.fingerprint, "another preprocessing has the same fingerprint")
            need(subject.encoder.preprocessing == found, "with_preprocessing changes the encoder itself")


def check_texts(subject: Subject, parts: tuple[str, ...]) -> None:
    """Require parts of the contract of answers to texts."""
    encoder = subject.encoder
    answers(encoder.encode_text, list(subject.texts), encoder.dim, "text", encoder, parts)


def check_text_inputs(subject: Subject) -> None:
    """Require that a list of texts stays as it is, and that a tuple does as well."""
    given = list(subject.texts)
    first = subject.encoder.encode_text(given)
    need(given == list(subject.texts), "encode_text changes the list it is given")
    alike(subject.encoder.encode_text(tuple(given)), first, "a tuple instead of a list", subject.encoder)


def check_text_directions(subject: Subject) -> None:
    """Require vectors with a direction."""
    lengths = np.linalg.norm(subject.encoder.encode_text(list(subject.texts)), axis=1)
    need((lengths > 0).all(), "the vector of a text has length 0")


def check_odd_texts(subject: Subject) -> None:
    """Require that empty, right-to-left, combined and braced texts are embedded, or refused with a reason."""
    encoder = subject.encoder
    for text in ODD_TEXTS:
        found = survives(lambda text=text: encoder.encode_text([text]), repr(text))
        if found is not None:
            floats(found, 1, encoder.dim, repr(text))
    taken = [text for text in ODD_TEXTS if survives(lambda text=text: encoder.encode_text([text]), text) is not None]
    need(taken, "none of the unusual texts is embedded")
    floats(encoder.encode_text(taken), len(taken), encoder.dim, "unusual texts together")


def check_long_text(subject: Subject) -> None:
    """Require that a long text is embedded alone and beside short ones, which do not feel it; and is said to be cut."""
    encoder = subject.encoder
    short = list(subject.texts[:2])
    alone = floats(encoder.encode_text(short), 2, encoder.dim, "2 texts")
    floats(encoder.encode_text([LONG_TEXT]), 1, encoder.dim, "a long text")
    beside = floats(encoder.encode_text([short[0], LONG_TEXT, short[1]]), 3, encoder.dim, "texts beside a long one")
    alike(beside[[0, 2]], alone, "a text beside a long one", encoder)
    if hasattr(encoder, "truncated"):
        cut = encoder.truncated([short[0], LONG_TEXT])
        need(isinstance(cut, list) and len(cut) == 2, f"truncated gives {cut!r} for 2 texts")
        need(all(isinstance(one, (bool, np.bool_)) for one in cut), f"truncated gives {cut!r}, not booleans")
        need(not cut[0], f"truncated says that {short[0]!r} is cut")


def _prepared(encoder: Any, repeat: int = 1) -> Any:
    """Return made-up pictures as the encoder takes them."""
    made = pictures() * repeat
    preprocessing = getattr(encoder, "preprocessing", None)
    if not isinstance(preprocessing, Preprocessing):
        return made
    return np.stack([preprocessing.picture(picture) for picture in made])


def check_pictures(subject: Subject, parts: tuple[str, ...]) -> None:
    """Require parts of the contract of answers to pictures."""
    encoder = subject.encoder
    answers(encoder.encode_image, _prepared(encoder), encoder.dim, "picture", encoder, parts)


def check_picture_inputs(subject: Subject) -> None:
    """Require that pictures stay as they are, and that read-only and strided pixels do as well."""
    encoder = subject.encoder
    given, kept = _prepared(encoder), _prepared(encoder)
    if not isinstance(given, np.ndarray):
        encoder.encode_image(given)
        same = len(given) == len(kept) and all(a.tobytes() == b.tobytes() for a, b in zip(given, kept, strict=True))
        need(same, "encode_image changes the pictures it is given")
        return
    given.setflags(write=False)
    found = encoder.encode_image(given)
    need(np.array_equal(given, kept), "encode_image changes the pixels it is given")
    alike(encoder.encode_image(np.repeat(kept, 2, axis=0)[::2]), found, "pixels with other strides", encoder)


def check_picture_directions(subject: Subject) -> None:
    """Require vectors with a direction."""
    lengths = np.linalg.norm(subject.encoder.encode_image(_prepared(subject.encoder)), axis=1)
    need((lengths > 0).all(), "the vector of a picture has length 0")


def check_fresh(subject: Subject) -> None:
    """Require the same fingerprint, and the same vectors of texts, of the reference in a fresh process."""
    here = survives(lambda: subject.encoder.encode_text(list(subject.texts)), "texts")
    line = fresh(FRESH, str(subject.ref), json.dumps(list(subject.texts) if here is not None else []))
    try:
        fingerprint, vectors = json.loads(line)
    except ValueError as error:
        raise CheckFailed(f"a fresh process prints {line[:200]!r}") from error
    need(fingerprint == subject.encoder.fingerprint, f"in a fresh process the fingerprint is {fingerprint}")
    if here is not None:
        alike(np.array(vectors, np.float32), here, "texts in a fresh process", subject.encoder)


PARTS = ("shape", "repeatable", "batches", "order", "duplicates", "distinct", "empty", "own")

CHECKS: dict[str, Callable[[Subject], None]] = {
    "description": check_description,
    "fingerprint": check_fingerprint,
    "preprocessing": check_preprocessing,
    **{f"text_{part}": partial(check_texts, parts=(part,)) for part in PARTS},
    "text_inputs": check_text_inputs,
    "text_directions": check_text_directions,
    "odd_texts": check_odd_texts,
    "long_text": check_long_text,
    **{f"picture_{part}": partial(check_pictures, parts=(part,)) for part in PARTS},
    "picture_inputs": check_picture_inputs,
    "picture_directions": check_picture_directions,
}
"""Every check by its name; ``fresh`` is added where a reference is given."""

PICTURES_ONLY = dict.fromkeys(
    (*(f"text_{part}" for part in PARTS), "text_inputs", "text_directions", "odd_texts", "long_text"), "it has no words"
)
"""What an encoder without a text tower need not pass; its ``encode_text`` raises an InputError that says so."""
