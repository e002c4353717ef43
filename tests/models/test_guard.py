"""The trial of a model: one whose answers cannot be trusted is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from equipoise.errors import EmbeddingError, InputError
from equipoise.models.guard import prove
from equipoise.models.preprocessing import named

DIM = 6


class Toy:
    """A linear encoder of mean colours."""

    name, dim = "toy", DIM

    def __init__(self, answer=None, **attributes):
        self.fingerprint = {"kind": "toy"}
        self.answer = answer or (lambda vectors: vectors)
        self.__dict__.update(attributes)

    def encode_image(self, images):
        colours = np.array([np.asarray(image).mean(axis=(0, 1)) for image in images]).reshape(-1, 3)
        return self.answer((colours @ np.arange(18).reshape(3, 6) / 255 + 1).astype(np.float32))

    def encode_text(self, texts):
        return self.answer(np.array([[len(text), 1, 2, 3, 4, 5] for text in texts], np.float32).reshape(-1, DIM))


class Judge:
    """A linear classifier of mean colours."""

    name, labels, preprocessing = "judge", ("a", "b"), named("clip").with_(size=8)

    def __init__(self, answer=None):
        self.fingerprint = {}
        self.answer = answer or (lambda scores: scores)

    def scores(self, pixels):
        assert pixels.dtype == np.float32
        assert pixels.shape[1] == 3
        return self.answer(pixels.mean(axis=(2, 3)) @ np.array([[30, -3], [0, 1], [2, 2]], np.float32))


def pictures(n=4):
    return [
        Image.fromarray(np.random.default_rng(i).integers(0, 60 * (i + 1), (9, 9, 3), dtype=np.uint8)) for i in range(n)
    ]


def broken(change):
    def answer(vectors):
        vectors = np.array(vectors)
        return change(vectors)

    return answer


def test_sound_models_pass():
    proof = prove(Toy(), pictures())
    assert max(proof.again, proof.reversed, proof.single) <= proof.tolerance == 1e-4
    assert prove(Judge(), pictures()).single <= 1e-4
    assert prove(Toy(fingerprint={"dtype": "bfloat16"}), pictures()).tolerance == 3e-2
    assert prove(Toy(preprocessing=named("clip")), pictures()).again == 0


@pytest.mark.parametrize("model", [Toy, Judge])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda v: v[::-1], "another order: picture 0 comes back in row 3"),
        (lambda v: np.roll(v, 1, axis=0), "another order: picture 0 comes back in row 1"),
        (lambda v: v[np.argsort(v[:, 0])[::-1]], "another order"),
        (lambda v: v - v.mean(axis=0, keepdims=True) + 1, "depends on the pictures beside it"),
        (lambda v: v * np.linspace(1, 2, v.size).reshape(v.shape), "depends on the pictures beside it"),
        (lambda v: v + np.random.default_rng().normal(size=v.shape), "differently from call to call"),
    ],
)
def test_models_that_cannot_be_trusted_are_refused(model, answer, said):
    with pytest.raises(EmbeddingError, match=said):
        prove(model(broken(answer)), pictures())


def test_one_picture_proves_nothing():
    with pytest.raises(InputError, match="1 pictures"):
        prove(Toy(), pictures(1))


def test_a_classifier_without_preprocessing_is_refused():
    judge = Judge()
    judge.preprocessing = None
    with pytest.raises(InputError, match="no preprocessing"):
        prove(judge, pictures())
