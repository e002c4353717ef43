"""Models of timm, as encoders and as classifiers, against timm's own transform and forward pass."""

# ruff: noqa: E402
from __future__ import annotations

import json

import numpy as np
import pytest

timm = pytest.importorskip("timm", reason="timm is not installed: make test-torchvision")
pytest.importorskip("torchvision", reason="timm's transforms need torchvision: make test-torchvision")
torch = pytest.importorskip("torch")

from models.torch_tools import pictures, trained
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config

from equipoise.checks.encoders import PICTURES_ONLY
from equipoise.errors import InputError, MissingFileError, UnknownNameError
from equipoise.models import hub
from equipoise.models.guard import prove
from equipoise.models.preprocessing import unit_pixels
from equipoise.models.references import load_classifier, load_encoder
from equipoise.models.timm import load, preprocessing_of
from equipoise.models.timm import load_classifier as load_head
from equipoise.testing import check_classifier, check_encoder

NAMES = ("test_vit", "test_resnet", "test_efficientnet")
SHAPES = ((300, 210), (97, 333), (160, 160), (168, 170), (9, 200), (7, 5))


def saved(path, name="test_vit", config=None, **options):
    """Save seeded weights of a model, and return the path and the model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = trained(timm.create_model(name, **options))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    if config is not None:
        path.with_name("config.json").write_text(json.dumps(config))
    return path, model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return {name: saved(tmp_path_factory.mktemp(name) / "model.safetensors", name) for name in NAMES}


def prepared(model, images):
    transform = create_transform(**resolve_data_config(pretrained_cfg=model.pretrained_cfg), is_training=False)
    return torch.stack([transform(image) for image in images])


def pixels_of(found, images):
    return np.stack([found.preprocessing.picture(image) for image in images])


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_timm(files, name):
    path, model = files[name]
    alone = timm.create_model(name, num_classes=0).eval()
    heads = tuple(key for key in model.state_dict() if key not in alone.state_dict())
    alone.load_state_dict({key: value for key, value in model.state_dict().items() if key not in heads})
    assert len(heads) == 2
    images = pictures(SHAPES)
    encoder = load_encoder(f"timm:{name}@{path}")
    with torch.no_grad():
        expected = alone(prepared(model, images)).numpy()
    found = encoder.encode_image(pixels_of(encoder, images))
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (len(images), encoder.dim)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert encoder.encode_image(np.empty((0, 160, 160, 3), np.uint8)).shape == (0, encoder.dim)
    assert encoder.name == f"timm:{name}@model.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_timm(files, name):
    path, model = files[name]
    images = pictures(SHAPES)
    classifier = load_classifier(f"timm:{name}@{path}")
    with torch.no_grad():
        expected = model(prepared(model, images)).numpy()
    found = classifier.scores(unit_pixels(pixels_of(classifier, images)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert classifier.labels[:2] == ("class 0", "class 1")
    assert len(classifier.labels) == 1000
    assert classifier.notes == ()


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("percent", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest", "lanczos"])
def test_pixels_are_those_of_timms_transform(mode, percent, interpolation):
    config = {
        "input_size": (3, 90, 90), "interpolation": interpolation, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4),
        "crop_pct": percent, "crop_mode": mode,
    }  # fmt: skip
    if mode == "border" and percent < 1:
        with pytest.raises(InputError, match="'border', crop_pct .* cannot be expressed"):
            preprocessing_of(config, "x")
        return
    transform = create_transform(**config, is_training=False)
    ours = preprocessing_of(config, "x")
    for image in pictures(SHAPES):
        expected = transform(image).numpy()
        np.testing.assert_allclose(ours.normalised(ours.picture(image)[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"input_size": (1, 90, 90)}, {"input_size": (3, 90, 60)}, {"interpolation": "random"}, {"crop_mode": "x"}],
)
def test_what_cannot_be_expressed_is_refused(change):
    config = {
        "input_size": (3, 90, 90), "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0,
        "crop_mode": "center",
    }  # fmt: skip
    with pytest.raises(InputError, match="cannot be expressed"):
        preprocessing_of({**config, **change}, "x")


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_contract(files, name):
    ref = f"timm:{name}@{files[name][0]}"
    assert "fresh" in check_classifier(load_classifier(ref), ref=ref)
    assert {"fresh", "picture_batches"} <= set(
        check_encoder(load_encoder(ref), ref=ref, expected_failures=PICTURES_ONLY)
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_by_one_as_in_a_batch(files, name):
    images = pictures(SHAPES)[:4]
    for model in (load(f"{name}@{files[name][0]}"), load_head(f"{name}@{files[name][0]}")):
        proof = prove(model, images)
        assert max(proof.again, proof.reversed, proof.single) <= 2e-5


def test_there_are_no_words(files):
    encoder = load(f"test_vit@{files['test_vit'][0]}")
    assert "no words" in encoder.notes[-1]
    with pytest.raises(InputError, match=r"no text tower: it cannot embed 2 queries or prompts.*open_clip"):
        encoder.encode_text(["a nurse", "a pilot"])


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(files, name):
    ref = f"{name}@{files[name][0]}"
    images = pictures(SHAPES)
    full, half = load(ref), load(ref, dtype="bfloat16", device="cpu")
    one, two = (model.encode_image(pixels_of(model, images)) for model in (full, half))
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert two.dtype == np.float32
    assert cosine.min() > 0.999
    assert np.abs(one - two).max() > 1e-5
    assert (half.fingerprint["dtype"], half.fingerprint["weights"]) == ("bfloat16", full.fingerprint["weights"])
    first, second = load_head(ref), load_head(ref, dtype="bfloat16")
    pixels = unit_pixels(pixels_of(first, images))
    apart = np.abs(first.scores(pixels) - second.scores(pixels)).max()
    assert 1e-6 < apart < 0.05 * np.abs(first.scores(pixels)).max()
    with pytest.raises(InputError, match="float64"):
        load(ref, dtype="float64")


def test_the_fingerprint_tells_what_decides_the_numbers(files, tmp_path):
    path, model = files["test_vit"]
    first = load(f"test_vit@{path}").fingerprint
    assert first == load(f"test_vit@{path}").fingerprint
    assert json.loads(json.dumps(first)) == first
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["norm.bias"][0] += 1
    save_file(state, tmp_path / "model.safetensors")
    found = load(f"test_vit@{tmp_path / 'model.safetensors'}").fingerprint
    assert [key for key in first if first[key] != found[key]] == ["weights"]
    head = load_head(f"test_vit@{path}").fingerprint
    assert [key for key in first if first[key] != head[key]] == ["output"]


def test_another_preprocessing(files):
    fixed, free = load(f"test_vit@{files['test_vit'][0]}"), load(f"test_resnet@{files['test_resnet'][0]}")
    other = free.preprocessing.with_(size=96, mean=(0.1, 0.2, 0.3))
    turned = load_encoder(f"timm:test_resnet@{files['test_resnet'][0]}", preprocessing=other)
    assert turned.fingerprint["preprocessing"] == other.to_dict() != free.fingerprint["preprocessing"]
    assert turned.encode_image(pixels_of(turned, pictures(SHAPES))).shape == (len(SHAPES), turned.dim)
    with pytest.raises(InputError, match="takes 160 x 160 pixels, and the preprocessing gives 96 x 96"):
        fixed.with_preprocessing(other)
    head = load_head(f"test_vit@{files['test_vit'][0]}")
    with pytest.raises(InputError, match="takes 160 x 160 pixels"):
        head.with_preprocessing(other)
    squash = head.preprocessing.with_(resize="exact", resize_to=None)
    assert head.with_preprocessing(squash).fingerprint["preprocessing"] == squash.to_dict()


# -------------------------------------------------------------------------------------------- a config.json beside it


def test_labels_and_preprocessing_of_the_config(tmp_path):
    config = {
        "architecture": "test_vit",
        "num_classes": 3,
        "label_names": ["crane", "cat", "crane"],
        "model_args": {"img_size": 96},
        "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 1.0, "mean": [0.1, 0.2, 0.3], "file": "/etc/passwd"},
    }
    path, model = saved(tmp_path / "model.safetensors", config=config, num_classes=3, img_size=96)
    found = load_classifier(f"timm:test_vit@{path}")
    assert found.labels == ("crane #0", "cat", "crane #2")
    assert found.preprocessing.size == (96, 96)
    assert found.preprocessing.mean == (0.1, 0.2, 0.3)
    pixels = pixels_of(found, pictures(SHAPES))
    with torch.no_grad():
        expected = model(torch.from_numpy(found.preprocessing.normalised(pixels))).numpy()
    np.testing.assert_allclose(found.scores(unit_pixels(pixels)), expected, atol=1e-5)

    def written(change):
        path.with_name("config.json").write_text(json.dumps({**config, **change}))
        return load_classifier(f"timm:test_vit@{path}")

    assert written({"label_names": {"0": "crow", "2": "owl"}}).labels == ("crow", "class 1", "owl")
    for change, says in (
        ({"label_names": ["a", "b"]}, "not 3 names"),
        ({"architecture": "test_resnet"}, "is of the architecture 'test_resnet'"),
        ({"model_args": 3}, "'model_args' of .* is no object"),
        ({"model_args": {"wings": 2}}, "cannot build.*wings"),
        ({"pretrained_cfg": {"wings": 2}}, "unknown key 'wings'"),
    ):
        with pytest.raises(InputError, match=says):
            written(change)
    path.with_name("config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load(f"test_vit@{path}")


def test_weights_without_a_head(tmp_path):
    path, model = saved(tmp_path / "model.safetensors", num_classes=0)
    encoder = load(f"test_vit@{path}")
    image = pixels_of(encoder, pictures(SHAPES)[:2])
    with torch.no_grad():
        expected = model(torch.from_numpy(encoder.preprocessing.normalised(image))).numpy()
    np.testing.assert_allclose(encoder.encode_image(image), expected, atol=1e-5)
    with pytest.raises(InputError, match="no classification head"):
        load_head(f"test_vit@{path}")


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("kept", [0, 7, 100, 20_000, -1])
def test_a_file_that_is_cut_short(files, tmp_path, kept):
    path = tmp_path / "model.safetensors"
    path.write_bytes(files["test_vit"][0].read_bytes()[:kept])
    with pytest.raises(InputError, match="cut short"):
        load(f"test_vit@{path}")


def test_weights_that_do_not_fit(files, tmp_path):
    path, _ = files["test_vit"]
    with pytest.raises(InputError, match=r"do not fit the model: \d+ are missing .*; \d+ are of another model"):
        load(f"test_resnet@{path}")
    state = load_file(path)
    other = tmp_path / "model.safetensors"
    save_file({**state, "cls_token": torch.zeros(1, 1, 32)}, other)
    with pytest.raises(InputError, match=r"1 have another shape \(cls_token is \(1, 1, 32\) and not \(1, 1, 64\)\)"):
        load(f"test_vit@{other}")
    save_file({**state, "norm.bias": torch.full((64,), torch.inf)}, other)
    with pytest.raises(InputError, match="NaN or infinity: norm.bias"):
        load(f"test_vit@{other}")


@pytest.mark.parametrize(
    ("argument", "kind", "says"),
    [
        ("test_vif", UnknownNameError, "Did you mean 'test_vit"),
        ("test_vit.r160_in1", UnknownNameError, "Did you mean 'r160_in1k'"),
        ("test_vit@nowhere.safetensors", MissingFileError, "There is no file 'nowhere.safetensors'"),
        ("test_vit@weights.pth", InputError, "pickled"),
        ("test_vit@", InputError, "names no model"),
        ("", InputError, "names no model"),
        ("hf-hub:timm/test_vit", InputError, "names no model"),
    ],
)
def test_names_that_are_wrong(argument, kind, says):
    for loader in (load, load_head):
        with pytest.raises(kind, match=says):
            loader(argument)


def test_random_weights_are_said_and_are_the_same_each_time(tmp_path):
    before = torch.random.get_rng_state()
    one, two, head = load("test_vit"), load("test_vit"), load_head("test_vit")
    assert torch.equal(before, torch.random.get_rng_state())
    assert "random" in one.notes[0]
    assert "timm:test_vit.TAG with r160_in1k" in one.notes[0]
    assert "random" in head.notes[0]
    image = pixels_of(one, pictures(SHAPES)[:2])
    np.testing.assert_array_equal(one.encode_image(image), two.encode_image(image))
    assert one.fingerprint == two.fingerprint
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "model.safetensors")
    for loader in (load, load_head):
        assert "look untrained" in loader(f"test_vit@{tmp_path / 'model.safetensors'}").notes[0]


def test_published_weights(files, monkeypatch):
    asked = []

    def hub_file(*what, local_files_only=False):
        asked.append((*what, local_files_only))
        return files["test_vit"][0]

    monkeypatch.setattr("equipoise.models.timm_files.hub_file", hub_file)
    found, plain = load("test_vit.r160_in1k"), load(f"test_vit@{files['test_vit'][0]}")
    assert asked.pop() == ("timm/test_vit.r160_in1k", "model.safetensors", False)
    image = pixels_of(found, pictures(SHAPES))
    np.testing.assert_allclose(found.encode_image(image), plain.encode_image(image), atol=1e-6)
    assert found.fingerprint["weights"] == plain.fingerprint["weights"]
    head = load_head("test_vit.r160_in1k", local_files_only=True)
    assert asked.pop()[-1] is True
    assert head.labels[:2] == ("tench", "goldfish")
    assert head.labels[134] == "crane #134"


def test_without_a_network_the_answer_comes_at_once(monkeypatch, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked = []

    def unreachable(url, *, timeout):
        asked.append(timeout)
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for loader in (load, load_head):
        with pytest.raises(InputError, match="not in the cache, and the hub cannot give it"):
            loader("test_vit.r160_in1k")
    assert asked == [hub.TIMEOUT] * 2
