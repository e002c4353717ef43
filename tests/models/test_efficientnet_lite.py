"""EfficientNet-Lite0 as a classifier. Skipped without the extra ``demo``; accuracy needs the shared data."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from shared_data import DATA

from equipoise.errors import InputError
from equipoise.models import efficientnet_lite
from equipoise.models.efficientnet_lite import NEEDS, imagenet_classes
from equipoise.models.guard import asked
from equipoise.models.preprocessing import named
from equipoise.models.references import load_classifier
from equipoise.testing import check_classifier

PHOTOGRAPHS = DATA / "imagenet_samples_1000"
torch_there = pytest.mark.skipif(
    any(efficientnet_lite.find_spec(name) is None for name in NEEDS), reason="the extra demo is not installed"
)


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("efficientnet-lite0")


@torch_there
def test_it_keeps_the_contract(classifier):
    assert "scores_batches" in check_classifier(classifier)
    assert classifier.notes == ()
    assert classifier.preprocessing == named("efficientnet-lite")
    assert classifier.card == {"accuracy": 0.751, "n": 50000}


def test_classes_are_those_of_imagenet():
    ids, names = zip(*imagenet_classes(), strict=True)
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    assert [names[place] for place in (0, 134, 517, 999)] == ["tench", "crane", "crane", "toilet tissue"]
    assert len(set(names)) == 998


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the ImageNet photographs are not here (EQUIPOISE_DATA)")
def test_names_are_those_of_the_photographs():
    stems = sorted(path.stem for path in PHOTOGRAPHS.glob("n*.JPEG"))
    plain = [f"{synset}_{name.replace(' ', '_').replace(chr(39), '').lower()}" for synset, name in imagenet_classes()]
    same = sum(a.lower().replace("'", "") == b for a, b in zip(stems, plain, strict=True))
    assert same >= 990


@torch_there
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the ImageNet photographs are not here (EQUIPOISE_DATA)")
def test_photographs_are_recognised_and_less_so_with_the_usual_mean_and_std(classifier):
    paths = sorted(PHOTOGRAPHS.glob("n*.JPEG"))[::20]
    pictures = [Image.open(path).convert("RGB") for path in paths]
    usual = classifier.with_preprocessing(named("imagenet"))
    right, wrong = (
        (asked(model, pictures).argmax(1) == np.arange(0, 1000, 20)).mean() for model in (classifier, usual)
    )
    assert right > 0.75
    assert wrong < right


@torch_there
def test_names_that_repeat_carry_their_output(classifier):
    assert (classifier.labels[134], classifier.labels[517], classifier.labels[0]) == (
        "crane #134",
        "crane #517",
        "tench",
    )


def test_wrong_use(monkeypatch):
    with pytest.raises(InputError, match="takes nothing after a colon"):
        load_classifier("efficientnet-lite0:x")
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs torch, .*pip install 'equipoise\[demo\]'"):
        load_classifier("efficientnet-lite0")
