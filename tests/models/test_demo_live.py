"""The demo encoder live: any text, any picture; equal to what is shipped. Skipped without the extra ``demo``."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from shared_data import DATA

import equipoise as eq
from equipoise.checks.encoders import Subject, check_preprocessing
from equipoise.errors import InputError
from equipoise.models import demo
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.references import load_classifier
from equipoise.testing import check_encoder

FACES = DATA / "fairface"
torch_there = pytest.mark.skipif(bool(demo.missing_modules()), reason="the extra demo is not installed")
faces_there = pytest.mark.skipif(not FACES.is_dir(), reason="the FairFace pictures are not here (EQUIPOISE_DATA)")


@pytest.fixture(scope="module")
def encoder():
    return eq.load_encoder("demo")


@pytest.fixture
def no_extra(monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)


@torch_there
def test_every_contract_check_passes(encoder):
    assert {"text_batches", "picture_batches", "odd_texts", "long_text", "fresh"} <= set(
        check_encoder(encoder, ref="demo")
    )
    check_preprocessing(Subject(encoder.live, ("a",), None))
    assert isinstance(encoder.live.preprocessing, Preprocessing)
    assert encoder.live.truncated(["short", "long " * 400]) == [False, True]


@torch_there
def test_texts_are_the_shipped_ones(encoder):
    with open(demo.folder() / "texts.csv", newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][::5]
    shipped = np.load(demo.folder() / "text.npy")[::5].astype(np.float32)
    np.testing.assert_allclose(encoder.live.encode_text(texts), shipped, atol=1e-3)


@torch_there
@faces_there
def test_faces_are_the_shipped_ones(encoder):
    ids = pq.read_table(demo.folder() / "rows.parquet")["id"].to_pylist()[::47]
    shipped = np.load(demo.folder() / "image.npy")[::47].astype(np.float32)
    assert len(ids) == 64
    found = encoder.encode_image([Image.open(FACES / name).convert("RGB") for name in ids])
    np.testing.assert_allclose(found, shipped, atol=1e-3)


@torch_there
def test_new_texts_go_beside_shipped_ones(encoder):
    known = encoder.text_vectors.texts[:2]
    found = encoder.encode_text([known[1], "a photo of an astronaut", known[0], "a photo of an astronaut"])
    np.testing.assert_array_equal(found[[2, 0]], encoder.text_vectors(known))
    np.testing.assert_array_equal(found[1], found[3])
    np.testing.assert_allclose(found[1], encoder.live.encode_text(["a photo of an astronaut"])[0], atol=1e-6)


@torch_there
@faces_there
def test_pictures_of_other_people_are_embedded_live(encoder, tmp_path):
    names = sorted((FACES / "val").glob("*.jpg"))[:6]
    for place, name in enumerate(names):
        with Image.open(name) as image:
            image.resize((300, 260)).save(tmp_path / f"{place}.png")
    table = tmp_path / "t.csv"
    table.write_text("file,gender\n" + "".join(f"{n}.png,{('Female', 'Male')[n % 2]}\n" for n in range(6)))
    samples = eq.read_samples(table, image="file", attributes=["gender"])
    found = eq.embed("demo", samples, store=tmp_path / "store")
    assert found.encoder["fingerprint"]["kind"] == "demo"
    wanted = encoder.encode_image([Image.open(tmp_path / f"{n}.png") for n in range(6)])
    np.testing.assert_allclose(found.vectors(), wanted, atol=1e-5)
    assert found.text(["a photo of an astronaut"]).shape == (1, 256)


@torch_there
def test_a_query_that_is_not_shipped_can_be_audited():
    faces = eq.embed("demo", demo.samples())
    assert faces.encoder["fingerprint"]["kind"] == "precomputed"
    np.testing.assert_allclose(np.linalg.norm(faces.text(["a photo of an astronaut"]), axis=1), 1, atol=1e-6)


def test_the_rows_of_the_demo_need_nothing(no_extra, encoder):
    faces = eq.embed("demo", demo.samples())
    assert len(faces) == 3000
    assert faces.text(encoder.text_vectors.texts[:3]).shape == (3, 256)


def test_without_the_extra_it_is_named(no_extra):
    encoder = demo.load()
    for ask in (lambda: encoder.encode_image([Image.new("RGB", (9, 9))]), lambda: encoder.live):
        with pytest.raises(InputError, match=r"need torch, .*pip install 'equipoise\[demo\]'"):
            ask()
    with pytest.raises(InputError, match=r"'a photo of a norse'.*Did you mean.*pip install 'equipoise\[demo\]'"):
        encoder.encode_text(["a photo of a norse"])


def test_the_preprocessing_is_that_of_the_card():
    import json

    card = json.loads((demo.folder() / "encoder.json").read_text("utf-8"))["preprocessing"]
    said = demo.PREPROCESSING
    assert isinstance(said, Preprocessing)
    assert said.size == (card["size"], card["size"])
    np.testing.assert_allclose(np.array(said.mean) * 255, card["mean"])
    np.testing.assert_allclose(np.array(said.std) * 255, card["scale"])
    assert (said.resize, said.interpolation) == ("shortest", "bicubic")


def test_loading_the_demo_imports_no_torch():
    import subprocess

    code = "import sys; from equipoise.models import demo; demo.load().text_vectors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@torch_there
def test_the_demo_with_words_for_every_class_is_a_classifier():
    words = demo.samples().vocabulary.attributes["gender"]
    classifier = load_classifier("demo", words=words)
    assert classifier.labels == ("Female", "Male")
    pixels = np.random.default_rng(0).random((2, 3, 224, 224), np.float32)
    image = classifier.encoder.encode_image(np.rint(pixels * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    np.testing.assert_allclose(classifier.scores(pixels), 100 * image @ classifier.class_vectors.T, atol=1e-3)
