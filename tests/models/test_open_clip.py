"""Encoders of open_clip against open_clip's own transform, tokenizer and forward pass."""

# ruff: noqa: E402
from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed: make test-torchvision")
torch = pytest.importorskip("torch")

from models.torch_tools import pictures, trained
from safetensors.torch import load_file, save_file

from equipoise.errors import InputError, MissingFileError, UnknownNameError
from equipoise.models import hub
from equipoise.models.guard import prove
from equipoise.models.open_clip import load, preprocessing_of
from equipoise.models.references import load_encoder
from equipoise.testing import check_encoder

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
TOWER = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
VARIANTS = {
    "plain": MODEL,
    "quick": {**MODEL, "quick_gelu": True},
    "siglip": {
        **MODEL,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {**TOWER, "image_size": 160},
        "text_cfg": {**MODEL["text_cfg"], "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "resnet": {**MODEL, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}},
}
PREPARED = {
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "size": [32, 32],
}
TEXTS = ["a photo of a cat", "Two   dogs &amp; a bird!", "", "word " * 40, "日本語の文"]


def quietly(call, *args, **options):
    """open_clip warns through the root logger where weights are random; that is not what is tested."""
    from equipoise.models.torch_run import quiet

    with quiet():
        return call(*args, **options)


def saved(path, model=MODEL, prepared=PREPARED, weights="open_clip_model.safetensors", seed=5):
    path.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model, **({"preprocess_cfg": prepared} if prepared else {})}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    made = trained(quietly(open_clip.create_model, f"local-dir:{path}", load_weights=False), seed)
    save_file({key: value.contiguous() for key, value in made.state_dict().items()}, path / weights)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("clip") / "tiny")


def theirs(path):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{path}")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{path}")


def pixels_of(encoder, images):
    return np.stack([encoder.preprocessing.picture(image) for image in images])


@pytest.mark.parametrize("variant", VARIANTS)
def test_vectors_are_those_of_open_clip(tmp_path, variant):
    path = saved(tmp_path / "model", VARIANTS[variant])
    model, transform, tokenizer = theirs(path)
    encoder = load_encoder(f"open_clip:local-dir:{path}")
    images = pictures()
    with torch.no_grad():
        expected = model.encode_image(torch.stack([transform(image) for image in images])).numpy()
        texts = model.encode_text(tokenizer(TEXTS)).numpy()
    found = encoder.encode_image(pixels_of(encoder, images))
    assert found.dtype == np.float32
    assert found.shape == (len(images), encoder.dim)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(encoder.encode_text(TEXTS), texts, atol=1e-5 * np.abs(texts).max())
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert encoder.notes == ()


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("fill", [0, 9])
def test_pixels_are_those_of_open_clips_transform(mode, interpolation, fill):
    config = {
        "size": 32, "mode": "RGB", "mean": (0.5, 0.4, 0.3), "std": 0.25, "interpolation": interpolation,
        "resize_mode": mode, "fill_color": fill,
    }  # fmt: skip
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    ours = preprocessing_of(config, "x")
    for image in pictures():
        expected = transform(image).numpy()
        np.testing.assert_allclose(ours.normalised(ours.picture(image)[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["longest", "squash"])
def test_pictures_that_are_no_squares(mode):
    config = {"size": (24, 40), "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": mode}
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    ours = preprocessing_of(config, "x")
    for image in pictures():
        np.testing.assert_allclose(ours.normalised(ours.picture(image)[None])[0], transform(image).numpy(), atol=1e-6)
    with pytest.raises(InputError, match="shortest.*cannot be expressed"):
        preprocessing_of({**config, "resize_mode": "shortest"}, "x")


def test_the_contract(folder):
    ref = f"open_clip:local-dir:{folder}"
    assert "fresh" in check_encoder(load_encoder(ref), ref=ref)


def test_one_by_one_as_in_a_batch(folder):
    encoder = load(f"local-dir:{folder}")
    proof = prove(encoder, pictures()[:4])
    assert max(proof.again, proof.reversed, proof.single) <= 1e-5
    together = encoder.encode_text(TEXTS)
    alone = np.concatenate([encoder.encode_text([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    many = encoder.encode_text([TEXTS[0]] * 300)
    np.testing.assert_allclose(many, np.repeat(together[:1], 300, axis=0), atol=1e-5)
    assert encoder.encode_text([]).shape == encoder.encode_image(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, 16)


def test_what_is_longer_than_the_context_is_said(folder):
    encoder = load(f"local-dir:{folder}")
    assert encoder.max_text_length == 12
    texts = ["a " * 10, "a " * 11, *TEXTS]  # 12 tokens with begin and end, and 13
    cut = encoder.truncated(texts)
    assert cut == [False, True, False, False, False, True, encoder.truncated(TEXTS[4:])[0]]
    assert encoder.truncated([]) == []
    same = encoder.encode_text(["a " * 11, "a " * 30])
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)
    assert np.abs(encoder.encode_text(["a " * 9])[0] - same[0]).max() > 1e-3


def test_bfloat16(folder):
    full, half = load(f"local-dir:{folder}"), load(f"local-dir:{folder}", dtype="bfloat16", device="cpu")
    images = pictures()
    for one, two in (
        (full.encode_image(pixels_of(full, images)), half.encode_image(pixels_of(half, images))),
        (full.encode_text(TEXTS), half.encode_text(TEXTS)),
    ):
        assert two.dtype == np.float32
        cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
        assert cosine.min() > 0.999
        assert np.abs(one - two).max() > 1e-5  # it did compute in bfloat16
    assert half.fingerprint["dtype"] == "bfloat16"
    assert half.fingerprint["weights"] == full.fingerprint["weights"]
    with pytest.raises(InputError, match="float16"):
        load(f"local-dir:{folder}", dtype="float16")
    with pytest.raises(InputError, match="nonsense"):
        load(f"local-dir:{folder}", device="nonsense")


def test_the_fingerprint_tells_what_decides_the_numbers(folder, tmp_path):
    first = load(f"local-dir:{folder}").fingerprint
    assert first == load(f"local-dir:{folder}").fingerprint
    assert json.loads(json.dumps(first)) == first
    other = {
        "weights": saved(tmp_path / "weights", seed=6),
        "config": saved(tmp_path / "config", VARIANTS["quick"]),
        "preprocessing": saved(tmp_path / "pixels", prepared={**PREPARED, "resize_mode": "squash"}),
    }
    for key, path in other.items():
        found = load(f"local-dir:{path}").fingerprint
        assert [name for name in first if first[name] != found[name]] == [key]


def test_another_preprocessing(folder):
    encoder = load(f"local-dir:{folder}")
    squash = encoder.preprocessing.with_(resize="exact", mean=(0.1, 0.2, 0.3))
    other = load_encoder(f"open_clip:local-dir:{folder}", preprocessing=squash)
    assert other.preprocessing == squash
    assert other.fingerprint["preprocessing"] == squash.to_dict()
    assert encoder.fingerprint["preprocessing"] != squash.to_dict()
    image = pixels_of(other, pictures()[:1])
    assert np.abs(other.encode_image(image) - encoder.encode_image(image)).max() > 1e-4
    with pytest.raises(InputError, match="takes 32 x 32 pixels, and the preprocessing gives 64 x 64"):
        encoder.with_preprocessing(squash.with_(size=64))


# ------------------------------------------------------------------------------------------------- what goes wrong


def test_weights_that_are_missing_or_pickled(tmp_path):
    path = saved(tmp_path / "model")
    weights = path / "open_clip_model.safetensors"
    state = load_file(weights)
    weights.unlink()
    with pytest.raises(MissingFileError, match="holds no weights"):
        load(f"local-dir:{path}")

    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('a pickle ran')",))

    (path / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"pickled checkpoints are not read"):
        load(f"local-dir:{path}")
    save_file(state, path / "model.safetensors")  # open_clip itself would now take the .bin
    assert load(f"local-dir:{path}").dim == 16
    save_file(state, path / "one.safetensors")
    (path / "model.safetensors").rename(path / "two.safetensors")
    with pytest.raises(InputError, match=r"2 safetensors files: one.safetensors, two.safetensors"):
        load(f"local-dir:{path}")


@pytest.mark.parametrize("kept", [0, 7, 100, 20_000, -1])
def test_a_file_that_is_cut_short(tmp_path, kept):
    path = saved(tmp_path / "model")
    weights = path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(InputError, match="cut short"):
        load(f"local-dir:{path}")


def test_weights_that_do_not_fit(tmp_path):
    path = saved(tmp_path / "model")
    weights = path / "open_clip_model.safetensors"
    state = load_file(weights)
    save_file({key: value for key, value in state.items() if key != "text_projection"}, weights)
    with pytest.raises(InputError, match=r"do not fit.*text_projection"):
        load(f"local-dir:{path}")
    save_file({**state, "text_projection": torch.zeros(3, 3)}, weights)
    with pytest.raises(InputError, match=r"do not fit.*text_projection"):
        load(f"local-dir:{path}")
    save_file({**state, "text_projection": torch.full((16, 16), torch.nan)}, weights)
    with pytest.raises(InputError, match=r"NaN or infinity: text_projection"):
        load(f"local-dir:{path}")
    save_file({}, weights)
    with pytest.raises(InputError, match="holds no weights"):
        load(f"local-dir:{path}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no open_clip_config.json"),
        ("{", "cannot be read"),
        ("[1]", "no model_cfg"),
        (json.dumps({"model_cfg": {"embed_dim": 3}}), "no model_cfg with"),
        (json.dumps({"model_cfg": {**MODEL, "vision_cfg": {"wings": 2}}}), "wings"),
        (json.dumps({"model_cfg": {**MODEL, "text_cfg": {"hf_tokenizer_name": "somebody/words"}}}), "cannot build"),
        (json.dumps({"model_cfg": {**MODEL, "text_cfg": {"hf_model_name": "somebody/text"}}}), "cannot build"),
    ],
)
def test_a_configuration_that_is_wrong(tmp_path, text, says):
    path = saved(tmp_path / "model")
    (path / "open_clip_config.json").unlink()
    if text is not None:
        (path / "open_clip_config.json").write_text(text)
    with pytest.raises(InputError, match=says):
        load(f"local-dir:{path}")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(MissingFileError, match="There is no folder"):
        load(f"local-dir:{tmp_path / 'nowhere'}")


def test_random_weights_are_said_and_are_the_same_each_time(tmp_path, tiny):
    before = torch.random.get_rng_state()
    one, two = load(tiny), load(tiny)
    assert torch.equal(before, torch.random.get_rng_state())
    assert "random" in one.notes[0]
    assert one.fingerprint == two.fingerprint
    image = pixels_of(one, pictures()[:2])
    np.testing.assert_array_equal(one.encode_image(image), two.encode_image(image))
    path = saved(tmp_path / "model", prepared=None)
    fresh = quietly(open_clip.create_model, f"local-dir:{path}", load_weights=False)
    save_file(
        {key: value.contiguous() for key, value in fresh.state_dict().items()}, path / "open_clip_model.safetensors"
    )
    notes = load(f"local-dir:{path}").notes
    assert "no preprocess_cfg" in notes[0]
    assert "look untrained" in notes[1]


# ------------------------------------------------------------------------------------- architectures, tags, the hub


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An architecture of open_clip that is small, with published weights of two kinds."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [])
    monkeypatch.setattr(
        open_clip.factory, "_MODEL_CONFIGS", {"ViT-Tiny-8": MODEL, "ViT-Tiny-8-quickgelu": VARIANTS["quick"]}
    )
    card = {"hf_hub": "somebody/tiny/", "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "resize_mode": "squash"}
    tags = {
        "hub": card,
        "quick": {**card, "quick_gelu": True, "hf_hub": "somebody/tiny/open_clip_pytorch_model.bin"},
        "pickle": {"url": "https://example.org/weights.pt"},
    }
    monkeypatch.setattr(open_clip.pretrained, "_PRETRAINED", {"ViT-Tiny-8": tags, "ViT-Tiny-8-quickgelu": tags})
    return "ViT-Tiny-8"


def test_published_weights(folder, tiny, monkeypatch):
    asked = []

    def hub_file(*what, local_files_only=False):
        asked.append((*what, local_files_only))
        return folder / "open_clip_model.safetensors"

    monkeypatch.setattr("equipoise.models.open_clip_files.hub_file", hub_file)
    found = load(f"{tiny}/hub")
    assert asked.pop() == ("somebody/tiny", "open_clip_model.safetensors", False)
    assert found.name == "open_clip:ViT-Tiny-8/hub"
    assert found.notes == ()
    assert (found.preprocessing.mean, found.preprocessing.resize) == ((0.1, 0.2, 0.3), "exact")
    image = pixels_of(found, pictures()[:2])
    model = theirs(folder)[0]
    with torch.no_grad():
        expected = model.encode_image(torch.from_numpy(found.preprocessing.normalised(image))).numpy()
    np.testing.assert_allclose(found.encode_image(image), expected, atol=1e-5)

    quick = load(f"{tiny}/quick", local_files_only=True)
    assert asked.pop() == ("somebody/tiny", "open_clip_model.safetensors", True)
    assert np.abs(quick.encode_image(image) - expected).max() > 1e-4  # another activation, as the tag says
    by_name = load(f"{tiny}-quickgelu/quick")
    np.testing.assert_allclose(by_name.encode_image(image), quick.encode_image(image), atol=1e-6)
    assert "without -quickgelu" in load(f"{tiny}-quickgelu/hub").notes[0]


def test_an_architecture_with_a_file(folder, tiny):
    found = load(f"{tiny}/{folder}/open_clip_model.safetensors")
    assert found.name == "open_clip:ViT-Tiny-8/open_clip_model.safetensors"
    assert found.notes == ()
    with pytest.raises(MissingFileError, match="There is no file"):
        load(f"{tiny}/{folder}/other.safetensors")
    with pytest.raises(InputError, match="pickled"):
        load(f"{tiny}/{folder}/other.pt")


@pytest.mark.parametrize(
    ("argument", "kind", "says"),
    [
        ("ViT-Tiny-9", UnknownNameError, "Did you mean 'ViT-Tiny-8'"),
        ("ViT-Tiny-8/hug", UnknownNameError, "Did you mean 'hub'.*Its tags: hub, quick, pickle"),
        ("ViT-Tiny-8/pickle", InputError, "pickled"),
        ("", InputError, "names no model"),
        ("hf-hub:somebody/tiny", InputError, "names no model"),
    ],
)
def test_names_that_are_wrong(tiny, argument, kind, says):
    with pytest.raises(kind, match=says):
        load(argument)


def test_without_a_network_the_answer_comes_at_once(tiny, monkeypatch, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked = []

    def unreachable(url, *, timeout):
        asked.append((url, timeout))
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"not in the cache, and the hub cannot give it: Name or service not known"):
        load(f"{tiny}/hub")
    assert [timeout for _, timeout in asked] == [hub.TIMEOUT]
    assert "somebody/tiny" in asked[0][0]
    with pytest.raises(InputError, match="no network is used"):
        load(f"{tiny}/hub", local_files_only=True)
    assert len(asked) == 1


def test_inside_a_folder_no_network_is_asked():
    constants = pytest.importorskip("huggingface_hub").constants
    before = constants.HF_HUB_OFFLINE
    with hub.offline():
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE == before


# --------------------------------------------------------------------------------------- tokenizers of transformers


@pytest.mark.parametrize("mode", [None, "clips"])
def test_a_tokenizer_of_transformers_in_the_folder(tmp_path, mode):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {
        word: place for place, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<c>", "a", "photo", "of", "cat"])
    }
    tokens = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<c>"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **special)
    text = {**MODEL["text_cfg"], "vocab_size": 9, "hf_tokenizer_name": "somebody/words"}
    # a folder must not be able to switch somebody's code on
    text |= {"tokenizer_kwargs": {"clean": "canonicalize", "trust_remote_code": True}}
    if mode:
        text["tokenizer_mode"] = mode
    path = tmp_path / "model"
    fast.save_pretrained(path)
    saved(path, {**MODEL, "text_cfg": text})
    model, _, tokenizer = theirs(path)
    encoder = load(f"local-dir:{path}")
    texts = ["a photo of a cat!", "cat", "a " * 9, "a " * 10, "a " * 12, "a " * 13]
    with torch.no_grad():
        expected = model.encode_text(tokenizer(texts)).numpy()
    np.testing.assert_allclose(encoder.encode_text(texts), expected, atol=1e-5)
    limit = 12 - (3 if mode else 0)
    assert encoder.truncated(texts) == [count > limit for count in (5, 1, 9, 10, 12, 13)]
    assert len(encoder.fingerprint["tokenizer"]) == 64
    assert "transformers" in encoder.fingerprint["versions"]
    assert encoder._tokenizer.tokenizer.init_kwargs.get("trust_remote_code") is not True
