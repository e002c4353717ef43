"""References resolved: loaders get the options that they take, and a file of ours never makes them reach for a hub."""

from __future__ import annotations

import pytest

from equipoise import loading
from equipoise.errors import InputError, UnknownNameError
from equipoise.registry import Registry


class Whole:
    name, dim, fingerprint = "whole", 3, {}

    def encode_text(self, texts): ...

    def encode_image(self, images): ...


def plain(argument):
    return ("plain", argument)


def with_options(argument, *, device="auto", local_files_only=False):
    return (argument, device, local_files_only)


def with_anything(argument, **options):
    return (argument, options)


@pytest.fixture
def registry(monkeypatch):
    found = Registry("thing", "equipoise.nothing", {}, needs=("__call__",))
    loaders = {"plain": plain, "some": with_options, "any": with_anything}
    monkeypatch.setattr(found, "_plugins", dict.fromkeys(loaders, "builtins:str"))
    monkeypatch.setattr(found, "load", lambda name: loaders[name])
    return found


def test_what_follows_the_first_colon_is_the_argument(registry):
    assert loading.load(registry, "plain:a:b") == ("plain", "a:b")
    assert loading.load(registry, "plain") == ("plain", "")


def test_options_are_passed_where_they_are_given_and_taken(registry):
    assert loading.load(registry, "some:x", device="cuda") == ("x", "cuda", False)
    assert loading.load(registry, "some:x", device=None, dtype=None) == ("x", "auto", False)
    assert loading.load(registry, "any:x", dtype="bfloat16") == ("x", {"dtype": "bfloat16"})
    with pytest.raises(InputError, match="takes no 'dtype'"):
        loading.load(registry, "some:x", dtype="bfloat16")
    with pytest.raises(InputError, match="takes no 'argument'"):
        loading.called(lambda argument, /: argument, "x", {"argument": 1})


def test_local_files_only_is_asked_of_loaders_that_know_it(registry):
    assert loading.load(registry, "some:x", local=True) == ("x", "auto", True)
    assert loading.load(registry, "plain:x", local=True) == ("plain", "x")
    assert loading.load(registry, "any:x", local=True) == ("x", {"local_files_only": True})


@pytest.mark.parametrize("name", ["transformers", "open_clip", "timm"])
def test_loaders_that_can_reach_a_hub_can_be_told_not_to(name):
    try:
        loader = loading.ENCODERS.load(name)
    except InputError as error:
        pytest.skip(f"{error.what}")
    assert loading.taken(loader, {"local_files_only"})


def test_what_is_no_encoder_is_refused_with_what_it_lacks():
    assert isinstance(loading.check_encoder(whole := Whole(), "w"), Whole)
    assert loading.check_encoder(whole, "w") is whole
    with pytest.raises(InputError, match="gives a str, which is no encoder: it has no name, dim"):
        loading.check_encoder("x", "w")
    with pytest.raises(InputError, match="gives a type, which is no encoder"):
        loading.check_encoder(Whole, "w")
    with pytest.raises(UnknownNameError, match="There is no encoder 'nothing'"):
        loading.load_encoder("nothing:x")
