"""Classifiers: any torch module that scores pictures, behind one protocol; and the checks that all classifiers pass.

``scores`` takes pixels in [0, 1] and normalises them itself, so that probes and corruptions change what a person would
see. torch is imported when a module is scored, never by this file.

Notation: n pictures, L labels, h rows, w columns.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError, listed
from equipoise.models.preprocessing import Preprocessing, check_unit, read_preprocessing

CARD = ("accuracy", "n", "dataset")


@dataclass(frozen=True)
class TorchClassifier:
    """A torch module with what its scores mean; made by :func:`torch_classifier`.

    Attributes
    ----------
    module : torch.nn.Module
        Takes (n, 3, h, w) normalised pixels; its weights and its mode are as they were after every call.
    labels : tuple of str
    preprocessing : Preprocessing
    name : str
    drop : tuple of int
        Outputs that are left out, as a background class.
    card : dict
        What the makers say: ``accuracy`` in [0, 1], ``n``, the rows behind it, and ``dataset``, its name.
    notes : tuple of str
    """

    module: Any
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    name: str
    drop: tuple[int, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the scores; the SHA-256 is that of the weights as they are now."""
        import torch

        return {
            "kind": f"torch:{type(self.module).__name__}",
            "weights": weights_sha256(self.module),
            "preprocessing": self.preprocessing.to_dict(),
            "dtype": str(_first(self.module)[1]).removeprefix("torch."),
            "drop": list(self.drop),
            "versions": {"torch": str(torch.__version__)},
        }

    def with_preprocessing(self, preprocessing: Preprocessing) -> TorchClassifier:
        """Return the same module behind another preprocessing."""
        return replace(self, preprocessing=preprocessing)

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits of (n, 3, h, w) float32 pixels in [0, 1].

        Raises
        ------
        InputError
            If the pixels are not in [0, 1], or the module gives another number of scores than there are labels.
        """
        import torch

        pixels = np.asarray(pixels)
        check_pixels(pixels)
        if not len(pixels):
            return np.empty((0, len(self.labels)), np.float32)
        device, dtype = _first(self.module)
        x = torch.from_numpy(self.preprocessing.normalised(pixels)).to(device=device, dtype=dtype)
        with _evaluating(self.module), torch.inference_mode():
            out = _logits(self.module(x), self.name)
        return fitted_scores(out.to(torch.float32).cpu().numpy(), len(pixels), self.labels, self.name, self.drop)


def torch_classifier(
    module: Any,
    labels: Sequence[str],
    preprocessing: str | Mapping[str, Any] | Preprocessing,
    *,
    name: str | None = None,
    drop: Sequence[int] = (),
    card: Mapping[str, Any] | None = None,
) -> TorchClassifier:
    """Make a classifier of any torch module.

    Parameters
    ----------
    module : torch.nn.Module
        Its call takes (n, 3, h, w) floats, normalised, and gives (n, L) logits: a tensor, or an object or mapping with
        ``logits``. A module with one output and two labels gives the logit of the second label. It stays on its device
        and in its mode; scoring is done in evaluation mode without gradients.
    labels : sequence of str
        Names of the outputs in their order, after ``drop``; no two alike (see :func:`distinct_labels`).
    preprocessing : str, path, mapping or Preprocessing
        What the weights were trained with, as ``"imagenet"``; a wrong one costs accuracy in silence.
    name : str, optional
        What messages call it; the name of the module's class unless given.
    drop : sequence of int, optional
        Outputs to leave out, as ``[0]`` for a background class.
    card : mapping, optional
        What the makers say of it, as ``{"accuracy": 0.751, "n": 50000}``: an audit warns when it does far worse.

    Returns
    -------
    TorchClassifier

    Raises
    ------
    InputError
        If it is no module, or labels, ``drop`` or ``card`` cannot be used.

    Examples
    --------
    >>> model = torch_classifier(net, ["cat", "dog"], "imagenet")  # doctest: +SKIP
    >>> model.scores(pixels).shape  # doctest: +SKIP
    (8, 2)
    """
    if not all(hasattr(module, need) for need in ("__call__", "state_dict", "modules", "parameters")):
        raise InputError(f"A {type(module).__name__} is no torch module.", "Give a torch.nn.Module.", value=module)
    called = name or type(module).__name__
    for place in drop:
        if isinstance(place, bool) or not isinstance(place, (int, np.integer)) or place < 0:
            raise InputError(f"The output to drop is {place!r}.", "Give whole numbers of 0 or more.", value=place)
    from equipoise.models.untrained import untrained

    looks = untrained(module.state_dict())
    return TorchClassifier(
        module, checked_labels(labels, called), read_preprocessing(preprocessing), called,
        tuple(sorted({int(place) for place in drop})), checked_card(card or {}), (looks,) if looks else (),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ checks


def checked_labels(labels: Sequence[str], name: str) -> tuple[str, ...]:
    """Return labels as a tuple; InputError if there are fewer than two, one is empty or no text, or two are alike."""
    if isinstance(labels, str):
        raise InputError(f"The labels of '{name}' are one text: '{labels}'.", "Give a list of names.", value=labels)
    found = tuple(labels)
    if len(found) < 2:
        raise InputError(f"'{name}' has {len(found)} labels.", "A classifier chooses between two or more.", value=found)
    for place, label in enumerate(found):
        if not isinstance(label, str) or not label.strip():
            raise InputError(
                f"Label {place} of '{name}' is {label!r}.", "A label is a text that is not empty.", value=label
            )
    if len(set(found)) < len(found):
        twice = next(label for label, count in Counter(found).items() if count > 1)
        places = [place for place, label in enumerate(found) if label == twice]
        raise InputError(
            f"'{name}' has the label '{twice}' {len(places)} times (outputs {listed(places)}).",
            "Give every output a name of its own; `distinct_labels` numbers those that repeat.",
            value=twice,
        )
    return found


def distinct_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels with the number of the output behind those that repeat.

    The published names of ImageNet-1k hold "crane" twice, a bird and a machine: they become ``crane #134`` and
    ``crane #517``, and ``classes={"crane #134": "crane", ...}`` joins what is meant to be one.
    """
    often = Counter(labels)
    return tuple(f"{label} #{place}" if often[label] > 1 else label for place, label in enumerate(labels))


def checked_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card: ``accuracy`` in [0, 1], ``n`` and ``dataset``, each of which may be absent.

    Raises
    ------
    InputError
        If it has another key, or an accuracy outside [0, 1] (75 is meant as 0.75).
    """
    found: dict[str, Any] = {}
    for key, value in card.items():
        if key not in CARD:
            raise InputError(f"A card has no '{key}'.", "It has accuracy, n and dataset: accuracy=0.75.", value=key)
        if key == "dataset":
            found[key] = str(value)
            continue
        good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (good and (0 <= value <= 1 if key == "accuracy" else value >= 1)):
            raise InputError(
                f"The card's {key} is {value!r}.", "An accuracy is a share in [0, 1], n a count of rows.", value=value
            )
        found[key] = float(value)
    return found


def check_pixels(pixels: NDArray[Any]) -> None:
    """Refuse pixels that are not (n, 3, h, w) floats in [0, 1], as those that were normalised already."""
    if pixels.ndim == 4 and pixels.dtype.kind == "f" and pixels.size:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            raise InputError(
                f"Pixels must lie in [0, 1] before normalisation; found {low:.4g} to {high:.4g}.",
                "Pass them unnormalised: the classifier normalises with its own mean and std.",
                value=[low, high],
            )
    check_unit(pixels)


def fitted_scores(
    out: NDArray[Any], rows: int, labels: Sequence[str], name: str, drop: Sequence[int] = ()
) -> NDArray[np.float32]:
    """Return (n, L) float32 scores of a network's output, without the dropped columns.

    Raises
    ------
    InputError
        If it is not one row a picture and one column a label; the message says what may be meant.
    """
    if out.ndim == 1 and len(out) == rows and len(labels) == 2:
        out = out[:, None]
    if out.ndim != 2 or len(out) != rows:
        raise InputError(
            f"'{name}' gave scores of the shape {tuple(out.shape)} for {rows} pictures.",
            "A classifier gives a row a picture and a column a label.",
            value=list(out.shape),
        )
    width = out.shape[1]
    if drop:
        if max(drop) >= width:
            raise InputError(
                f"'{name}' has {width} outputs, and output {max(drop)} is to be dropped.", "Count from 0.", value=width
            )
        out = np.delete(out, list(drop), axis=1)
    if out.shape[1] == 1 and len(labels) == 2:
        out = np.concatenate([np.zeros_like(out), out], axis=1)
    if out.shape[1] != len(labels):
        extra = out.shape[1] - len(labels)
        raise InputError(
            f"'{name}' has {width} outputs{f', {len(drop)} of them dropped,' if drop else ''} and {len(labels)} labels.",
            "If the first is 'background', pass drop=[0]." if extra == 1 else "Name every output, in order.",
            value=width,
        )
    return np.ascontiguousarray(out, np.float32)


# ------------------------------------------------------------------------------------------------------------- torch


def weights_sha256(module: Any) -> str:
    """Return a SHA-256 of a module's state: names, types, shapes and bytes, in the order of the names."""
    import torch

    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            found.update(f"{name} {value!r}\n".encode())
            continue
        plain = value.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _first(module: Any) -> tuple[Any, Any]:
    """Return device and dtype of a module's first floating weight; the CPU and float32 where it has none."""
    import torch

    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            return value.device, value.dtype
    return torch.device("cpu"), torch.float32


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Score in evaluation mode while the block lasts; every part then has the mode that it had."""
    training = [part for part in module.modules() if part.training]
    if training:
        module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _logits(out: Any, name: str) -> Any:
    import torch

    found = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", out)
    if not isinstance(found, torch.Tensor):
        raise InputError(
            f"'{name}' gave a {type(out).__name__}, and no logits.",
            "Its call returns a tensor, or something with `logits`; wrap it in a module that does.",
            value=type(out).__name__,
        )
    return found
