"""Preprocessing: geometry and values, against Pillow and torchvision's published arithmetic."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from equipoise.errors import InputError, MissingFileError, UnknownNameError
from equipoise.models.checkpoint import Checkpoint
from equipoise.models.preprocessing import (
    NAMED,
    Preprocessing,
    check_unit,
    named,
    read_preprocessing,
    unit_pixels,
)

SIZES = [(1, 1), (1, 7), (7, 1), (3, 300), (223, 225), (224, 224), (225, 337), (301, 199), (500, 333)]


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain(**changes) -> Preprocessing:
    return Preprocessing(**{"size": (16, 16), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), **changes})


# ---------------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_have_the_size_of_the_network(name, height, width):
    pixels = named(name).picture(noise(height, width))
    assert pixels.shape == (*named(name).size, 3)
    assert pixels.dtype == np.uint8


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 600))
def test_shortest_cuts_the_long_edge_as_transformers_and_torchvision_do(height, width, edge):
    rows, columns = plain(size=(8, 8), resize_to=edge).resized(height, width)
    assert min(rows, columns) == edge
    assert max(rows, columns) == int(edge * max(height, width) / min(height, width))
    assert (rows - columns) * (height - width) >= 0


@given(st.integers(1, 900), st.integers(1, 900))
def test_where_the_centre_crop_begins(edge, size):
    floor, rounded = plain()._offset(edge, size), plain(crop="round")._offset(edge, size)
    assert floor == math.floor((edge - size) / 2)
    if edge >= size:
        assert rounded == round((edge - size) / 2.0)  # torchvision: int(round((edge - size) / 2.0)), halves to even
    else:
        assert -rounded == (size - edge) // 2  # torchvision pads the odd pixel behind


def test_the_two_centre_crops_differ_by_a_pixel_where_three_are_left_over():
    picture = noise(19, 16)
    floor = plain(resize="none").picture(picture)
    rounded = plain(resize="none", crop="round").picture(picture)
    np.testing.assert_array_equal(floor, np.asarray(picture)[1:17])
    np.testing.assert_array_equal(rounded, np.asarray(picture)[2:18])


def test_exact_squeezes_and_crops_only_if_told_an_edge():
    picture = noise(40, 20)
    squeezed = np.asarray(picture.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(plain(resize="exact").picture(picture), squeezed)
    larger = np.asarray(picture.resize((20, 20), Image.Resampling.BICUBIC))[2:18, 2:18]
    np.testing.assert_array_equal(plain(resize="exact", resize_to=20).picture(picture), larger)


def test_pad_keeps_the_shape_and_fills_the_rest():
    picture = noise(40, 20)
    found = plain(resize="pad", fill=(1, 2, 3)).picture(picture)
    np.testing.assert_array_equal(found[:, 4:12], np.asarray(picture.resize((8, 16), Image.Resampling.BICUBIC)))
    assert (found[:, :4] == (1, 2, 3)).all()
    assert (found[:, 12:] == (1, 2, 3)).all()


def test_a_line_keeps_one_pixel_when_it_is_padded():
    found = plain(resize="pad", fill=(9, 9, 9)).picture(noise(1, 5000))
    assert (found == 9).all(axis=(1, 2)).sum() == 15


def test_what_is_smaller_than_the_crop_is_padded():
    picture = noise(3, 40)
    found = plain(resize="none").picture(picture)
    np.testing.assert_array_equal(found[7:10], np.asarray(picture)[:, 12:28])
    assert found[:7].sum() == 0
    assert found[10:].sum() == 0


@pytest.mark.parametrize(("height", "width"), [(1, 3000), (3000, 1), (2, 2999), (7, 1999)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"])
def test_a_line_is_cropped_before_it_is_made_whole(monkeypatch, height, width, interpolation):
    how = plain(size=(32, 32), interpolation=interpolation)
    picture = noise(height, width)
    whole = how.picture(picture).astype(int)
    monkeypatch.setattr("equipoise.models.preparing.WHOLE", 0)
    part = how.picture(picture).astype(int)
    assert np.abs(whole - part).max() <= (60 if interpolation == "box" else 1)
    assert (whole != part).mean() < 0.02


def test_a_line_of_20000_pixels_takes_little_memory():
    import tracemalloc

    tracemalloc.start()
    pixels = named("clip").picture(noise(1, 20000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.shape == (224, 224, 3)
    assert peak < 5e6


def test_other_modes_are_refused():
    with pytest.raises(InputError, match="mode 'L'"):
        named("clip").picture(Image.new("L", (8, 8)))


# ------------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("name", NAMED)
def test_normalised_is_pixel_minus_mean_over_std(name):
    how = named(name)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    expected = (pixels.astype(np.float64) / 255 - np.array(how.mean)) / np.array(how.std)
    found = how.normalised(pixels)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), atol=2e-6)
    np.testing.assert_allclose(how.normalised(unit_pixels(pixels)), found, atol=1e-7, rtol=0)


def test_efficientnet_lite_is_minus_127_over_128():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_allclose(
        named("efficientnet-lite").normalised(pixels)[0, 0].ravel(), (np.arange(256) - 127) / 128, atol=1e-6
    )


def test_unit_pixels_are_the_quotients_by_255():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_allclose(unit_pixels(pixels)[0, 2].ravel(), np.arange(256) / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((2, 3, 4, 4), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.float32), "shape"),
        (np.zeros((2, 3, 4, 4), np.int64), "int64"),
        (np.full((2, 3, 4, 4), 255, np.float32), "0 to 1|255"),
        (np.full((2, 3, 4, 4), np.nan, np.float32), "nan"),
        (np.zeros((3, 4, 4), np.float32), "shape"),
    ],
)
def test_what_is_no_pixels_is_refused(pixels, said):
    with pytest.raises(InputError, match=said):
        named("clip").normalised(pixels)


def test_no_pictures_are_fine():
    assert named("clip").normalised(np.zeros((0, 224, 224, 3), np.uint8)).shape == (0, 3, 224, 224)
    check_unit(np.zeros((0, 3, 2, 2), np.float32))


# ------------------------------------------------------------------------------------------------------- description


def test_published_constants():
    assert NAMED["clip"].mean == (0.48145466, 0.4578275, 0.40821073)
    assert NAMED["clip"].std == (0.26862954, 0.26130258, 0.27577711)
    assert NAMED["imagenet"].mean == (0.485, 0.456, 0.406)
    assert NAMED["imagenet"].std == (0.229, 0.224, 0.225)
    assert (NAMED["imagenet"].resize_to, NAMED["imagenet"].size) == (256, (224, 224))
    assert NAMED["inception"].resize_to == math.floor(299 / 0.875)
    assert {name for name, how in NAMED.items() if how.mean == how.std == (0.5,) * 3} == {"siglip", "inception", "vit"}
    assert {name for name, how in NAMED.items() if how.resize == "exact"} == {"siglip", "vit", "raw"}


@pytest.mark.parametrize("name", NAMED)
def test_to_dict_and_back(name):
    how = named(name)
    values = json.loads(json.dumps(how.to_dict()))
    again = Preprocessing.from_dict(values)
    assert again == how
    assert again.digest() == how.digest()
    assert "name" not in values


def test_the_name_decides_nothing_and_every_other_field_does():
    how = plain()
    assert how == plain(name="x")
    assert how.digest() == plain(name="x").digest()
    changes = {
        "size": (16, 17), "mean": (0.1, 0, 0), "std": (1, 1, 2), "resize": "exact", "resize_to": 20,
        "interpolation": "box", "crop": "round", "fill": (0, 0, 1),
    }  # fmt: skip
    digests = {how.with_(**{key: value}).digest() for key, value in changes.items()}
    assert len(digests | {how.digest()}) == len(changes) + 1
    assert set(changes) == set(how.to_dict())


def test_one_number_is_a_square_and_lists_are_tuples():
    assert plain(size=24, mean=[0, 0, 0]) == plain(size=(24, 24))


def test_with_says_what_changed():
    assert named("clip").with_(size=336).name == "clip with size 336"
    assert "336 x 336" in str(named("clip").with_(size=336))
    with pytest.raises(InputError, match="Did you mean 'resize_to'"):
        named("clip").with_(resizeto=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 0), ("size", (1, 2, 3)), ("size", "224"), ("size", 2.5), ("size", True), ("size", (10**6, 1)),
        ("mean", (0, 0)), ("mean", ("a", 0, 0)), ("mean", (math.nan, 0, 0)), ("std", (0, 1, 1)), ("std", (-1, 1, 1)),
        ("resize", "longest"), ("interpolation", "cubic"), ("crop", "middle"), ("fill", (0, 0, 256)), ("resize_to", 0),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(key, value):
    with pytest.raises(InputError, match=f"'{key}'"):
        plain(**{key: value})


def test_mean_of_8_bit_pixels_is_noticed():
    with pytest.raises(InputError, match=r"pixels in \[0, 1\]"):
        plain(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))


def test_an_edge_that_nothing_uses_is_refused():
    with pytest.raises(InputError, match="resize_to"):
        plain(resize="pad", resize_to=20)


# ----------------------------------------------------------------------------------------------------------- reading


def test_names_with_a_near_one():
    assert read_preprocessing("clip") is NAMED["clip"]
    assert read_preprocessing(NAMED["siglip"]) is NAMED["siglip"]
    with pytest.raises(UnknownNameError, match="Did you mean 'siglip'"):
        read_preprocessing("siglp")


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_files(tmp_path, suffix):
    values = {"size": [20, 30], "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 2.0], "resize": "pad"}
    text = json.dumps(values) if suffix == "json" else "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items())
    path = tmp_path / f"mine.{suffix}"
    path.write_text(text)
    found = read_preprocessing(path)
    assert found == Preprocessing.from_dict(values)
    assert found.name == f"mine.{suffix}"


def test_a_folder_of_a_model_and_its_file(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"}))
    assert read_preprocessing(tmp_path) == NAMED["clip"]
    assert read_preprocessing(tmp_path / "preprocessor_config.json") == NAMED["clip"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "cannot be read"),
        ("a.json", "[]", "no object"),
        ("a.toml", "size = ", "cannot be read"),
        ("a.json", '{"size": 3, "mean": [0,0,0]}', "does not say std"),
        ("a.json", '{"sizes": 3}', "Did you mean 'size'"),
        ("a.json", "\ud800", "cannot be read"),
    ],
)
def test_bad_files(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=said):
        read_preprocessing(tmp_path / name)


def test_missing_files(tmp_path):
    with pytest.raises(MissingFileError, match="no file"):
        read_preprocessing(tmp_path / "a.json")
    with pytest.raises(MissingFileError, match="preprocessor_config"):
        read_preprocessing(tmp_path)


def test_a_folder_with_the_name_of_a_preprocessing_is_read_as_a_folder(tmp_path, monkeypatch):
    own = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 96}, "do_center_crop": True,
           "crop_size": {"height": 96, "width": 96}, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3],
           "image_std": [0.4, 0.5, 0.6], "do_rescale": True, "rescale_factor": 1 / 255, "resample": 3, "do_convert_rgb": True}  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("clip").mkdir()
    Path("clip", "preprocessor_config.json").write_text(json.dumps(own))
    for found in (read_preprocessing(Path("clip")), Checkpoint(Path("clip"), "clip", ()).preprocessing()):
        assert (found.size, found.mean) == ((96, 96), (0.1, 0.2, 0.3))
    assert read_preprocessing("clip") == NAMED["clip"]
    assert read_preprocessing("./clip").mean == (0.1, 0.2, 0.3)
    assert read_preprocessing(Path("siglip")) == NAMED["siglip"]
