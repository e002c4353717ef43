"""An encoder and words for every class are a classifier; the encoder here knows three colours."""

from __future__ import annotations

import numpy as np
import pytest
from brightness import HALF, Colours

from equipoise.data.groups import Attribute
from equipoise.errors import EmbeddingError, InputError
from equipoise.models.preprocessing import named, unit_pixels
from equipoise.models.zero_shot import SCALE, ZeroShot
from equipoise.protocols import Classifier

CLASSES = {"red": ["red", "a red thing"], "green": "green", "blue": ["blue"]}
TEMPLATES = ("{}", "a photo of {}")


def pixels(n: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3)).astype(np.uint8)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_scores_are_scaled_cosines_with_the_normalised_mean_of_unit_prompts() -> None:
    model, oracle = ZeroShot(Colours(), CLASSES, TEMPLATES), Colours()
    assert isinstance(model, Classifier)
    assert model.labels == ("red", "green", "blue")
    wanted = []
    for words in (["red", "a red thing"], ["green"], ["blue"]):
        prompts = [t.format(w) for t in TEMPLATES for w in words]
        wanted.append(unit(unit(oracle.encode_text(prompts).astype(np.float64)).mean(0)))
    assert model.class_vectors == pytest.approx(np.stack(wanted), abs=1e-6)
    shown = pixels()
    scores = model.scores(unit_pixels(shown))
    assert scores.dtype == np.float32
    assert scores == pytest.approx(
        SCALE * unit(oracle.encode_image(shown).astype(np.float64)) @ np.stack(wanted).T, abs=1e-4
    )


def test_a_prompt_that_several_share_is_embedded_once() -> None:
    encoder = Colours()
    ZeroShot(encoder, {"red": ["red", "red"], "warm": ["red", "red blue"]}, ("{}", "{}", "a {}"))
    assert sorted(encoder.texts) == ["a red", "a red blue", "red", "red blue"]


def test_many_prompts_in_slices_are_those_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {f"c{i}": [f"red {'x' * i}", f"blue {'x' * (i % 7)}"] for i in range(40)}
    whole = ZeroShot(Colours(), classes, TEMPLATES).class_vectors
    monkeypatch.setattr("equipoise.models.zero_shot.TEXTS", 7)
    assert ZeroShot(Colours(), classes, TEMPLATES).class_vectors == pytest.approx(whole, abs=1e-7)


def test_every_8_bit_pixel_reaches_the_encoder_as_it_was_and_others_are_rounded() -> None:
    seen: list[np.ndarray] = []

    class Watching(Colours):
        def encode_image(self, images: np.ndarray) -> np.ndarray:
            seen.append(images)
            return super().encode_image(images)

    model = ZeroShot(Watching(), CLASSES)
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    model.scores(unit_pixels(ramp))
    assert (seen[0] == ramp).all()
    model.scores(np.full((1, 3, 2, 2), 100.4 / 255, np.float32))
    assert (seen[1] == 100).all()


def test_the_scale_changes_probabilities_and_no_answer() -> None:
    shown = unit_pixels(pixels())
    one, two = ZeroShot(Colours(), CLASSES, logit_scale=1.0), ZeroShot(Colours(), CLASSES, logit_scale=50.0)
    assert two.scores(shown) == pytest.approx(50 * one.scores(shown), rel=1e-5)

    class Scaled(Colours):
        logit_scale = 7.0

    assert ZeroShot(Scaled(), CLASSES).logit_scale == 7.0
    with pytest.raises(InputError, match="logit scale is 0"):
        ZeroShot(Colours(), CLASSES, logit_scale=0)


def test_the_fingerprint_tells_encoder_words_and_scale() -> None:
    one = ZeroShot(Colours(), CLASSES)
    assert one.fingerprint == ZeroShot(Colours(), CLASSES).fingerprint
    assert one.fingerprint["encoder"] == Colours().fingerprint
    others = [
        ZeroShot(Colours(), {**CLASSES, "green": "the green"}), ZeroShot(Colours(), CLASSES, TEMPLATES),
        ZeroShot(Colours(), CLASSES, logit_scale=1), one.with_preprocessing(named("clip")),
    ]  # fmt: skip
    assert all(other.fingerprint != one.fingerprint for other in others)


def test_another_preprocessing_embeds_no_text_again() -> None:
    encoder = Colours()
    model = ZeroShot(encoder, CLASSES)
    count = len(encoder.texts)
    other = model.with_preprocessing(named("clip"))
    assert (other.preprocessing, other.encoder.preprocessing, model.preprocessing) == (
        named("clip"),
        named("clip"),
        HALF,
    )
    assert len(encoder.texts) == count


def test_a_section_of_the_vocabulary() -> None:
    words = Attribute(
        "y", ("red", "blue"), templates=("a {}",), prompts={"red": ("red",), "blue": ("blue", "blue sky")}
    )
    model = ZeroShot.from_attribute(Colours(), words)
    assert model.labels == ("red", "blue")
    assert model.prompts("blue") == ["a blue", "a blue sky"]
    with pytest.raises(InputError, match="no prompts for blue"):
        ZeroShot.from_attribute(Colours(), Attribute("y", ("red", "blue"), prompts={"red": ("red",)}))


def test_braces_in_words_stay() -> None:
    assert ZeroShot(Colours(), {"a": "red {x}", "b": "blue"}, ("the {}!",)).prompts("a") == ["the red {x}!"]


def test_long_prompts_are_told() -> None:
    class Short(Colours):
        notes = ("looks untrained",)

        def truncated(self, texts: list[str]) -> list[bool]:
            return [len(text) > 8 for text in texts]

    assert ZeroShot(Short(), CLASSES).notes == (
        "looks untrained", "1 of 4 prompts are longer than the text context and were cut.",
    )  # fmt: skip


def test_what_cannot_be_used_is_refused() -> None:
    class Blind(Colours):
        preprocessing = None  # type: ignore[assignment]

    blind = Blind()
    blind.preprocessing = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="takes no pixels"):
        ZeroShot(blind, CLASSES)
    for classes, match in (
        ({"red": "red"}, "1 labels"), ({"red": [], "blue": "blue"}, "'red' has no prompts"),
        ({"red": " ", "blue": "blue"}, "prompt of 'red' is ' '"), ({"": "red", "blue": "blue"}, "not empty|Label 0"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=match):
            ZeroShot(Colours(), classes)
    for templates, match in ((("a photo",), "0 placeholders"), (("{} {}",), "2 placeholders"), ((), "no template")):
        with pytest.raises(InputError, match=match):
            ZeroShot(Colours(), CLASSES, templates)
    with pytest.raises(InputError, match="in \\[0, 1\\] before normalisation; found -1 to 2"):
        ZeroShot(Colours(), CLASSES).scores(np.linspace(-1, 2, 3 * 64, dtype=np.float32).reshape(1, 3, 8, 8))

    class Opposite(Colours):
        def encode_text(self, texts: list[str]) -> np.ndarray:
            return np.array([(1, 0, 0) if "+" in text else (-1, 0, 0) for text in texts], np.float32)

    with pytest.raises(EmbeddingError, match="prompts of 'both' cancel out"):
        ZeroShot(Opposite(), {"one": "+", "both": ["+", "-"]})

    class Lost(Colours):
        def encode_image(self, images: np.ndarray) -> np.ndarray:
            return np.zeros((len(images), 3), np.float32)

    with pytest.raises(EmbeddingError, match="vector of length zero"):
        ZeroShot(Lost(), CLASSES).scores(unit_pixels(pixels(2)))
