"""Embeddings made elsewhere, as an encoder."""

import json

import numpy as np
import pytest

from equipoise.errors import EmbeddingError, InputError
from equipoise.models.precomputed import load


def test_texts_are_looked_up(tiny_precomputed):
    encoder = load(str(tiny_precomputed.folder))
    found = encoder.encode_text(["a photo of a nurse", "a picture of a man"])
    assert found.shape == (2, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    with pytest.raises(InputError, match="'a photo of a norse'"):
        encoder.encode_text(["a photo of a norse"])
    with pytest.raises(InputError, match="cannot embed pictures"):
        encoder.encode_image(["a.jpg"])


def test_without_texts(new_tiny):
    tiny = new_tiny()
    (tiny.folder / "text.npy").unlink()
    (tiny.folder / "texts.csv").unlink()
    with pytest.raises(InputError, match="has no text vectors"):
        load(str(tiny.folder)).encode_text(["a"])


def test_the_card_names_the_encoder_and_decides_its_fingerprint(new_tiny):
    tiny = new_tiny()
    bare = load(str(tiny.folder))
    assert bare.name == "tiny"
    assert set(bare.fingerprint) == {"kind", "dim", "images"}
    (tiny.folder / "encoder.json").write_text(json.dumps({"name": "clip", "preprocessing": {"size": 224}}))
    carded = load(str(tiny.folder))
    assert (carded.name, carded.preprocessing) == ("clip", {"size": 224})
    before = carded.fingerprint
    np.save(tiny.folder / "image.npy", np.load(tiny.folder / "image.npy") * 2)
    assert load(str(tiny.folder)).fingerprint == before


def test_the_fingerprint_follows_the_images_and_not_the_texts(new_tiny):
    tiny = new_tiny()
    before = load(str(tiny.folder)).fingerprint
    np.save(tiny.folder / "text.npy", np.load(tiny.folder / "text.npy") * 2)
    assert load(str(tiny.folder)).fingerprint == before
    np.save(tiny.folder / "image.npy", np.load(tiny.folder / "image.npy") * 2)
    assert load(str(tiny.folder)).fingerprint != before


@pytest.mark.parametrize("card", ["{", "[]", '{"preprocessing": 3}'])
def test_a_card_that_is_none(new_tiny, card):
    tiny = new_tiny()
    (tiny.folder / "encoder.json").write_text(card)
    with pytest.raises(InputError, match=r"encoder\.json"):
        load(str(tiny.folder))


def test_widths_that_differ(new_tiny):
    tiny = new_tiny()
    np.save(tiny.folder / "text.npy", np.load(tiny.folder / "text.npy")[:, :9])
    with pytest.raises(
        EmbeddingError, match="Image embeddings have 16 columns, text embeddings 9: they do not share a space."
    ):
        load(str(tiny.folder))
