"""Encoders of transformers, against transformers' own forward with its own processor. Skipped without torch."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package)

import tiny_transformers as tiny  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from tiny_transformers import LONG, TEXTS, pictures  # noqa: E402

from equipoise.errors import EmbeddingError, InputError, MissingFileError  # noqa: E402
from equipoise.models.guard import prove  # noqa: E402
from equipoise.models.transformers import TransformersEncoder, load  # noqa: E402
from equipoise.models.transformers_text import vectors  # noqa: E402
from equipoise.testing import check_encoder  # noqa: E402

MODELS = ("clip", "siglip", "siglip2", "dual", "chinese", "altclip")
TRIMMED = {"clip": True, "siglip": False, "siglip2": False, "dual": True, "chinese": True, "altclip": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: getattr(tiny, name)(base / name) for name in MODELS}


@pytest.fixture(scope="module")
def encoders(folders: dict[str, Path]) -> dict[str, TransformersEncoder]:
    return {name: load(str(folder), device="cpu") for name, folder in folders.items()}


@pytest.fixture
def clip(folders: dict[str, Path], tmp_path: Path) -> Path:
    """Return a CLIP of one's own, to be broken."""
    return Path(shutil.copytree(folders["clip"], tmp_path / "clip"))


def pixels(encoder: TransformersEncoder, n: int = 5) -> np.ndarray:
    return np.stack([encoder.preprocessing.picture(picture) for picture in pictures(n)])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def oracle(folder: Path, context: int) -> tuple[np.ndarray, np.ndarray]:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer([*TEXTS, LONG], padding="max_length", max_length=context, truncation=True, return_tensors="pt")
    seen = AutoImageProcessor.from_pretrained(folder, backend="pil")(pictures(), return_tensors="pt")
    with torch.inference_mode():
        out = AutoModel.from_pretrained(folder).eval()(**tokens, pixel_values=seen["pixel_values"])
    return out.text_embeds.numpy(), out.image_embeds.numpy()


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads(path.read_text("utf-8"))
    change(found)
    path.write_text(json.dumps(found), "utf-8")


# -------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("name", MODELS)
def test_both_towers_equal_those_of_transformers(name, folders, encoders):
    encoder = encoders[name]
    texts, images = oracle(folders[name], encoder.max_text_length)
    found = encoder.encode_text([*TEXTS, LONG])
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS) + 1, encoder.dim)
    np.testing.assert_allclose(unit(found), unit(texts), atol=1e-5)
    found = encoder.encode_image(pixels(encoder))
    assert found.dtype == np.float32
    np.testing.assert_allclose(unit(found), unit(images), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_vector_does_not_depend_on_its_batch(name, encoders):
    encoder = encoders[name]
    whole = encoder.encode_text(TEXTS)
    np.testing.assert_allclose(encoder.encode_text(TEXTS[::-1]), whole[::-1], atol=2e-5)
    np.testing.assert_allclose(np.concatenate([encoder.encode_text([text]) for text in TEXTS]), whole, atol=2e-5)
    prove(encoder, pictures())


def test_texts_come_back_in_their_order_whatever_their_length(encoders):
    encoder = encoders["clip"]
    texts = [f"{'a photo of ' * (i % 5)}cat {i}" for i in range(150)]  # of 5 lengths, in 3 batches of 64
    found = encoder.encode_text(texts)
    for place in (0, 1, 63, 64, 149):
        np.testing.assert_allclose(found[place], encoder.encode_text([texts[place]])[0], atol=2e-5)


def test_nothing_in_nothing_out(encoders):
    encoder = encoders["clip"]
    assert encoder.encode_text([]).shape == (0, 16)
    assert encoder.truncated([]) == []
    assert encoder.encode_image(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, 16)


def test_a_tensor_and_an_output_object_give_the_same(encoders, monkeypatch):
    encoder = encoders["clip"]
    expected = encoder.encode_text(TEXTS)
    whole = encoder._model.get_text_features
    monkeypatch.setattr(encoder._model, "get_text_features", lambda **given: whole(**given).pooler_output)
    np.testing.assert_array_equal(encoder.encode_text(TEXTS), expected)  # as transformers 4 gave them


@pytest.mark.parametrize("out", [torch.zeros(2, 5, 4), object(), torch.zeros(3)])
def test_vectors_a_token_are_refused(out):
    with pytest.raises(EmbeddingError, match="and not one vector"):
        vectors(out, "x", "text")


# ------------------------------------------------------------------------------------------------------------ trimming


@pytest.mark.parametrize("name", MODELS)
def test_trimming_is_used_where_it_is_exact_and_nowhere_else(name, encoders):
    encoder = encoders[name]
    assert encoder.trimmed is TRIMMED[name]
    said = [note for note in encoder.notes if "padded to all 24 tokens" in note]
    assert bool(said) is not TRIMMED[name]


@pytest.mark.parametrize("name", MODELS)
def test_what_the_model_is_given_is_as_long_as_it_must_be(name, encoders, monkeypatch):
    encoder = encoders[name]
    lengths = []
    whole = encoder._model.get_text_features

    def watched(**given):
        lengths.append(given["input_ids"].shape[1])
        return whole(**given)

    monkeypatch.setattr(encoder._model, "get_text_features", watched)
    monkeypatch.setattr(encoder, "text_batch", 2)
    encoder.encode_text(["cat", "a photo of a cat", "dog", "a photo of a cat and a dog"])
    if TRIMMED[name]:
        assert lengths[0] < lengths[1] < encoder.max_text_length
    else:
        assert lengths == [encoder.max_text_length] * 2


def test_texts_longer_than_the_context_are_cut_by_the_tokenizer_and_reported(encoders):
    for name, context in (("clip", 24), ("siglip", 24), ("dual", 40), ("altclip", 28)):
        encoder = encoders[name]
        assert encoder.max_text_length == context
        assert encoder.truncated(["a cat", LONG, ""]) == [False, True, False]
    encoder = encoders["clip"]
    ids = encoder._texts.tokens([LONG])[0]["input_ids"]
    assert len(ids) == 24
    assert ids[-1] == encoder._texts._tokenizer.eos_token_id


def test_prompts_are_tokenised_once(encoders, monkeypatch):
    texts = encoders["clip"]._texts
    calls = []
    inner = texts._tokenise
    monkeypatch.setattr(texts, "_tokenise", lambda given, **more: calls.append(len(given)) or inner(given, **more))
    encoders["clip"].encode_text([f"cat {i}" for i in range(200)])
    assert calls == [200]


def test_a_text_that_is_no_unicode_is_named(encoders):
    with pytest.raises(InputError, match="udcff"):
        encoders["clip"].encode_text(["a cat", "x\udcff"])
    with pytest.raises(InputError, match="list of texts"):
        encoders["clip"].encode_text("a cat")
    with pytest.raises(InputError, match="int"):
        encoders["clip"].encode_text(["a cat", 3])


def test_the_end_of_a_text_is_where_the_model_looks(clip, tmp_path):
    end = json.loads((clip / "config.json").read_text("utf-8"))["text_config"]["eos_token_id"]
    expected = load(str(clip)).encode_text(TEXTS)
    # 2, as in old files: the highest token, which ends a text here too
    edit(clip / "config.json", lambda config: config["text_config"].update(eos_token_id=2))
    np.testing.assert_allclose(load(str(clip)).encode_text(TEXTS), expected, atol=1e-6)
    # a token that no text has: transformers would take the first token of every text in silence
    edit(clip / "config.json", lambda config: config["text_config"].update(eos_token_id=end - 5))
    with pytest.raises(EmbeddingError, match=f"eos_token_id {end - 5}, its tokenizer ends a text with {end}"):
        load(str(clip))


def test_a_tokenizer_of_another_model_is_refused(clip):
    state = load_file(clip / "model.safetensors")
    state["text_model.embeddings.token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"][:300]
    save_file(state, clip / "model.safetensors", metadata={"format": "pt"})
    edit(clip / "config.json", lambda config: config["text_config"].update(vocab_size=300))
    with pytest.raises(InputError, match="model knows 300"):
        load(str(clip))


# ------------------------------------------------------------------------------------------------- dtype, device, card


def test_bfloat16_gives_float32_vectors_close_to_those_of_float32(folders, encoders):
    half = load(str(folders["clip"]), dtype="bfloat16")
    assert half.fingerprint["dtype"] == "bfloat16"
    assert half.trimmed
    for found, expected in (
        (half.encode_text(TEXTS), encoders["clip"].encode_text(TEXTS)),
        (half.encode_image(pixels(half)), encoders["clip"].encode_image(pixels(half))),
    ):
        assert found.dtype == np.float32
        cosines = (unit(found) * unit(expected)).sum(1)
        assert 0.99 < cosines.min() < 1 - 1e-7  # another arithmetic, and near


@pytest.mark.parametrize(("option", "said"), [({"dtype": "float8"}, "float8"), ({"device": "nowhere"}, "nowhere")])
def test_unknown_dtype_and_device(option, said, folders):
    with pytest.raises(InputError, match=said):
        load(str(folders["clip"]), **option)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_absent(folders):
    with pytest.raises(InputError, match="cuda"):
        load(str(folders["clip"]), device="cuda")


def test_fingerprint_changes_with_whatever_decides_the_numbers(clip, encoders):
    first = load(str(clip)).fingerprint
    assert first == encoders["clip"].fingerprint  # a copy elsewhere is the same model
    assert set(first["versions"]) == {"torch", "transformers", "tokenizers"}
    json.dumps(first)
    other = load(str(clip), preprocessing={"size": [32, 32], "mean": [0, 0, 0], "std": [1, 1, 1]}).fingerprint
    assert {key for key in first if first[key] != other[key]} == {"preprocessing"}
    data = bytearray((clip / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (clip / "model.safetensors").write_bytes(data)
    flipped = load(str(clip)).fingerprint
    assert {key for key in first if first[key] != flipped[key]} == {"weights"}
    (clip / "tokenizer_config.json").write_text((clip / "tokenizer_config.json").read_text("utf-8") + "\n", "utf-8")
    assert load(str(clip)).fingerprint["config"] != first["config"]


def test_another_preprocessing(encoders):
    encoder = encoders["clip"]
    other = encoder.with_preprocessing(encoder.preprocessing.with_(mean=(0.5, 0.5, 0.5)))
    assert other.fingerprint != encoder.fingerprint
    assert np.abs(other.encode_image(pixels(other)) - encoder.encode_image(pixels(encoder))).max() > 1e-3
    np.testing.assert_array_equal(other.encode_text(TEXTS), encoder.encode_text(TEXTS))
    with pytest.raises(InputError, match="takes no pictures of 48 x 48"):
        encoder.with_preprocessing(encoder.preprocessing.with_(size=(48, 48)))


def test_memory_of_the_gpu_is_not_hidden(encoders, monkeypatch):
    def exhausted(**given):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(encoders["clip"]._model, "get_image_features", exhausted)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        encoders["clip"].encode_image(pixels(encoders["clip"]))


# ------------------------------------------------------------------------------------------------------------ untrained


def test_an_untrained_model_is_noticed(tmp_path):
    encoder = load(str(tiny.clip(tmp_path / "fresh", trained=False)))
    assert encoder.notes[0].startswith("The weights look untrained: all")


def test_a_trained_model_has_no_notes(encoders):
    for name in ("clip", "dual", "chinese", "altclip"):
        assert encoders[name].notes == ()


def test_one_untrained_tower_is_noticed(clip, tmp_path):
    fresh = load_file(tiny.clip(tmp_path / "fresh", trained=False) / "model.safetensors")
    state = load_file(clip / "model.safetensors")
    save_file(
        {name: (fresh if name.startswith("text_model.") else state)[name] for name in state},
        clip / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert [note.partition(":")[0] for note in load(str(clip)).notes] == ["In 'text_model'"]


def test_weights_that_the_files_lack_are_said_and_drawn_the_same_each_time(clip):
    state = load_file(clip / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, clip / "model.safetensors", metadata={"format": "pt"})
    before = torch.get_rng_state()
    first, second = load(str(clip)), load(str(clip))
    assert torch.equal(before, torch.get_rng_state())
    assert "visual_projection.weight" in first.notes[0]
    assert "drawn at random" in first.notes[0]
    np.testing.assert_array_equal(first.encode_image(pixels(first)), second.encode_image(pixels(second)))


def test_weights_of_another_model(clip):
    save_file({"x": np.ones(3, np.float32)}, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="None of the weights"):
        load(str(clip))


# ----------------------------------------------------------------------------------------------------- broken on disk


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def header(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def broken(path: Path) -> None:
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        new = change(data[8 : 8 + size])
        path.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + size :])

    return broken


def overlapping(path: Path) -> None:
    head = json.dumps({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(8))


@pytest.mark.parametrize(
    "harm",
    [
        truncated,
        header(lambda head: head[:40] + bytes([head[40] ^ 255]) + head[41:]),  # a bit-flip that JSON notices
        overlapping,
        lambda path: path.write_bytes(struct.pack("<Q", 2**40) + path.read_bytes()[8:]),  # a giant header
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"<!DOCTYPE html><html>not found</html>"),
        lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605\n"),
    ],
)
def test_damaged_safetensors(harm, clip):
    harm(clip / "model.safetensors")
    with pytest.raises(InputError, match="no whole safetensors file"):
        load(str(clip))


def test_weights_that_are_not_finite(clip):
    state = load_file(clip / "model.safetensors")
    state["visual_projection.weight"][0, 0] = np.inf
    save_file(state, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"NaN or infinity: visual_projection\.weight"):
        load(str(clip))


def test_pickled_weights_are_refused_and_never_opened(clip, tmp_path):
    (clip / "model.safetensors").unlink()
    witness = tmp_path / "ran"
    payload = f"cos\nsystem\n(S'touch {witness}'\ntR.".encode()  # a pickle that runs a command
    (clip / "pytorch_model.bin").write_bytes(payload)
    with pytest.raises(InputError, match=r"pytorch_model\.bin, and not as safetensors.*save_pretrained"):
        load(str(clip))
    assert not witness.exists()


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/elsewhere/x.safetensors", "pytorch_model.bin", 3])
def test_shards_outside_the_folder(shard, clip):
    (clip / "model.safetensors").rename(clip.parent / "outside.safetensors")
    (clip / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": shard}}), "utf-8")
    with pytest.raises(InputError, match="no safetensors file of the folder"):
        load(str(clip))


def test_shards_are_read_and_fingerprinted(clip, encoders):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(clip)
    (clip / "model.safetensors").unlink()
    model.save_pretrained(clip, max_shard_size="60KB")
    assert len(list(clip.glob("*.safetensors"))) > 1
    encoder = load(str(clip))
    np.testing.assert_array_equal(encoder.encode_text(TEXTS), encoders["clip"].encode_text(TEXTS))
    assert encoder.fingerprint["weights"] != encoders["clip"].fingerprint["weights"]
    next(clip.glob("*.safetensors")).unlink()
    with pytest.raises(MissingFileError, match="lacks its weights"):
        load(str(clip))


def test_code_of_a_checkpoint_is_not_run(clip, tmp_path):
    witness = tmp_path / "ran"
    (clip / "modeling_x.py").write_text(f"open({str(witness)!r}, 'w')\nclass X: pass\nclass XConfig: pass\n", "utf-8")
    edit(
        clip / "config.json",
        lambda config: config.update(
            model_type="never-heard-of", auto_map={"AutoConfig": "modeling_x.XConfig", "AutoModel": "modeling_x.X"}
        ),
    )
    with pytest.raises(InputError, match="none of that is run"):
        load(str(clip))
    assert not witness.exists()


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["config.json"], "no config.json"),
        (["model.safetensors"], "no model.safetensors"),
        (["preprocessor_config.json"], r"no preprocessor_config.json.*--preprocess clip"),
        (["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"], r"no tokenizer.*save_pretrained"),
    ],
)
def test_a_file_that_is_missing_is_named_with_a_remedy(gone, said, clip):
    for name in gone:
        (clip / name).unlink(missing_ok=True)
    with pytest.raises(MissingFileError, match=said):
        load(str(clip))


def test_a_preprocessing_stands_in_for_the_processor(clip, encoders):
    from equipoise.models.references import load_encoder

    (clip / "preprocessor_config.json").unlink()
    given = encoders["clip"].preprocessing.to_dict()
    for encoder in (load(str(clip), preprocessing=given), load_encoder(f"transformers:{clip}", preprocessing=given)):
        np.testing.assert_array_equal(
            encoder.encode_image(pixels(encoder)), encoders["clip"].encode_image(pixels(encoder))
        )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json"])
def test_json_that_is_none(name, clip):
    (clip / name).write_text('{"model_type": "clip",', "utf-8")
    with pytest.raises(InputError):
        load(str(clip))


def test_paths_that_are_no_model(tmp_path):
    (tmp_path / "models").mkdir()
    for path, said in (
        (tmp_path / "modles", r"no folder.*Did you mean 'models'"),
        (tmp_path / "models", "no config.json"),
        (Path(__file__), "is a file"),
    ):
        with pytest.raises(InputError, match=said):
            load(str(path))
    with pytest.raises(InputError, match="names no model"):
        load("")


def test_adapters_are_refused(clip):
    (clip / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="merge_and_unload"):
        load(str(clip))


# --------------------------------------------------------------------------------------------------------- other models


def test_naflex_is_refused_by_name(clip):
    from transformers import Siglip2Config

    Siglip2Config().save_pretrained(clip)
    with pytest.raises(InputError, match="SigLIP 2 NaFlex"):
        load(str(clip))


def test_a_model_of_one_tower_is_refused(tmp_path):
    folder = tiny.classifier(tmp_path / "vit")
    with pytest.raises(InputError, match=r"\(vit\) has no image tower and text tower"):
        load(str(folder))


def test_towers_of_different_widths_are_refused(clip):
    state = load_file(clip / "model.safetensors")
    wide = np.concatenate([state["visual_projection.weight"]] * 2)

    encoder = load(str(clip))
    encoder._model.visual_projection.weight = torch.nn.Parameter(torch.from_numpy(wide))
    with pytest.raises(EmbeddingError, match="do not share a space"):
        encoder.with_preprocessing(encoder.preprocessing)


def test_upper_case_is_said_for_siglip(encoders):
    assert any("lower case" in note for note in encoders["siglip"].notes)
    assert not any("lower case" in note for note in encoders["siglip2"].notes)  # its tokenizer does it


def test_registered(folders):
    from equipoise.models.references import load_encoder

    encoder = load_encoder(f"transformers:{folders['clip']}")
    assert encoder.name == "clip"
    assert load_encoder(f"transformers:{folders['clip']}", dtype="bfloat16").fingerprint["dtype"] == "bfloat16"


def test_loading_leaves_no_trace_in_transformers(folders):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load(str(folders["clip"]))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_contract(folders, encoders):
    check_encoder(encoders["clip"], ref=f"transformers:{folders['clip']}")
    check_encoder(encoders["siglip"])
