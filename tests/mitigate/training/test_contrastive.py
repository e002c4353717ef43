"""Fine-tuning of tiny CLIP and SigLIP models: against transformers' own steps, and everything that must be refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package, reason="models of transformers are trained")

import tiny_transformers as tiny  # noqa: E402
import torch  # noqa: E402
from mitigate.training.scene import Scene, write_scene  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from equipoise.errors import ChecksumError, InputError, LeakageError, MethodRefusal, OutputExistsError  # noqa: E402
from equipoise.mitigate.artefact import load_mitigation, read_document  # noqa: E402
from equipoise.mitigate.training.contrastive import ContrastiveFineTune  # noqa: E402
from equipoise.models.references import load_encoder  # noqa: E402

MODELS = ("clip", "siglip")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    found = {name: getattr(tiny, name)(base / name) for name in (*MODELS, "dual")}
    weights = load_file(found["siglip"] / "model.safetensors")
    weights["logit_scale"].fill_(2.3)  # as Zhai et al. (2023) begin: a scale of 10, and few pairs that belong together
    weights["logit_bias"].fill_(-5.0)
    save_file(weights, found["siglip"] / "model.safetensors", metadata={"format": "pt"})
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def own(scene: Scene, tmp_path: Path) -> Scene:
    """A scene of one's own, to be broken."""
    return Scene(Path(shutil.copytree(scene.folder, tmp_path / "scene")))


def method(**options) -> ContrastiveFineTune:
    return ContrastiveFineTune(
        "gender", **{"batch_size": 16, "steps": 3, "device": "cpu", "learning_rate": 1e-3, **options}
    )


# -------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_that_of_transformers_own_loss_and_processor(name, models, scene, tmp_path) -> None:
    """One batch of all 48 pairs: the order of a batch does not matter, so the step must be the same."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = models[name]
    samples = scene.samples(split="train")
    options = {"learning_rate": 1e-3, "weight_decay": 0.3, "clip_norm": 0.7}
    found = method(steps=1, batch_size=48, warmup=0.0, **options).fit(
        f"transformers:{folder}", samples, out=tmp_path / "out"
    )
    model = AutoModel.from_pretrained(folder)
    context = found.model_.max_text_length
    tokens = AutoTokenizer.from_pretrained(folder)(
        samples.column("caption"), padding="max_length", max_length=context, truncation=True, return_tensors="pt"
    )
    from PIL import Image

    pictures = [Image.open(samples.image_path(row)).convert("RGB") for row in range(len(samples))]
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(pictures, return_tensors="pt")["pixel_values"]
    loss = model(**tokens, pixel_values=pixels, return_loss=True).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.7)
    decayed = [one for one in model.parameters() if one.ndim >= 2]
    others = [one for one in model.parameters() if one.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}]
    torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6).step()
    row = found.report_.record.to_pylist()[0]
    assert row["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert row["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert row["twins"] == 0
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")
    for key, wanted in model.state_dict().items():
        # Adam's first step is lr * g / (|g| + eps): where g is as small as eps, rounding shows
        torch.testing.assert_close(after[key], wanted, rtol=1e-4, atol=2e-4, msg=key)
    moved = [
        key for key, value in load_file(folder / "model.safetensors").items() if not torch.equal(value, after[key])
    ]
    assert len(moved) == len(dict(model.named_parameters()))


@pytest.mark.parametrize("name", ["clip", "siglip", "dual"])
def test_pairs_are_learnt(name, models, scene, tmp_path) -> None:
    """After some epochs captions find their own pictures among those that were trained on, as they did not before."""
    samples = scene.samples(split="train")
    tuned = method(steps=90, learning_rate=3e-3, warmup=0.2).fit(
        f"transformers:{models[name]}", samples, out=tmp_path / "out"
    )
    encoders = (load_encoder(f"transformers:{models[name]}", device="cpu"), load_encoder(tuned.reference, device="cpu"))
    from PIL import Image

    ranks = []
    for encoder in encoders:
        pixels = [
            encoder.preprocessing.picture(Image.open(samples.image_path(row)).convert("RGB")) for row in range(48)
        ]
        x, t = encoder.encode_image(np.stack(pixels)), encoder.encode_text(samples.column("caption"))
        x, t = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, t))
        z = t @ x.T
        ranks.append((z > np.diag(z)[:, None]).sum(1).mean())
    assert ranks[1] < 0.7 * ranks[0]
    losses = tuned.report_.record["loss"].to_numpy()
    assert losses[-5:].mean() < 0.9 * losses[:5].mean()
    scales = tuned.report_.record["scale"].to_numpy()
    assert (scales <= 100.0001).all()


@pytest.mark.parametrize(("asked", "inside", "outside"), [
    ("heads", ("visual_projection.weight", "logit_scale", "vision_model.post_layernorm.weight"),
     ("vision_model.encoder.layers.1.mlp.fc1.weight", "text_model.embeddings.token_embedding.weight")),
    ("last:1", ("text_projection.weight", "text_model.encoder.layers.1.mlp.fc1.weight", "vision_model.encoder.layers.1.mlp.fc1.weight"),
     ("text_model.encoder.layers.0.mlp.fc1.weight", "vision_model.embeddings.class_embedding")),
    ("all", ("vision_model.embeddings.class_embedding", "text_model.encoder.layers.0.mlp.fc1.weight"), ()),
])  # fmt: skip
def test_what_is_not_trained_keeps_its_bits(asked, inside, outside, models, scene, tmp_path) -> None:
    found = method(trainable=asked).fit(
        f"transformers:{models['clip']}", scene.samples(split="train"), out=tmp_path / "out"
    )
    before, after = load_file(models["clip"] / "model.safetensors"), load_file(tmp_path / "out/model/model.safetensors")
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert moved >= set(inside)
    assert not moved & set(outside)
    count = sum(before[key].numel() for key in moved)
    total = sum(value.numel() for value in before.values())
    assert f"trainable={asked}: {count:,} of {total:,} parameters" in found.report_.trainable
    assert "vision_model has 2 blocks" in found.report_.trainable


@pytest.mark.parametrize("asked", ["some", "last:0", "last:3", "last:", "heads:1"])
def test_what_cannot_be_trained_is_refused(asked, models, scene, tmp_path) -> None:
    with pytest.raises(InputError, match="trainable"):
        method(trainable=asked).fit(
            f"transformers:{models['clip']}", scene.samples(split="train"), out=tmp_path / "out"
        )


# ------------------------------------------------------------------------------------------------------- the artefact


def test_what_is_written_loads_again(models, scene, tmp_path) -> None:
    out = tmp_path / "out"
    samples = scene.samples(split="train")
    found = method().fit(f"transformers:{models['siglip']}", samples, out=out)
    document = read_document(out)
    assert (document.method, document.kind, document.attributes) == ("contrastive", "training", ["gender"])
    assert document.parameters["loss"] == "siglip"
    assert document.encoder["fingerprint"] == load_encoder(f"transformers:{models['siglip']}", device="cpu").fingerprint
    assert not (out / "training").exists()
    again = load_mitigation(out)
    assert isinstance(again, ContrastiveFineTune)
    assert again.fit_rows == found.fit_rows == tuple(samples.ids)
    assert again.reference == found.reference
    assert again.report_.record.equals(found.report_.record)
    np.testing.assert_array_equal(again.model_.encode_text(["a cat"]), found.model_.encode_text(["a cat"]))
    assert (out / "model/tokenizer.json").read_bytes() == (models["siglip"] / "tokenizer.json").read_bytes()
    path = out / "model/model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ChecksumError, match=r"model\.safetensors"):
        load_mitigation(out)


def test_the_same_run_is_not_made_twice_and_another_is_refused(models, scene, tmp_path, monkeypatch) -> None:
    samples = scene.samples(split="train")
    ref = f"transformers:{models['clip']}"
    first = method().fit(ref, samples, out=tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("equipoise.train.loop.train", lambda *_, **__: pytest.fail("it was trained again"))
        again = method().fit(ref, samples, out=tmp_path / "out")
    assert again.report_.record.equals(first.report_.record)
    with pytest.raises(OutputExistsError, match=r"recipe.seed: 0 -> 1"):
        method(seed=1).fit(ref, samples, out=tmp_path / "out")
    other = method(seed=1).fit(ref, samples, out=tmp_path / "out", overwrite=True)
    assert not other.report_.record.equals(first.report_.record)


def test_without_a_folder_it_lasts_as_long_as_the_object(models, scene) -> None:
    found = method().fit(f"transformers:{models['clip']}", scene.samples(split="train"))
    assert found.model_.dim == 16


# -------------------------------------------------------------------------------------------------------- the weights


def drawn(found: ContrastiveFineTune) -> set[str]:
    return set(found.fit_rows)


def test_rows_without_weight_are_set_aside_and_those_of_weight_zero_never_drawn(models, scene, tmp_path) -> None:
    columns = scene.columns()
    q = [None if i % 5 == 0 else 0.0 if i % 5 == 1 else 1.0 for i in range(len(columns["id"]))]
    weights = tmp_path / "weights.parquet"
    pq.write_table(pa.table({"id": columns["id"][::-1], "m4_weight": pa.array(q[::-1], pa.float64())}), weights)
    found = method().fit(
        f"transformers:{models['clip']}", scene.samples(split="train"), weights=weights, out=tmp_path / "out"
    )
    wanted = {
        name for name, one, split in zip(columns["id"], q, columns["split"], strict=True) if one and split == "train"
    }
    assert drawn(found) == wanted
    assert found.report_.rows == {"in": 48, "used": 38, "set_aside": 10, "weight_zero": 10}
    assert found.report_.reasons == {"no weight": 10}
    assert found.report_.drawn == 28
    assert found.inputs["weights.parquet"]
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert [row["weight"] for row in rows[:3]] == [None, 0.0, 1.0]


def test_a_file_without_ids_is_joined_row_by_row(models, scene, tmp_path) -> None:
    columns = scene.columns()
    q = [float(i % 2) for i in range(len(columns["id"]))]
    weights = tmp_path / "weights.parquet"
    sha256 = scene.samples(split="train").inputs[scene.table.name]

    def write(*inputs):
        table = pa.table({"m4_weight": q})
        record = json.dumps({"inputs": list(inputs)}).encode()
        pq.write_table(table.replace_schema_metadata({b"equipoise.weights": record} if inputs else None), weights)

    for inputs, says in (((), "does not say of which table"), (["0" * 64], "of a table with another SHA-256")):
        write(*inputs)
        with pytest.raises(InputError, match=says):
            method().fit(
                f"transformers:{models['clip']}", scene.samples(split="train"), weights=weights, out=tmp_path / "no"
            )
    write(sha256)
    found = method().fit(
        f"transformers:{models['clip']}", scene.samples(split="train"), weights=weights, out=tmp_path / "out"
    )
    assert drawn(found) == {f"row{i:03d}" for i in range(1, 48, 2)}
    weights = tmp_path / "weights.csv"
    weights.write_text("m4_weight\n1\n1\n")
    with pytest.raises(InputError, match="2 rows, the table 112"):
        method().fit(
            f"transformers:{models['clip']}", scene.samples(split="train"), weights=weights, out=tmp_path / "two"
        )
    weights.write_text("weight\n1\n")
    with pytest.raises(InputError, match=r"no column 'm4_weight'. It has 'weight'"):
        method().fit(
            f"transformers:{models['clip']}", scene.samples(split="train"), weights=weights, out=tmp_path / "two"
        )


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(bad, models, scene, tmp_path) -> None:
    q = np.ones(48)
    q[3] = bad
    with pytest.raises(InputError, match="negative or no number, the first of them in row 4"):
        method().fit(f"transformers:{models['clip']}", scene.samples(split="train"), weights=q, out=tmp_path / "out")


def test_a_fitted_m4_is_taken_as_it_is(models, scene, tmp_path) -> None:
    from equipoise.mitigate.data.m4 import M4

    read = __import__("equipoise").read_samples
    table = pq.read_table(scene.table)
    samples = read(
        table,
        image="image",
        caption="caption",
        id="id",
        split="split",
        label="job",
        attributes=["gender"],
        where={"split": "train"},
    )
    from dataclasses import replace

    samples = replace(samples, root=scene.folder)
    balance = M4("gender", ["job"], tolerance=0.1).fit(samples)
    found = method().fit(f"transformers:{models['clip']}", samples, weights=balance, out=tmp_path / "out")
    q = balance.weights(samples)
    np.testing.assert_allclose(found.report_.weights["mean"], q[q > 0].mean(), rtol=1e-9)
    assert found.report_.weights["source"] == "'m4'"
    assert found.report_.drawn == int(q.sum() / max(1.0, q.max()) + 1e-9)


# -------------------------------------------------------------------------------------------------------- the leakage


def test_held_out_rows_are_refused_by_their_mark(models, scene, tmp_path) -> None:
    with pytest.raises(LeakageError, match=r"64 rows that would be trained on are marked val"):
        method().fit(f"transformers:{models['clip']}", scene.samples(), out=tmp_path / "out")


def test_held_out_rows_are_refused_by_id_path_and_bytes(models, own, tmp_path) -> None:
    ref, samples = f"transformers:{models['clip']}", own.samples(split="train")
    with pytest.raises(LeakageError, match="48 rows would be trained on and audited"):
        method().fit(ref, samples, held_out=samples, out=tmp_path / "out")
    columns = own.columns()
    columns["image"][60] = columns["image"][3]
    own.write(columns)
    samples, held_out = own.samples(split="train"), own.samples(split="val")
    with pytest.raises(LeakageError, match="1 pictures would be trained on and audited, .* 'row003'"):
        method().fit(ref, samples, held_out=held_out, out=tmp_path / "out")
    columns["image"][60] = "copy.png"
    shutil.copyfile(own.folder / columns["image"][3], own.folder / "copy.png")
    own.write(columns)
    samples, held_out = own.samples(split="train"), own.samples(split="val")
    with pytest.raises(LeakageError, match=r"'copy.png' would be audited, and one with the same bytes"):
        method().fit(ref, samples, held_out=held_out, out=tmp_path / "out")


def test_weights_that_were_fitted_on_held_out_rows_are_refused(models, scene, tmp_path) -> None:
    from equipoise.protocols import DataMitigation

    class Ones(DataMitigation):
        name, attributes, fit_rows = "ones", ("gender",), ("row050",)

        def fit(self, samples):
            return self

        def weights(self, samples):
            return np.ones(len(samples))

    with pytest.raises(LeakageError, match="weights were fitted on 1 of the rows"):
        method().fit(
            f"transformers:{models['clip']}", scene.samples(split="train"), weights=Ones(), held_out=scene.samples(split="val"),
            out=tmp_path / "out",
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what is bad


def test_bad_pictures_and_empty_captions_are_set_aside_with_their_reason(models, own, tmp_path) -> None:
    columns = own.columns()
    columns["caption"][0] = "  "
    columns["image"][1] = "gone.png"
    (own.folder / columns["image"][2]).write_bytes(b"<html>")
    own.write(columns)
    found = method().fit(f"transformers:{models['clip']}", own.samples(split="train"), out=tmp_path / "out")
    assert found.report_.rows == {"in": 48, "used": 45, "set_aside": 3, "weight_zero": 0}
    assert found.report_.reasons["no caption"] == 1
    assert sum(found.report_.reasons.values()) == 3
    assert not {"row000", "row001", "row002"} & drawn(found)


def test_captions_of_one_picture_are_kept_apart(models, own, tmp_path) -> None:
    columns = own.columns()
    for i in range(0, 48, 2):
        columns["image"][i + 1] = columns["image"][i]
    own.write(columns)
    found = method(steps=12).fit(f"transformers:{models['clip']}", own.samples(split="train"), out=tmp_path / "out")
    assert found.report_.record["twins"].to_pylist() == [0.0] * 12
    columns["caption"] = ["a photo of a cat"] * len(columns["caption"])
    own.write(columns)
    found = method(steps=6).fit(f"transformers:{models['clip']}", own.samples(split="train"), out=tmp_path / "two")
    assert max(found.report_.record["twins"].to_pylist()) == 16 * 15 / 2


def test_a_picture_that_changes_meanwhile_ends_the_run(models, own, tmp_path, monkeypatch) -> None:
    import equipoise.mitigate.training.contrastive as home

    checked = home.checked_rows

    def change(samples, weights, prepare):
        rows = checked(samples, weights, prepare)
        shutil.copyfile(own.folder / "100.png", own.folder / "003.png")
        return rows

    monkeypatch.setattr(home, "checked_rows", change)
    with pytest.raises(InputError, match=r"row 'row003' \('003.png'\) changed during the training"):
        method(steps=9).fit(f"transformers:{models['clip']}", own.samples(split="train"), out=tmp_path / "out")


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(models, scene, tmp_path) -> None:
    from equipoise.train.checkpoint import FILE

    broken = method(steps=40, learning_rate=1e30, warmup=1.0, clip_norm=None, checkpoint_every=1)
    with pytest.raises(MethodRefusal, match=r"(loss|gradient) is (nan|inf) at step \d+ of 40.*Lower the learning rate"):
        broken.fit(f"transformers:{models['clip']}", scene.samples(split="train"), out=tmp_path / "out")
    assert (tmp_path / "out" / "training" / FILE).is_file()
    assert not (tmp_path / "out" / "mitigation.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 49}, "larger than the 48 rows"), ({"batch_size": 0}, "batch size"), ({"epochs": 0}, "epochs"),
        ({"loss": "triplet"}, "loss is 'triplet'"), ({"loss": "siglip"}, "no logit_bias"), ({"steps": 0}, "steps"),
        ({"device": "nowhere"}, "device"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(change, says, models, scene, tmp_path) -> None:
    with pytest.raises(InputError, match=says):
        method(**change).fit(f"transformers:{models['clip']}", scene.samples(split="train"), out=tmp_path / "out")


def test_models_and_tables_that_cannot_be_are_refused(models, scene, tmp_path) -> None:
    samples = scene.samples(split="train")
    for ref in ("demo", "open_clip:ViT-B-32/openai", 3):
        with pytest.raises(InputError, match="transformers:FOLDER"):
            method().fit(ref, samples, out=tmp_path / "out")
    from equipoise.data.samples import read_samples

    bare = read_samples(scene.table, image="image", id="id", where={"split": "train"})
    with pytest.raises(InputError, match="No column of captions"):
        method().fit(f"transformers:{models['clip']}", bare, out=tmp_path / "out")


def test_half_precision_and_accumulation_run(models, scene, tmp_path) -> None:
    found = method(precision="bfloat16", accumulate=2, epochs=2, steps=None).fit(
        f"transformers:{models['clip']}", scene.samples(split="train"), out=tmp_path / "out"
    )
    assert found.report_.steps == 3
    assert found.report_.epochs == pytest.approx(2.0)
    assert np.isfinite(found.report_.record["loss"].to_numpy()).all()
    assert {value.dtype for value in load_file(tmp_path / "out/model/model.safetensors").values()} <= {
        torch.float32,
        torch.int64,
    }
    assert json.loads((tmp_path / "out/mitigation.json").read_text())["parameters"]["recipe"]["precision"] == "bfloat16"
