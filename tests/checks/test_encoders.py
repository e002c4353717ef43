"""check_encoder and check_classifier pass what keeps its word, and catch what is broken on purpose; a plug-in works."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import equipoise
from equipoise.checks import classifiers, encoders
from equipoise.checks.encoders import PICTURES_ONLY
from equipoise.errors import InputError
from equipoise.models import demo
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.references import load_encoder
from equipoise.testing import CheckFailed, check_classifier, check_encoder

SMALL = Preprocessing((4, 4), (0.0,) * 3, (1.0,) * 3, "exact", name="small")
LOOKED_UP = {
    "odd_texts": "only texts of its own can be looked up",
    "long_text": "only texts of its own can be looked up",
    **{name: "holds embeddings" for name in encoders.CHECKS if name.startswith("picture")},
}


class Good:
    """Byte counts of texts, pixels of pictures."""

    name = "good"
    dim = 48
    preprocessing = SMALL

    def __init__(self, preprocessing=SMALL):
        self.preprocessing = preprocessing

    @property
    def fingerprint(self):
        return {"kind": "good", "preprocessing": self.preprocessing.to_dict()}

    def encode_text(self, texts):
        counted = [
            np.bincount(np.frombuffer((text + "x").encode()[:64], np.uint8) % 48, minlength=48) for text in texts
        ]
        return np.array(counted, np.float32).reshape(len(texts), 48)

    def encode_image(self, pixels):
        return pixels.reshape(len(pixels), 48).astype(np.float32) / 255

    def truncated(self, texts):
        return [len(text.encode()) >= 64 for text in texts]

    def with_preprocessing(self, preprocessing):
        return type(self)(preprocessing)


class GoodClassifier:
    name, labels, notes = "good", ("red", "green", "blue"), ()

    def __init__(self, preprocessing=SMALL):
        self.preprocessing = preprocessing

    @property
    def fingerprint(self):
        return {"kind": "good", "preprocessing": self.preprocessing.to_dict()}

    def scores(self, pixels):
        return pixels.mean((2, 3)) + pixels.max((2, 3))

    def with_preprocessing(self, preprocessing):
        return type(self)(preprocessing)


def test_what_keeps_its_word_passes():
    assert set(check_encoder(Good())) == set(encoders.CHECKS)
    assert set(check_classifier(GoodClassifier())) == set(classifiers.CHECKS)


def test_a_folder_of_embeddings_passes_but_for_what_it_declares(tiny_precomputed):
    encoder = load_encoder(tiny_precomputed.reference)
    texts = encoder.text_vectors.texts[:5]
    passed = check_encoder(encoder, texts=texts, ref=tiny_precomputed.reference, expected_failures=LOOKED_UP)
    assert set(passed) == {*encoders.CHECKS, "fresh"} - set(LOOKED_UP)


@pytest.mark.skipif(not demo.missing_modules(), reason="the extra demo is installed: tests/models/test_demo_live.py")
def test_the_demo_without_its_towers_passes_but_for_what_it_declares():
    encoder = load_encoder("demo")
    passed = check_encoder(encoder, texts=encoder.text_vectors.texts[:5], expected_failures=LOOKED_UP)
    assert set(passed) == set(encoders.CHECKS) - set(LOOKED_UP)


def test_an_encoder_without_words_says_so():
    class Mute(Good):
        def encode_text(self, texts):
            raise InputError("It has no words.")

    assert "picture_batches" in check_encoder(Mute(), expected_failures=PICTURES_ONLY)


# ------------------------------------------------------------------------------------------------- broken on purpose


def broken(base, **parts):
    return type("Broken", (base,), parts)


def after(method, change):
    """A method whose answer is changed."""
    return lambda self, given: change(method(self, given))


TEXT, PICTURE, SCORES = Good.encode_text, Good.encode_image, GoodClassifier.scores


def float64(found):
    return found.astype(np.float64)


def minus_mean(found):
    return found - found.mean(0) if len(found) > 1 else found


def dropout(found):
    return found * (np.random.default_rng().random(found.shape) > 0.5).astype(np.float32)


def by_size(found):
    return found[np.argsort(found.sum(1), kind="stable")]


def squeezed(found):
    return found[0] if len(found) == 1 else found


def poisoned(found):
    found = found.copy()
    found[-1:, 0] = np.nan
    return found


def no_empty(self, texts):
    return np.stack([TEXT(self, [text])[0] for text in texts])


def sorts_its_list(self, texts):
    if isinstance(texts, list):
        texts.sort()
    return TEXT(self, texts)


def adds_to_its_list(self, texts):
    return TEXT(self, texts + [""])[:-1]


def feels_padding(self, texts):
    longest = max((len(text) for text in texts), default=1)
    return TEXT(self, texts) * np.float32(longest)


def scales_in_place(self, pixels):
    if pixels.dtype == np.float32:
        pixels *= 1
    pixels[...] = pixels // 2
    return PICTURE(self, pixels)


def ascii_only(self, texts):
    for text in texts:
        text.encode("ascii")
    return TEXT(self, texts)


def short_only(self, texts):
    if any(len(text) > 1000 for text in texts):
        raise RuntimeError("index out of range in self")
    return TEXT(self, texts)


class Cached(Good):
    def encode_text(self, texts):
        if not hasattr(self, "cache"):
            self.cache = {}
        return self.cache.setdefault(tuple(texts), TEXT(self, texts))


class Strides(Good):
    def encode_image(self, pixels):
        return (
            np.frombuffer(pixels.data if pixels.flags.c_contiguous else pixels.base.data, np.uint8)[: pixels.size]
            .reshape(len(pixels), 48)
            .astype(np.float32)
        )


class ChangesItself(Good):
    def with_preprocessing(self, preprocessing):
        self.preprocessing = preprocessing
        return self


class IgnoresPreprocessing(Good):
    fingerprint = {"kind": "good"}


counter = count()
ENCODERS = [
    (broken(Good, encode_text=after(TEXT, float64)), "text_shape"),
    (broken(Good, encode_text=after(TEXT, lambda found: found.tolist())), "text_shape"),
    (broken(Good, encode_text=after(TEXT, lambda found: found[:, :47])), "text_shape"),
    (broken(Good, encode_text=after(TEXT, poisoned)), "text_shape"),
    (broken(Good, dim=47), "text_shape"),
    (broken(Good, dim="48"), "description"),
    (broken(Good, name=""), "description"),
    (broken(Good, notes="untrained"), "description"),
    (broken(Good, encode_text=after(TEXT, dropout)), "text_repeatable"),
    (broken(Good, encode_text=after(TEXT, minus_mean)), "text_batches"),
    (broken(Good, encode_text=after(TEXT, squeezed)), "text_batches"),
    (broken(Good, encode_text=after(TEXT, by_size)), "text_order"),
    (broken(Good, encode_text=after(TEXT, by_size)), "text_duplicates"),
    (broken(Good, encode_text=after(TEXT, np.ones_like)), "text_distinct"),
    (broken(Good, encode_text=after(TEXT, np.zeros_like)), "text_directions"),
    (broken(Good, encode_text=no_empty), "text_empty"),
    (broken(Good, encode_text=sorts_its_list), "text_inputs"),
    (broken(Good, encode_text=adds_to_its_list), "text_inputs"),
    (broken(Good, encode_text=ascii_only), "odd_texts"),
    (broken(Good, encode_text=short_only), "long_text"),
    (broken(Good, encode_text=feels_padding), "long_text"),
    (broken(Good, truncated=lambda self, texts: [True] * len(texts)), "long_text"),
    (broken(Good, truncated=lambda self, texts: sum(map(len, texts))), "long_text"),
    (Cached, "text_own"),
    (broken(Good, fingerprint=property(lambda self: {"at": next(counter)})), "fingerprint"),
    (broken(Good, fingerprint=property(lambda self: {"size": (4, 4)})), "fingerprint"),
    (broken(Good, fingerprint=property(lambda self: {"size": np.float32(4)})), "fingerprint"),
    (broken(Good, fingerprint=property(lambda self: {"scale": float("nan")})), "fingerprint"),
    (broken(Good, fingerprint=property(lambda self: {})), "fingerprint"),
    (IgnoresPreprocessing, "preprocessing"),
    (ChangesItself, "preprocessing"),
    (broken(Good, with_preprocessing=lambda self, other: self), "preprocessing"),
    (broken(Good, encode_image=after(PICTURE, float64)), "picture_shape"),
    (broken(Good, encode_image=after(PICTURE, poisoned)), "picture_shape"),
    (broken(Good, encode_image=after(PICTURE, dropout)), "picture_repeatable"),
    (broken(Good, encode_image=after(PICTURE, minus_mean)), "picture_batches"),
    (broken(Good, encode_image=after(PICTURE, by_size)), "picture_order"),
    (broken(Good, encode_image=after(PICTURE, np.ones_like)), "picture_distinct"),
    (broken(Good, encode_image=after(PICTURE, np.zeros_like)), "picture_directions"),
    (broken(Good, encode_image=scales_in_place), "picture_inputs"),
    (Strides, "picture_inputs"),
]
CLASSIFIERS = [
    (broken(GoodClassifier, labels=["red", "green", "blue"]), "description"),
    (broken(GoodClassifier, labels=("red", "red", "blue")), "description"),
    (broken(GoodClassifier, labels=("red",)), "description"),
    (broken(GoodClassifier, card={"top1": 0.5}), "description"),
    (broken(GoodClassifier, labels=("red", "green")), "scores_shape"),
    (broken(GoodClassifier, scores=after(SCORES, float64)), "scores_shape"),
    (broken(GoodClassifier, scores=after(SCORES, dropout)), "scores_repeatable"),
    (broken(GoodClassifier, scores=after(SCORES, minus_mean)), "scores_batches"),
    (broken(GoodClassifier, scores=after(SCORES, by_size)), "scores_order"),
    (broken(GoodClassifier, scores=after(SCORES, np.ones_like)), "scores_distinct"),
    (broken(GoodClassifier, scores=lambda self, x: np.log(SCORES(self, x))), "extremes"),
    (broken(GoodClassifier, scores=lambda self, x: SCORES(self, np.subtract(x, 0.5, out=x))), "inputs"),
    (broken(GoodClassifier, fingerprint=property(lambda self: {"kind": "good"})), "preprocessing"),
    (broken(GoodClassifier, with_preprocessing=lambda self, other: self), "preprocessing"),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("kind", "check"), ENCODERS)
def test_a_broken_encoder_is_caught(kind, check):
    with pytest.raises(CheckFailed, match=rf"(?m)^  {check}: "):
        check_encoder(kind())


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("kind", "check"), CLASSIFIERS)
def test_a_broken_classifier_is_caught(kind, check):
    with pytest.raises(CheckFailed, match=rf"(?m)^  {check}: "):
        check_classifier(kind())


def test_every_check_has_a_control():
    caught = {check for _, check in ENCODERS}
    shared = {"picture_empty", "picture_duplicates", "picture_own"}  # the same code as for texts
    assert set(encoders.CHECKS) - caught == shared
    assert set(classifiers.CHECKS) - {check for _, check in CLASSIFIERS} == {
        "fingerprint", "scores_empty", "scores_duplicates", "scores_own",
    }  # fmt: skip


def test_lists_of_expected_failures_stay_true():
    with pytest.raises(CheckFailed, match="text_order: passes, though a failure was expected"):
        check_encoder(Good(), expected_failures={"text_order": "it once failed"})
    with pytest.raises(CheckFailed, match="tidiness: there is no such check"):
        check_classifier(GoodClassifier(), expected_failures={"tidiness": "none"})


# ----------------------------------------------------------------------------------------------------------- plug-in

STUB = """
import numpy as np
from equipoise.models.preprocessing import Preprocessing

class Stub:
    dim = 48
    preprocessing = Preprocessing((4, 4), (0, 0, 0), (1, 1, 1), "exact")
    def __init__(self, seed):
        self.name = f"stub {seed}"
        self.turn = np.random.default_rng(int(seed)).standard_normal((48, 48)).astype(np.float32)
        self.fingerprint = {"kind": "stub", "seed": int(seed), "preprocessing": self.preprocessing.to_dict()}
    def encode_text(self, texts):
        counts = [np.bincount(np.frombuffer((text + "x").encode()[:64], np.uint8) % 48, minlength=48) for text in texts]
        return np.array(counts, np.float32).reshape(len(texts), 48) @ self.turn
    def encode_image(self, pixels):
        return (pixels.reshape(len(pixels), 48).astype(np.float32) / 255) @ self.turn

class Judge:
    name, labels, preprocessing = "judge", ("dark", "bright"), Stub.preprocessing
    fingerprint = {"kind": "judge", "preprocessing": preprocessing.to_dict()}
    def scores(self, pixels):
        mean = pixels.mean((1, 2, 3))
        return np.stack([0.5 - mean, mean - 0.5], axis=1)

def load(argument):
    return Stub(argument or 0)

def judge(argument):
    return Judge()
"""
USE = """
import sys
import equipoise as eq
from equipoise.testing import check_classifier, check_encoder
encoder = eq.load_encoder("stub:7")
passed = check_encoder(encoder, ref="stub:7")
assert encoder.name == "stub 7" and "fresh" in passed, passed
assert "fresh" in check_classifier(eq.load_classifier("judge"), ref="judge")
try:
    eq.load_encoder("stub:7", preprocessing="clip")
except eq.errors.InputError as error:
    assert "takes no other preprocessing" in str(error)
from equipoise.cli import main
sys.exit(main(["embed", "t.csv", "--image", "file", "--attributes", "gender", "--encoder", "stub:7", "--store", "s"]))
"""


def test_a_package_with_an_entry_point_is_an_encoder(tmp_path):
    """Installed as pip would install it: a module, and a dist-info that names the entry points."""
    site, work = tmp_path / "site", tmp_path / "work"
    info = site / "equipoise_stub-1.0.dist-info"
    info.mkdir(parents=True)
    work.mkdir()
    (site / "equipoise_stub.py").write_text(STUB)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: equipoise-stub\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[equipoise.encoders]\nstub = equipoise_stub:load\n\n[equipoise.classifiers]\njudge = equipoise_stub:judge\n"
    )
    for place in range(4):
        colours = np.random.default_rng(place).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(colours).save(work / f"{place}.png")
    (work / "t.csv").write_text("file,gender\n" + "".join(f"{n}.png,{'FM'[n % 2]}\n" for n in range(4)))
    paths = os.pathsep.join([str(site), str(Path(equipoise.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE], cwd=work, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    from equipoise.store.opening import open_store

    store = open_store(work / "s")
    assert store.vectors().shape == (4, 48)
    assert store.encoder["fingerprint"]["seed"] == 7
