"""Processors of transformers: what their files say, against the pixels that they themselves make."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from equipoise.errors import InputError
from equipoise.models.preprocessing import preprocessing_of_processor, read_preprocessing
from equipoise.models.processor_config import DEFAULTS

SIZES = [(1, 1), (1, 9), (9, 1), (31, 33), (57, 41), (40, 90), (225, 224), (230, 333)]

CONFIGS = [
    ("CLIP", {}),
    ("CLIP", {"size": {"shortest_edge": 40}, "crop_size": {"height": 33, "width": 31}}),
    ("CLIP", {"size": {"shortest_edge": 20}, "crop_size": {"height": 33, "width": 30}}),
    ("CLIP", {"do_resize": False, "crop_size": {"height": 50, "width": 51}}),
    ("CLIP", {"do_normalize": False, "resample": 0}),
    ("CLIP", {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [70.0, 60.0, 50.0]}),
    ("CLIP", {"rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0}),
    ("CLIP", {"size": {"height": 33, "width": 31}, "do_center_crop": False}),
    ("ChineseCLIP", {}),
    ("Bit", {"size": {"shortest_edge": 60}, "crop_size": {"height": 56, "width": 56}}),
    ("Siglip", {}),
    ("Siglip", {"size": {"height": 21, "width": 35}, "resample": 2}),
    ("ViT", {}),
    ("ViT", {"size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.1, 0.2, 0.3]}),
    ("Beit", {}),
    ("DeiT", {}),
    ("Blip", {"size": {"height": 48, "width": 48}}),
    ("MobileNetV1", {}),
    ("MobileNetV2", {}),
    ("ConvNext", {"size": {"shortest_edge": 56}}),
    ("ConvNext", {"size": {"shortest_edge": 64}, "crop_pct": 0.95}),
    ("ConvNext", {}),
    ("EfficientNet", {}),
    ("EfficientNet", {"size": {"height": 32, "width": 32}, "do_center_crop": True, "crop_size": {"height": 29, "width": 29},
                      "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False, "include_top": False}),
]  # fmt: skip


def processor(kind: str, settings: dict):
    transformers = pytest.importorskip("transformers")
    folder = {
        "CLIP": "clip",
        "ChineseCLIP": "chinese_clip",
        "MobileNetV1": "mobilenet_v1",
        "MobileNetV2": "mobilenet_v2",
    }
    name = folder.get(kind, kind.lower())
    try:
        module = __import__(
            f"transformers.models.{name}.image_processing_pil_{name}", fromlist=[f"{kind}ImageProcessorPil"]
        )
        return getattr(module, f"{kind}ImageProcessorPil")(**settings)
    except ModuleNotFoundError:
        return getattr(transformers, f"{kind}ImageProcessor")(**settings)


@pytest.mark.parametrize(("kind", "settings"), CONFIGS)
def test_the_pixels_are_those_of_the_processor_itself(kind, settings):
    theirs = processor(kind, settings)
    config = theirs.to_dict()
    ours = preprocessing_of_processor(config)
    worst = 0.0
    for height, width in SIZES:
        pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        # np: the processors guess the axis of channels, wrongly where a picture has one or three rows
        expected = np.asarray(theirs(picture, return_tensors="np")["pixel_values"][0])
        found = ours.normalised(ours.picture(picture)[None])[0]
        assert found.shape == expected.shape
        worst = max(worst, float(np.abs(found - expected).max()))
    assert worst <= 1e-6 * max(1.0, *(1 / value for value in ours.std))


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_a_file_leaves_out_is_as_the_processor_has_it(kind):
    assert preprocessing_of_processor({"image_processor_type": f"{kind}ImageProcessor"}) == preprocessing_of_processor(
        processor(kind, {}).to_dict()
    )


@pytest.mark.parametrize("suffix", ["ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"])
def test_older_and_newer_files(suffix):
    older = {"size": 224, "crop_size": 224, "resample": 3, "do_center_crop": True, "do_resize": True}
    key = "feature_extractor_type" if suffix == "FeatureExtractor" else "image_processor_type"
    assert preprocessing_of_processor({key: f"CLIP{suffix}", **older}) == read_preprocessing("clip")
    nested = {"image_processor": {key: f"CLIP{suffix}"}, "processor_class": "CLIPProcessor"}
    assert read_preprocessing(nested) == read_preprocessing("clip")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16}, "Siglip2ImageProcessor"),
        ({"image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({"do_resize": True}, "does not say its kind"),
        ({"image_processor_type": "CLIPImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "CLIPImageProcessor", "do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "shape of each picture"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "neither resizes nor crops"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9, "longest_edge": 12}},
            "longest_edge",
        ),
        ({"image_processor_type": "CLIPImageProcessor", "resample": 9}, "resample"),
        ({"image_processor_type": "CLIPImageProcessor", "image_mean": [0.5]}, "image_mean"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 3, "width": 4}}, "size"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(config, said):
    with pytest.raises(InputError, match=said):
        preprocessing_of_processor(config)


def test_steps_that_are_switched_off_do_not_matter():
    config = {"image_processor_type": "CLIPImageProcessor", "do_pad": False, "do_flip_channel_order": None}
    assert preprocessing_of_processor(config) == read_preprocessing("clip")
