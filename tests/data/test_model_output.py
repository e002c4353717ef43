"""A model's answer is checked, and an error names the model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from equipoise.data.model_output import checked_images, checked_scores, checked_texts
from equipoise.errors import EmbeddingError

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

    name, labels = "judge", ("a", "b")

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


def poke(value):
    def change(vectors):
        vectors[1, 2], vectors[3, 0] = value, value
        return vectors

    return broken(change)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (poke(np.nan), "NaN or infinity for 2 of 4 pictures: 1, 3"),
        (poke(np.inf), "NaN or infinity for 2 of 4 pictures: 1, 3"),
        (lambda v: v.astype(np.float64) * 1e300, "NaN or infinity for 4 of 4"),
        (lambda v: v[:, :-1], r"shape \(4, 5\) for 4 pictures of 6 columns"),
        (lambda v: v[:-1], r"shape \(3, 6\)"),
        (lambda v: v[0], r"shape \(6,\)"),
        (lambda v: v[None], r"shape \(1, 4, 6\)"),
        (lambda v: v.astype(object), "object"),
        (lambda v: v.astype(np.int64), "int64"),
        (lambda v: v.astype(complex), "complex128"),
        (lambda v: None, "object"),
        (lambda v: [[1.0], [1.0, 2.0]], "no array"),
        (lambda v: 1 / 0, "failed on 4 pictures: ZeroDivisionError"),
    ],
)
def test_a_wrong_answer_names_the_model(answer, said):
    with pytest.raises(EmbeddingError, match=said) as caught:
        checked_images(Toy(answer), pictures())
    assert "'toy'" in str(caught.value)


def test_texts_are_named_by_themselves():
    with pytest.raises(EmbeddingError, match=r"for 2 of 4 texts: 'bb', 'dddd'\."):
        checked_texts(Toy(poke(np.nan)), ["a", "bb", "ccc", "dddd"])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_right_answer_is_float32_in_c_order(kind):
    toy = Toy(lambda v: np.asfortranarray(v, kind))
    found = checked_images(toy, pictures())
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(found, Toy().encode_image(pictures()), rtol=1e-3)
    assert checked_texts(toy, []).shape == (0, DIM)


def test_scores_have_a_column_per_label():
    pixels = np.zeros((3, 3, 8, 8), np.float32)
    assert checked_scores(Judge(), pixels).shape == (3, 2)
    with pytest.raises(EmbeddingError, match=r"Classifier 'judge'.*\(3, 1\)"):
        checked_scores(Judge(lambda s: s[:, :1]), pixels)


def test_tensors_are_converted():
    torch = pytest.importorskip("torch")
    assert checked_images(Toy(torch.from_numpy), pictures()).dtype == np.float32
    with pytest.raises(EmbeddingError, match="Tensor that is no array"):
        checked_images(Toy(lambda v: torch.from_numpy(v).requires_grad_()), pictures())
    with pytest.raises(EmbeddingError, match="no array"):
        checked_images(Toy(lambda v: torch.from_numpy(v).to(torch.bfloat16)), pictures())


@pytest.mark.parametrize("error", [MemoryError("x"), RuntimeError("CUDA out of memory. Tried to allocate")])
def test_want_of_memory_stays_what_it_is(error):
    def answer(vectors):
        raise error

    with pytest.raises(type(error), match=str(error)[:4]) as caught:
        checked_images(Toy(answer), pictures())
    assert caught.value is error


def test_a_model_without_a_name_is_called_by_its_class():
    with pytest.raises(EmbeddingError, match="'SimpleNamespace'"):
        checked_images(SimpleNamespace(dim=3, encode_image=lambda x: np.zeros((1, 1))), [0])
