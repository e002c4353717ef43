"""embed: rows joined with embeddings, in memory and in a store."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.errors import InputError, LockedError, OutputExistsError
from equipoise.schema import ROWS, Manifest
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import lock, sha256_of


def rows_of(tiny, table=None, **options):
    named = {"id": "id", "attributes": ["gender", "race"], "split": "split", "vocabulary": tiny.vocabulary}
    return read_samples(tiny.table if table is None else table, **{**named, **options})


def files(store):
    return {path.name: path.read_bytes() for path in sorted(store.iterdir()) if path.name != ".lock"}


def times(store):
    return {path.name: path.stat().st_mtime_ns for path in store.iterdir() if path.name != ".lock"}


def test_in_memory_and_in_a_store_are_the_same(tiny_precomputed, tmp_path):
    samples = rows_of(tiny_precomputed)
    memory = embed(tiny_precomputed.reference, samples)
    stored = embed(tiny_precomputed.reference, samples, store=tmp_path / "store")
    opened = EmbeddingSet.load(tmp_path / "store")
    raw = np.load(tiny_precomputed.folder / "image.npy").astype("f8")
    np.testing.assert_allclose(memory.vectors(), raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-7)
    for found in (stored, opened):
        np.testing.assert_array_equal(found.vectors(), memory.vectors())
        assert found.samples.ids == memory.samples.ids
        assert found.samples.codes("gender:race").tolist() == memory.samples.codes("gender:race").tolist()
        assert found.vocabulary == memory.vocabulary
        assert (found.encoder, found.inputs, found.set_aside) == (memory.encoder, memory.inputs, memory.set_aside)
        np.testing.assert_array_equal(found.group_text_vectors("race"), memory.group_text_vectors("race"))
        assert found.rows(split="val").samples.ids == memory.rows(split="val").samples.ids


def test_the_store_follows_the_contract(tiny_precomputed, tmp_path):
    store = tmp_path / "store"
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    document = json.loads((store / "manifest.json").read_text())
    assert next(iter(document)) == "schema"
    manifest = Manifest.from_json((store / "manifest.json").read_text())
    assert (manifest.schema_, manifest.layout, manifest.encoder) == (
        "equipoise.store/1",
        "precomputed",
        tiny_precomputed.reference,
    )
    assert manifest.rows == {"in": 240, "used": 240, "set_aside": 0}
    for shard, name in ((manifest.images[0], "image.npy"), (manifest.texts[0], "text.npy")):
        assert shard.path == str(tiny_precomputed.folder / name)
        assert shard.sha256 == sha256_of(tiny_precomputed.folder / name)
    table = pq.read_table(store / "rows.parquet")
    assert table.column_names == [*ROWS.names, "gender", "race"]
    assert table["row_id"].to_pylist() == sorted(table["row_id"].to_pylist())
    assert not (store / "image").exists()


def test_paths_inside_the_store_are_relative(new_tiny):
    tiny = new_tiny()
    store = tiny.folder.parent / "store"
    store.mkdir()
    inner = tiny.folder.rename(store / "arrays")
    samples = read_samples(inner / "rows.parquet", id="id", attributes=["gender"])
    embed(f"precomputed:{inner}", samples, store=store, overwrite=True)
    assert Manifest.from_json((store / "manifest.json").read_text()).images[0].path == "arrays/image.npy"
    moved = store.rename(store.parent / "elsewhere")
    assert len(EmbeddingSet.load(moved)) == 240


def test_the_same_run_changes_nothing(tiny_precomputed, tmp_path):
    store = tmp_path / "store"
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    before = times(store)
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    assert times(store) == before


def test_two_stores_of_one_run_are_equal_byte_for_byte(tiny_precomputed, tmp_path):
    for name in ("a", "b"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_table_may_have_grown(tiny_precomputed, tmp_path):
    table = pq.read_table(tiny_precomputed.table)
    store = tmp_path / "grown"
    assert len(embed(tiny_precomputed.reference, rows_of(tiny_precomputed, table.slice(20, 100)), store=store)) == 100
    assert len(embed(tiny_precomputed.reference, rows_of(tiny_precomputed, table), store=store)) == 240
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed, table), store=tmp_path / "once")
    assert files(store) == files(tmp_path / "once")


def test_a_table_that_shrank_or_changed_is_refused(tiny_precomputed, tmp_path):
    table = pq.read_table(tiny_precomputed.table)
    store = tmp_path / "store"
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    before = files(store)
    with pytest.raises(OutputExistsError, match="40 of its rows are gone from the table and 0 differ"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed, table.slice(40)), store=store)
    swapped = table.set_column(1, "gender", pa.array(["unknown", *table["gender"].to_pylist()[1:]]))
    with pytest.raises(OutputExistsError, match=r"0 of its rows are gone from the table and 1 differ \('face0000'\)"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed, swapped), store=store)
    assert files(store) == before
    found = embed(tiny_precomputed.reference, rows_of(tiny_precomputed, swapped), store=store, overwrite=True)
    assert found.samples.unknown()["gender"] == 1


def test_other_parameters_are_refused_with_the_difference(tiny_precomputed, tmp_path):
    store = tmp_path / "store"
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    with pytest.raises(OutputExistsError, match=r"roles.split: split -> none"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed, split=None), store=store)
    with pytest.raises(OutputExistsError, match=r"roles.attributes"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed, attributes=["gender"]), store=store)
    with pytest.raises(OutputExistsError, match=r"vocabulary.race"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed, vocabulary=None), store=store)


def test_other_arrays_are_refused(new_tiny, tmp_path):
    tiny = new_tiny()
    store = tmp_path / "store"
    embed(tiny.reference, rows_of(tiny), store=store)
    np.save(tiny.folder / "image.npy", np.load(tiny.folder / "image.npy") * 2)
    with pytest.raises(OutputExistsError, match="images"):
        embed(tiny.reference, rows_of(tiny), store=store)
    embed(tiny.reference, rows_of(tiny), store=store, overwrite=True)


def test_rows_without_embeddings_are_set_aside(tiny_precomputed, tmp_path):
    table = pa.table({"id": ["face0003", "nobody", "face0001"], "gender": ["Male", "Male", None]})
    samples = read_samples(table, id="id", attributes=["gender"], vocabulary=tiny_precomputed.vocabulary)
    found = embed(tiny_precomputed.reference, samples, store=tmp_path / "store")
    for each in (found, EmbeddingSet.load(tmp_path / "store")):
        assert (each.rows_in, len(each), each.set_aside) == (3, 2, {"no embedding": 1})
        assert each.quarantine()["row_id"].to_pylist() == ["nobody"]
        assert each.samples.unknown() == {"gender": 1}
    rows = pq.read_table(tmp_path / "store" / "rows.parquet").to_pydict()
    assert rows["status"] == ["ok", "ok", "quarantined"]
    assert rows["gender"] == [None, "Male", "Male"]


def test_rows_without_direction_are_set_aside(new_tiny, tmp_path):
    tiny = new_tiny()
    image = np.load(tiny.folder / "image.npy")
    image[2], image[5, 3] = 0, np.nan
    np.save(tiny.folder / "image.npy", image)
    embed(tiny.reference, rows_of(tiny), store=tmp_path / "store")
    found = EmbeddingSet.load(tmp_path / "store")
    assert found.set_aside == {"embedding: not finite": 1, "embedding: zero length": 1}
    assert found.quarantine()["row_id"].to_pylist() == ["face0002", "face0005"]
    assert np.isfinite(found.vectors()).all()


def test_the_column_id_is_the_id_by_definition(tiny_precomputed):
    by_number = read_samples(tiny_precomputed.table, attributes=["gender"])
    assert embed(tiny_precomputed.reference, by_number).samples.ids[0] == "face0000"
    table = pq.read_table(tiny_precomputed.table)
    table = table.append_column("path", pa.array([f"{key}.jpg" for key in table["id"].to_pylist()]))
    by_image = read_samples(table, image="path", attributes=["gender"])
    found = embed(tiny_precomputed.reference, by_image)
    assert found.samples.ids[0] == "face0000"
    assert found.samples.column("image")[0] == "face0000.jpg"


def test_ids_may_be_image_paths(new_tiny):
    tiny = new_tiny()
    table = pq.read_table(tiny.table)
    paths = [f"{key}.jpg" for key in table["id"].to_pylist()]
    pq.write_table(table.set_column(0, "id", pa.array(paths)), tiny.table)
    samples = read_samples({"path": paths[::-1], "gender": ["Male"] * 240}, image="path", attributes=["gender"])
    assert len(embed(tiny.reference, samples)) == 240


def test_no_row_matches(tiny_precomputed):
    samples = read_samples({"k": ["x", "y"], "gender": ["Male", "Female"]}, id="k", attributes=["gender"])
    with pytest.raises(InputError, match="rows are called 'x', 'y', embeddings 'face0000', 'face0001', 'face0002'"):
        embed(tiny_precomputed.reference, samples)
    numbered = read_samples({"gender": ["Male", "Female"]}, attributes=["gender"])
    with pytest.raises(InputError, match="Their id is the row number"):
        embed(tiny_precomputed.reference, numbered)


def test_embeddings_take_no_flags_of_pictures(tiny_precomputed):
    for options in ({"preprocess": "clip"}, {"engine": "ray"}):
        with pytest.raises(InputError, match="holds embeddings; pictures are not read again"):
            embed(tiny_precomputed.reference, rows_of(tiny_precomputed), **options)


def test_two_processes_on_one_store(tiny_precomputed, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    began = time.perf_counter()
    with lock(store), pytest.raises(LockedError, match="Another process"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)
    assert time.perf_counter() - began < 5
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=store)


def test_image_paths_survive_the_store(tiny_precomputed, tmp_path):
    table = pq.read_table(tiny_precomputed.table)
    table = table.append_column("path", pa.array([f"{key}.jpg" for key in table["id"].to_pylist()]))
    pq.write_table(table, tmp_path / "faces.parquet")
    samples = rows_of(tiny_precomputed, tmp_path / "faces.parquet", image="path")
    embed(tiny_precomputed.reference, samples, store=tmp_path / "store")
    opened = EmbeddingSet.load(tmp_path / "store")
    assert opened.samples.image_path(0).resolve() == tmp_path.resolve() / "face0000.jpg"


CHILD = """
import sys
from equipoise.data.samples import read_samples
from equipoise.embed import embed
folder, store = sys.argv[1:]
samples = read_samples(
    f"{folder}/rows.parquet", id="id", attributes=["gender", "race"], split="split", vocabulary=f"{folder}/groups.toml"
)
print("ready", flush=True)
embed(f"precomputed:{folder}", samples, store=store)
"""


def run(tiny, store, kill_after=None):
    """Run the child to its end, or kill it so many seconds after it is ready; return its exit status."""
    command = [sys.executable, "-c", CHILD, str(tiny.folder), str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        return child.wait()


def test_kills_and_resumes_give_the_bytes_of_one_run(tiny_precomputed, tmp_path):
    embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=tmp_path / "once")
    rng = np.random.default_rng(0)
    ends = [run(tiny_precomputed, tmp_path / "killed", rng.uniform(0, 0.06)) for _ in range(6)]
    assert -signal.SIGKILL in ends
    assert run(tiny_precomputed, tmp_path / "killed") == 0
    assert files(tmp_path / "killed") == files(tmp_path / "once")
    assert not [name for name in os.listdir(tmp_path / "killed") if name.endswith(".partial")]


def test_a_store_in_the_folder_of_the_embeddings_is_refused(tiny_precomputed):
    before = files(tiny_precomputed.folder)
    with pytest.raises(InputError, match="would overwrite them"):
        embed(tiny_precomputed.reference, rows_of(tiny_precomputed), store=tiny_precomputed.folder, overwrite=True)
    assert files(tiny_precomputed.folder) == before
