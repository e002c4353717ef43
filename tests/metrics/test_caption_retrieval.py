"""Retrieval in both directions against ranks by loops, and its parts."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import EmbeddingError, InputError
from equipoise.metrics.caption_retrieval import caption_retrieval


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(120, 8))
    owner = rng.permutation(np.repeat(np.arange(120), rng.integers(0, 5, 120)))
    captions = images[owner] + rng.normal(size=(owner.size, 8))
    return images, captions, owner


def test_ranks_by_loops(world):
    images, captions, owner = world
    found = caption_retrieval(images, captions, owner)
    x = images / np.linalg.norm(images, axis=1, keepdims=True)
    t = captions / np.linalg.norm(captions, axis=1, keepdims=True)
    cosines = x @ t.T
    for j, i in enumerate(owner):
        assert found.caption_ranks[j] == (cosines[:, j] > cosines[i, j]).sum()
    asked = []
    for i in range(120):
        own = owner == i
        if not own.any():
            assert np.isnan(found.image_ranks[i])
            continue
        asked.append((cosines[i, ~own] > cosines[i, own].max()).sum())
        assert found.image_ranks[i] == asked[-1]
    for k in (1, 5, 10):
        to_text = found.recall["image_to_caption", "all", k]
        assert to_text.value == pytest.approx((np.array(asked) < k).mean())
        assert to_text.n == len(asked)
        to_image = found.recall["caption_to_image", "all", k]
        assert to_image.value == pytest.approx((found.caption_ranks < k).mean())
        assert to_image.n == owner.size
        assert to_image.null_value == k / 120
        assert to_text.low < to_text.value < to_text.high
    # any of five captions is easier to find than the one image
    assert found.recall["image_to_caption", "all", 1].null_value > 1 / owner.size


def test_chance_is_that_of_random_captions(world):
    images, _, owner = world
    rng = np.random.default_rng(1)
    found = [caption_retrieval(images, rng.normal(size=(owner.size, 8)), owner, draws=100) for _ in range(40)]
    for direction in ("image_to_caption", "caption_to_image"):
        recalls = [one.recall[direction, "all", 10] for one in found]
        assert np.mean([one.value for one in recalls]) == pytest.approx(recalls[0].null_value, abs=0.01)


def test_parts_add_up_and_images_are_resampled_with_their_captions(world):
    images, captions, owner = world
    people = np.arange(120) < 50
    found = caption_retrieval(images, captions, owner, people=people)
    for direction in ("image_to_caption", "caption_to_image"):
        whole, one, other = (found.recall[direction, part, 5] for part in ("all", "people", "other"))
        assert one.numerator + other.numerator == whole.numerator
        assert one.denominator + other.denominator == whole.denominator
    ten = caption_retrieval(images, np.repeat(captions, 10, axis=0), np.repeat(owner, 10))
    width = [
        one.recall["caption_to_image", "all", 5].high - one.recall["caption_to_image", "all", 5].low
        for one in (found, ten)
    ]
    assert width[0] == pytest.approx(width[1])
    few = caption_retrieval(images, captions, owner, people=np.arange(120) < 10)
    assert few.recall["caption_to_image", "people", 1].status == "insufficient"


def test_ties_count_half():
    found = caption_retrieval(np.ones((40, 2)), np.ones((40, 2)), np.arange(40))
    assert set(found.caption_ranks) == set(found.image_ranks) == {19.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.ones((120, 7))}, "share no space"),
        ({"images": np.zeros((120, 8))}, "120 vectors"),
        ({"captions": np.ones(8)}, "shape"),
        ({"image_of": np.array([0, 1])}, "image_of"),
        ({"people": np.ones(120)}, "one bool"),
        ({"ks": (0,)}, "k is"),
    ],
)
def test_what_does_not_fit_is_refused(world, change, message):
    given = dict(zip(("images", "captions", "image_of"), world, strict=True)) | change
    with pytest.raises((InputError, EmbeddingError), match=message):
        caption_retrieval(**given)
    with pytest.raises(InputError, match="image_of"):
        caption_retrieval(world[0], world[1], world[2] + 120)
