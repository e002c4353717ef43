"""Opening a store: both layouts, and every way in which it is not the one that was written."""

import json

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.errors import ChecksumError, MissingFileError, SchemaError
from equipoise.schema import ROWS, Manifest, Shard
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import atomic_write, sha256_of, write_arrays, write_table
from equipoise.store.text_files import KeptTexts, write_texts

RNG = np.random.default_rng(0)


@pytest.fixture
def registered(new_tiny, tmp_path):
    tiny = new_tiny()
    samples = read_samples(tiny.table, id="id", attributes=["gender"], vocabulary=tiny.vocabulary)
    embed(tiny.reference, samples, store=tmp_path / "store")
    return tiny, tmp_path / "store"


def edit(store, **changes):
    document = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(document | changes))


@pytest.mark.parametrize("name", ["image.npy", "text.npy", "rows.parquet", "texts.csv"])
def test_one_flipped_bit_in_any_file_is_caught(registered, name):
    tiny, store = registered
    path = tiny.folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match=rf"{name}' has changed"):
        EmbeddingSet.load(store)


@pytest.mark.parametrize("name", ["image.npy", "text.npy", "rows.parquet", "texts.csv"])
def test_any_file_that_is_gone_is_named(registered, name):
    tiny, store = registered
    (tiny.folder / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        EmbeddingSet.load(store)


def test_rows_that_were_edited(registered):
    _, store = registered
    path = store / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(ChecksumError, match=r"rows\.parquet' has changed"):
        EmbeddingSet.load(store)


def test_no_store_and_an_unfinished_one(registered, tmp_path):
    _, store = registered
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(MissingFileError, match="is not a finished store"):
            EmbeddingSet.load(folder)
    (store / "manifest.json").unlink()
    with pytest.raises(MissingFileError, match="run that again to finish it"):
        EmbeddingSet.load(store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "equipoise.store/2"}, "says schema 'equipoise.store/2', this version reads 'equipoise.store/1'"),
        ({"schema": "equipoise.audit/1"}, "says schema 'equipoise.audit/1'"),
        ({"surprise": 1}, "'surprise'"),
        ({"dim": "many"}, "'dim'"),
        ({"layout": "zip"}, "'layout'"),
    ],
)
def test_unknown_schemas_and_keys(registered, change, said):
    _, store = registered
    edit(store, **change)
    with pytest.raises(SchemaError) as caught:
        EmbeddingSet.load(store)
    assert said in str(caught.value)


def test_a_manifest_that_is_no_json(registered):
    _, store = registered
    (store / "manifest.json").write_text("{")
    with pytest.raises(SchemaError, match="is not JSON"):
        EmbeddingSet.load(store)
    (store / "manifest.json").write_bytes(b"\xff")
    with pytest.raises(MissingFileError, match="cannot be read"):
        EmbeddingSet.load(store)


def test_rows_of_other_columns(registered):
    _, store = registered
    sha256 = write_table(store / "rows.parquet", pa.table({"row_id": ["a"]}))
    edit(store, rows_sha256=sha256)
    with pytest.raises(SchemaError, match="has the columns row_id, not row_id, image"):
        EmbeddingSet.load(store)


def shard_store(folder, statuses):
    """Write a store of our own shards, its rows out of order, as a live encoder would."""
    ids = [f"r{i}" for i in RNG.permutation(len(statuses))]
    usable = [status == "ok" for status in statuses]
    vectors = RNG.standard_normal((sum(usable), 4)).astype(np.float32)
    (folder / "image").mkdir(parents=True)
    shards = []
    for start in range(0, len(vectors), 3):
        part = vectors[start : start + 3]
        path = f"image/{len(shards):05d}.safetensors"
        sha256 = write_arrays(folder / path, {"vectors": part})
        shards.append(Shard(path=path, sha256=sha256, rows=len(part), dim=4, dtype="float32"))
    columns = {name: [""] * len(ids) for name in ROWS.names}
    columns |= {
        "row_id": ids,
        "status": statuses,
        "reason": ["" if good else "truncated" for good in usable],
        "gender": ["Female", "Male"] * (len(ids) // 2),
    }
    words = RNG.standard_normal((2, 4)).astype(np.float32)
    fingerprint = {"weights": "abc"}
    write_texts(folder, KeptTexts(["a nurse", "a doctor"], words, [False, True], fingerprint), fingerprint)
    manifest = Manifest(
        encoder="transformers:x",
        fingerprint=fingerprint,
        layout="shards",
        dim=4,
        images=shards,
        rows_sha256=write_table(folder / "rows.parquet", pa.table(columns)),
        vocabulary={
            "gender": {
                "values": ["Female", "Male"], "unknown": [""], "templates": ["{}"], "prompts": {}, "declared": True,
            }
        },
        roles={"attributes": ["gender"], "id_from": "image"},
        rows={"in": len(ids), "used": sum(usable), "set_aside": len(ids) - sum(usable)},
    )  # fmt: skip
    atomic_write(folder / "manifest.json", manifest.to_json())
    mine = dict(zip([key for key, good in zip(ids, usable, strict=True) if good], vectors, strict=True))
    return mine, words


def test_our_own_shards(tmp_path):
    mine, words = shard_store(tmp_path, ["ok", "quarantined", "ok", "ok", "ok", "ok", "ok", "quarantined"])
    found = EmbeddingSet.load(tmp_path)
    assert found.samples.ids == sorted(mine)
    expected = np.stack([mine[key] / np.linalg.norm(mine[key]) for key in sorted(mine)])
    np.testing.assert_allclose(found.vectors(), expected, atol=1e-6)
    assert (found.rows_in, found.set_aside) == (8, {"truncated": 2})
    np.testing.assert_allclose(found.text(["a doctor"])[0], words[1] / np.linalg.norm(words[1]), atol=1e-6)
    assert found.encoder["ref"] == "transformers:x"
    assert found.truncated(["a nurse", "a doctor", "a cook"]) == ["a doctor"]


@pytest.mark.parametrize("name", ["image/00001.safetensors", "text.parquet", "text.safetensors"])
def test_our_own_files_are_checked(tmp_path, name):
    shard_store(tmp_path, ["ok"] * 8)
    before = sha256_of(tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    assert sha256_of(tmp_path / name) != before
    with pytest.raises(ChecksumError, match=name):
        EmbeddingSet.load(tmp_path)


def test_vectors_and_rows_that_do_not_fit(tmp_path):
    shard_store(tmp_path, ["ok"] * 8)
    columns = {name: ["x" if name == "row_id" else ""] for name in ROWS.names} | {"gender": ["Male"]}
    edit(tmp_path, rows_sha256=write_table(tmp_path / "rows.parquet", pa.table(columns)))
    with pytest.raises(SchemaError, match="8 vectors and 0 usable rows"):
        EmbeddingSet.load(tmp_path)
