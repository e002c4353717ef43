"""Somebody's own network: ``py:package.module:factory`` calls the factory and asks what it returns.

An object with ``encode_image`` and ``encode_text`` is an encoder, one with ``scores`` a classifier. What it does not say of
itself (name, width, fingerprint) is filled in here, so that a few lines are enough. It runs the user's code: nothing is
ever loaded this way unless a person names it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.data.model_output import answer, checked
from equipoise.errors import EquipoiseError, InputError, listed
from equipoise.models.classifier import checked_card, checked_labels
from equipoise.models.preprocessing import Preprocessing, read_preprocessing

ENCODER, CLASSIFIER = ("encode_image", "encode_text"), ("scores", "labels")
PASSED_ON = frozenset({"truncated", "max_text_length", "batch_size"})
"""What an object may have beside its duties, and callers may use."""


class PythonModel:
    """What encoders and classifiers of a factory share.

    Attributes
    ----------
    model : object
        What the factory returned.
    ref, name : str
        The name is the object's own, else the reference.
    fingerprint : dict
        ``kind``, ``ref``, ``source`` (SHA-256 of the file that defines the factory), ``model`` (what the object says of
        itself), ``preprocessing``.
    notes : tuple of str
    """

    def __init__(self, model: Any, ref: str, source: str, preprocessing: Preprocessing | None) -> None:
        self.model, self.ref, self.source = model, ref, source
        self.name = str(getattr(model, "name", None) or ref)
        own = getattr(model, "fingerprint", None)
        self.fingerprint: dict[str, Any] = {"kind": "py", "ref": ref, "source": source}
        self.notes: tuple[str, ...] = tuple(str(note) for note in getattr(model, "notes", ()))
        if own is not None:
            self.fingerprint["model"] = _json(own, ref)
        else:
            self.notes += (
                f"'{self.name}' has no fingerprint: a change of its weights is not noticed, only one of its source.",
            )
        if preprocessing is not None:
            self.preprocessing = preprocessing
            self.fingerprint["preprocessing"] = preprocessing.to_dict()

    def __getattr__(self, key: str) -> Any:
        if key in PASSED_ON:
            return getattr(self.model, key)
        raise AttributeError(f"'{type(self).__name__}' has no attribute '{key}'")

    def with_preprocessing(self, preprocessing: Preprocessing) -> Any:
        """Return the same model behind another preprocessing.

        Raises
        ------
        InputError
            If mean or std change, which the object applies itself, and it has no ``with_preprocessing``.
        """
        change = getattr(self.model, "with_preprocessing", None)
        if change is not None:
            model = _call(lambda: change(preprocessing), f"with_preprocessing of '{self.ref}' failed")
            return type(self)(model, self.ref, self.source, preprocessing)
        own = getattr(self, "preprocessing", None)
        if own is None or (own.mean, own.std) != (preprocessing.mean, preprocessing.std):
            raise InputError(
                f"'{self.ref}' normalises pictures itself; its preprocessing cannot be changed from outside.",
                "Give the object a method with_preprocessing(preprocessing) that returns the changed model.",
                value=str(preprocessing),
            )
        return type(self)(self.model, self.ref, self.source, preprocessing)


class PythonEncoder(PythonModel):
    """An encoder from a factory.

    Attributes
    ----------
    dim : int
        The object's own, else the width of the answer to one text, or to one picture where it has no words.
    preprocessing : Preprocessing
        Only where the object has one: ``encode_image`` then gets (n, h, w, 3) uint8, otherwise a list of PIL RGB pictures.
    """

    def __init__(self, model: Any, ref: str, source: str, preprocessing: Preprocessing | None) -> None:
        super().__init__(model, ref, source, preprocessing)
        self.dim = _width(model, ref, preprocessing)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32; EmbeddingError names the encoder where the object fails or answers something else."""
        return self._encoded(self.model.encode_text, list(texts), "text")

    def encode_image(self, images: Any) -> NDArray[np.float32]:
        """Return (n, d) float32 of (n, h, w, 3) uint8 pixels or of PIL pictures; EmbeddingError as for texts."""
        return self._encoded(self.model.encode_image, images, "picture")

    def _encoded(self, ask: Callable[[Any], Any], items: Any, noun: str) -> NDArray[np.float32]:
        if not len(items):
            return np.empty((0, self.dim), np.float32)
        found = answer(self, ask, items, noun)
        # NaN and infinity are named by whoever knows the pictures' ids
        return checked(found, len(items), self.dim, f"Encoder '{self.name}'", noun, finite=noun != "picture")


class PythonClassifier(PythonModel):
    """A classifier from a factory; it must say its labels and its preprocessing.

    Attributes
    ----------
    labels : tuple of str
    card : dict
    """

    preprocessing: Preprocessing

    def __init__(self, model: Any, ref: str, source: str, preprocessing: Preprocessing) -> None:
        super().__init__(model, ref, source, preprocessing)
        self.labels = checked_labels(model.labels, self.name)
        self.card = checked_card(getattr(model, "card", None) or {})
        self.fingerprint["labels"] = list(self.labels)

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) pixels in [0, 1]; EmbeddingError names the classifier."""
        width = len(self.labels)
        if not len(pixels):
            return np.empty((0, width), np.float32)
        found = answer(self, self.model.scores, pixels, "picture")
        return checked(found, len(pixels), width, f"Classifier '{self.name}'", "picture")


def load(argument: str, preprocessing: Any = None) -> PythonEncoder:
    """Return the encoder of ``py:package.module:factory``.

    Parameters
    ----------
    argument : str
        ``package.module:factory``; the working directory can be imported from.
    preprocessing : str, path, mapping or Preprocessing, optional
        Instead of the object's own.

    Raises
    ------
    InputError
        If the module cannot be imported, the factory fails (with the last line of its traceback), or what it returns is
        no encoder.
    """
    model, source = _made(argument, ENCODER, "encoder")
    own = _own_preprocessing(model, argument)
    encoder = PythonEncoder(model, f"py:{argument}", source, own)
    return encoder if preprocessing is None else encoder.with_preprocessing(read_preprocessing(preprocessing))


def load_classifier(argument: str, preprocessing: Any = None) -> PythonClassifier:
    """Return the classifier of ``py:package.module:factory``; as :func:`load`.

    An object without ``preprocessing`` takes the one that is given here, and normalises by it itself.
    """
    model, source = _made(argument, CLASSIFIER, "classifier")
    own = _own_preprocessing(model, argument)
    given = None if preprocessing is None else read_preprocessing(preprocessing)
    if own is None and given is None:
        raise InputError(
            f"The classifier of 'py:{argument}' does not say how pictures are prepared for it.",
            "Give the object `preprocessing`, as 'imagenet', or name one (--preprocess).",
            value=argument,
        )
    classifier = PythonClassifier(model, f"py:{argument}", source, own or given)  # type: ignore[arg-type]
    return classifier if own is None or given is None else classifier.with_preprocessing(given)


# ----------------------------------------------------------------------------------------------------------- factory


def _made(argument: str, needs: Sequence[str], kind: str) -> tuple[Any, str]:
    """Return what the factory gives and the SHA-256 of the file that defines it."""
    module_name, colon, path = argument.partition(":")
    parts = [*module_name.split("."), *path.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise InputError(
            f"'py:{argument}' names no factory.",
            "Write py:package.module:factory, the module as in an import and not as a file.",
            value=argument,
        )
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` would
    module = _call(lambda: importlib.import_module(module_name), f"'py:{argument}': {module_name} cannot be imported")
    try:
        factory = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        public = [name for name in dir(module) if not name.startswith("_") and callable(getattr(module, name))]
        raise InputError(
            f"'py:{argument}': {module_name} has no '{path}'.", f"It has {listed(public) or 'nothing to call'}.",
            value=argument,
        ) from error  # fmt: skip
    if not callable(factory):
        raise InputError(
            f"'py:{argument}': '{path}' is a {type(factory).__name__} and cannot be called.",
            "Name a function or class that takes nothing and gives the model.",
            value=argument,
        )
    model = _call(factory, f"'py:{argument}': calling {path}() failed")
    missing = [name for name in needs if not hasattr(model, name)]
    if missing or isinstance(model, type):
        found = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        other = CLASSIFIER if kind == "encoder" else ENCODER
        hint = ""
        if missing and all(hasattr(model, name) for name in other):
            hint = f" It is {'a classifier' if kind == 'encoder' else 'an encoder'}."
        raise InputError(
            f"'py:{argument}' gives {found}, which is no {kind}{f': it has no {listed(missing)}' if missing else ''}.{hint}",
            f"An object with {' and '.join(needs)} is one.",
            value=argument,
        )
    home = sys.modules.get(str(getattr(factory, "__module__", "")), module)
    file = getattr(home, "__file__", None) or getattr(module, "__file__", None)
    return model, sha256_of(file) if file and Path(file).is_file() else ""


def _call(run: Callable[[], Any], what: str) -> Any:
    """Return what somebody's code gives; its failure is an InputError with the last line of the traceback."""
    try:
        return run()
    except (KeyboardInterrupt, MemoryError, EquipoiseError):
        raise
    except (Exception, SystemExit) as error:
        last = traceback.format_exception_only(error)[-1].strip()
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ours(frame.filename)]
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        remedy = "Mend that code, or run from the folder that holds it."
        raise InputError(f"{what}: {last}{place}.", remedy, value=last) from error


def _ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib") or filename == importlib.__file__


def _own_preprocessing(model: Any, argument: str) -> Preprocessing | None:
    own = getattr(model, "preprocessing", None)
    if own is None:
        return None
    try:
        return read_preprocessing(own)
    except InputError as error:
        raise InputError(f"The preprocessing of 'py:{argument}': {error.what}", error.remedy, value=argument) from error
    except TypeError as error:
        raise InputError(
            f"The preprocessing of 'py:{argument}' is a {type(own).__name__}.",
            "Give a Preprocessing, its name, or its fields.",
            value=argument,
        ) from error


def _width(model: Any, ref: str, preprocessing: Preprocessing | None) -> int:
    """Return the object's ``dim``, or find it with one call."""
    dim = getattr(model, "dim", None)
    if dim is None:
        try:
            found = np.asarray(model.encode_text(["a photo"]))
        except Exception:
            found = np.asarray(
                _call(lambda: model.encode_image(_grey(preprocessing)), f"'{ref}' cannot embed a picture")
            )
        if found.ndim != 2 or len(found) != 1 or not found.shape[1]:
            raise InputError(
                f"'{ref}' gave the shape {found.shape} for one item.", "Return (n, d) arrays.", value=list(found.shape)
            )
        return int(found.shape[1])
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or dim < 1:
        raise InputError(f"'{ref}' has dim = {dim!r}.", "It is the width of its vectors.", value=repr(dim))
    return int(dim)


def _grey(preprocessing: Preprocessing | None) -> Any:
    from PIL import Image

    image = Image.new("RGB", (64, 64), (127, 127, 127))
    return [image] if preprocessing is None else preprocessing.picture(image)[None]


def _json(value: Any, ref: str) -> Any:
    """Return a fingerprint as the JSON values that it will be compared as."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"The fingerprint of '{ref}' is not JSON: {error}.",
            "Use text, finite numbers, lists and objects.",
            value=ref,
        ) from error
