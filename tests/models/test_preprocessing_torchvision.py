"""Preprocessing against torchvision, timm and open_clip themselves (``make test-torchvision``)."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from equipoise.models.preprocessing import CLIP_MEAN, CLIP_STD, HALF, Preprocessing, named

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed: make test-torchvision")

SIZES = [(1, 1), (1, 9), (9, 1), (31, 33), (57, 41), (40, 90), (225, 224), (230, 333), (500, 333)]


def assert_equal(ours: Preprocessing, theirs) -> None:
    for height, width in SIZES:
        pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        found = ours.normalised(ours.picture(picture)[None])[0]
        np.testing.assert_allclose(found, np.asarray(theirs(picture)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(("edge", "size"), [(40, 33), (20, 33), (33, (30, 35)), (256, 224)])
def test_resize_of_one_number_and_centre_crop(interpolation, edge, size):
    from torchvision import transforms

    ours = Preprocessing(size, CLIP_MEAN, CLIP_STD, "shortest", edge, interpolation, crop="round")
    theirs = transforms.Compose(
        [
            transforms.Resize(edge, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(ours.size),
            transforms.ToTensor(),
            transforms.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )
    assert_equal(ours, theirs)


def test_imagenet_is_the_transform_of_resnet_50():
    assert_equal(named("imagenet"), torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms(antialias=True))


@pytest.mark.parametrize(
    ("name", "model", "changes"),
    [
        ("inception", "inception_v3.tf_in1k", {}),
        # timm writes .5 and .5 for these; the published network takes (pixel - 127) / 128
        ("efficientnet-lite", "tf_efficientnet_lite0.in1k", {"mean": HALF, "std": HALF}),
    ],
)
def test_names_are_the_transforms_of_timm(name, model, changes):
    timm = pytest.importorskip("timm")
    config = timm.data.resolve_data_config(timm.get_pretrained_cfg(model).to_dict())
    assert_equal(named(name).with_(**changes), timm.data.create_transform(**config))


@pytest.mark.parametrize(
    ("size", "mode", "share", "ours"),
    [
        (32, "squash", 0.9, Preprocessing(32, HALF, HALF, "exact", 35, crop="round")),
        ((32, 40), "border", 1.0, Preprocessing((32, 40), HALF, HALF, "pad", crop="round", fill=(128, 128, 128))),
    ],
)
def test_crop_modes_of_timm(size, mode, share, ours):
    timm = pytest.importorskip("timm")
    transform = timm.data.create_transform(
        (3, *ours.size), crop_pct=share, crop_mode=mode, interpolation="bicubic", mean=HALF, std=HALF
    )
    assert_equal(ours, transform)


@pytest.mark.parametrize(("mode", "resize"), [("shortest", "shortest"), ("squash", "exact"), ("longest", "pad")])
def test_resize_modes_of_open_clip(mode, resize):
    transform = pytest.importorskip("open_clip.transform")
    theirs = transform.image_transform(32, False, CLIP_MEAN, CLIP_STD, resize_mode=mode)
    assert_equal(Preprocessing(32, CLIP_MEAN, CLIP_STD, resize, crop="round"), theirs)
