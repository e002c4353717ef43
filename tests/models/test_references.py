"""References to encoders."""

import pytest

from equipoise.errors import InputError, UnknownNameError
from equipoise.models.precomputed import Precomputed
from equipoise.models.references import load_encoder
from equipoise.protocols import Encoder
from equipoise.registry import ENCODERS


def test_precomputed(tiny_precomputed):
    encoder = load_encoder(tiny_precomputed.reference)
    assert isinstance(encoder, Precomputed)
    assert isinstance(encoder, Encoder)


def test_a_folder_whose_name_has_a_colon(new_tiny):
    tiny = new_tiny()
    moved = tiny.folder.rename(tiny.folder.parent / "a:b")
    assert load_encoder(f"precomputed:{moved}").folder == moved


def test_names_that_are_unknown():
    with pytest.raises(UnknownNameError, match="There is no encoder 'precomputd'. Did you mean 'precomputed'"):
        load_encoder("precomputd:x")
    with pytest.raises(UnknownNameError, match="Known: demo, .*precomputed"):
        load_encoder("huggingface:openai/clip-vit-base-patch32")


def test_a_plug_in_that_is_no_encoder(monkeypatch):
    monkeypatch.setattr(ENCODERS, "_plugins", {"odd": "builtins:str"})
    with pytest.raises(InputError, match="'odd:x' gives a str, which is no encoder"):
        load_encoder("odd:x")


def test_missing_arguments():
    with pytest.raises(InputError, match="names no folder"):
        load_encoder("precomputed:")
    with pytest.raises(InputError, match="takes nothing after a colon"):
        load_encoder("demo:x")
