"""The parts of the demo encoder's training that need no torch: captions, views, the gate's closed form, measurement."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import integrate, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from demo_encoder import captions, data, gate, measure, package  # noqa: E402


@pytest.fixture(scope="module")
def bank() -> captions.Bank:
    return captions.build_bank()


def test_the_bank_covers_every_subset_of_attributes_once(bank: captions.Bank) -> None:
    assert len(bank.texts) == len(set(bank.texts)) == len(bank.keys) == 8204
    assert len(bank.by_key) == (2 + 1) * (7 + 1) * (9 + 1)
    assert sorted(row for rows in bank.by_key.values() for row in rows) == list(range(8204))
    assert all(bank.keys[row] == key for key, rows in bank.by_key.items() for row in rows)


def test_captions_use_the_right_article(bank: captions.Bank) -> None:
    for text in bank.texts:
        words = text.split()
        for article, word in zip(words, words[1:], strict=False):
            if article in ("a", "an"):
                assert (article == "an") == (word[0].lower() in "aeiou"), text


def test_captions_say_their_gender_and_no_other(bank: captions.Bank) -> None:
    said = {0: {"woman", "female", "girl", "her"}, 1: {"man", "male", "boy", "his"}}
    for text, (gender, _, _) in zip(bank.texts, bank.keys, strict=True):
        words = set(text.split())
        for value, markers in said.items():
            assert bool(words & markers) == (gender == value), text


def test_children_are_no_men_and_adults_no_boys(bank: captions.Bank) -> None:
    for text, (_, _, age) in zip(bank.texts, bank.keys, strict=True):
        words = set(text.split())
        if age in (0, 1, 2):
            assert not words & {"man", "woman"}
        else:
            assert not words & {"boy", "girl", "child", "teenager"}


def test_class_captions_are_three_a_name_name_major() -> None:
    assert captions.class_captions(["owl", "crib"])[2:4] == ["owl", "a photo of a crib"]


@pytest.mark.parametrize(("mean", "sd"), [(-1.0, 0.5), (0.3, 1.2), (5.5, 2.0), (9.0, 1.0)])
def test_rectified_mean_is_the_integral(mean: float, sd: float) -> None:
    def integrand(x: float) -> float:
        return min(max(x, 0.0), 6.0) * stats.norm.pdf(x, mean, sd)

    expected, _ = integrate.quad(integrand, mean - 12 * sd, mean + 12 * sd, points=[0, 6], limit=200)
    assert gate.rectified_mean(np.array([mean]), np.array([sd]))[0] == pytest.approx(expected, abs=1e-8)


def test_shuffling_tiles_moves_pixels_and_loses_none() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    mixed = data.shuffle_tiles(picture, 4, np.random.default_rng(1))
    assert mixed.shape == picture.shape
    assert (mixed != picture).any()
    np.testing.assert_array_equal(np.sort(mixed.reshape(-1, 3), 0), np.sort(picture.reshape(-1, 3), 0))
    assert data.shuffle_tiles(picture, 5, rng).shape == picture.shape


def test_views_are_the_face_its_mirror_and_four_others_the_same_each_time() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    first, second = (data.views(image, np.random.default_rng(5)) for _ in range(2))
    assert len(first) == data.VIEWS == 6
    np.testing.assert_array_equal(np.asarray(first[0]), pixels)
    np.testing.assert_array_equal(np.asarray(first[1]), pixels[:, ::-1])
    for one, other in zip(first, second, strict=True):
        assert one.size == (224, 224)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_halves_do_not_depend_on_the_order_of_the_rows() -> None:
    ids = [f"val/{i}.jpg" for i in range(40)]
    straight = dict(zip(ids, package.halves(ids), strict=True))
    backwards = dict(zip(ids[::-1], package.halves(ids[::-1]), strict=True))
    assert straight == backwards
    assert sorted(straight.values()) == ["measured"] * 20 + ["reference"] * 20


def test_retrieval_bias_of_a_query_that_finds_only_women() -> None:
    n = 1000
    labels = np.zeros((n, 3), int)
    labels[:, 0] = np.arange(n) % 2
    labels[:, 1] = np.arange(n) % 7
    images = measure.unit(np.column_stack([1 - labels[:, 0], np.ones(n)]).astype(float))
    bias = measure.retrieval_bias(images, labels, [f"{i:04d}" for i in range(n)], {"q": np.array([1.0, 0.0])})
    assert bias["queries"]["q"]["women_percent"] == 100
    assert bias["queries"]["q"]["gender_max_skew"] == round(np.log(2), 3)
    assert bias["queries_above_chance_gender"] == 1


def test_agreement_needs_both_above_chance_and_on_one_side() -> None:
    def bias(rows: list[tuple[float, float]]) -> dict:
        queries = {
            name: {"women_percent": women, "gender_max_skew": skew, "race_max_skew": skew}
            for name, (women, skew) in zip("abcd", rows, strict=True)
        }
        return {"queries": queries, "chance_gender_max_skew": {"upper_95": 0.1}}

    found = measure.agreement(
        bias([(90, 0.5), (10, 0.5), (90, 0.5), (60, 0.05)]), bias([(80, 0.4), (20, 0.4), (10, 0.5), (61, 0.2)]), 50
    )
    assert found["stable_towards_women"] == ["a"]
    assert found["stable_towards_men"] == ["b"]


def test_group_vectors_are_unit_means_of_unit_texts() -> None:
    embedded = {"x": np.array([3.0, 0.0]), "y": np.array([0.0, 1.0])}
    np.testing.assert_allclose(measure.group_vectors([["x", "y"]], embedded), [[0.5**0.5, 0.5**0.5]])
