"""embed on pictures: streamed into a store, resumed, grown, and redone where a picture changed."""

import hashlib
import json
import os
import shutil
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from patches import SMALL, Patches, write_images, write_table
from PIL import Image

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.errors import (
    ChecksumError,
    EmbeddingError,
    InputError,
    LockedError,
    MissingFileError,
    OutputExistsError,
    UnknownNameError,
)
from equipoise.pictures import engines, reading
from equipoise.progress import watched
from equipoise.schema import ROWS, Manifest
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import lock

COUNT, SHARD = 50, 16
VOCABULARY = """\
[group]
values = ["A", "B"]
templates = ["a photo of {}"]
[group.prompts]
A = ["an a", "one a"]
B = ["a b"]
"""


@pytest.fixture
def folder(tmp_path):
    """Fifty pictures with a table; three cannot be used."""
    names = write_images(tmp_path / "pictures", COUNT)
    (tmp_path / "pictures" / names[3]).write_bytes(b"junk")
    (tmp_path / "pictures" / names[20]).unlink()
    cut = tmp_path / "pictures" / names[40]
    cut.write_bytes(cut.read_bytes()[:-300])
    write_table(tmp_path / "pictures" / "table.csv", names)
    return tmp_path / "pictures"


def rows(folder, names=None, **options):
    table = folder / "table.csv" if names is None else write_table(folder / "table.csv", names)
    return read_samples(table, **{"image": "image", "attributes": ["group"], **options})


def run(folder, store=None, encoder=None, samples=None, **options):
    samples = rows(folder) if samples is None else samples
    return embed(encoder or Patches(), samples, store=store, **{"shard_rows": SHARD, "batch_size": 4, **options})


def visible(store):
    """What is compared byte for byte: all that is not hidden."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(store).parts)
    }


def change(path, seed=99):
    """Put other pixels into a picture's file."""
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)).save(path)


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that were read."""
    names, real = [], reading.read_image_bytes

    def read(path, policy):
        names.append(os.path.basename(path))
        return real(path, policy)

    monkeypatch.setattr(reading, "read_image_bytes", read)
    return names


# ------------------------------------------------------------------------------------------------------------ results


def test_in_memory_in_a_store_and_opened_are_the_same(folder, tmp_path):
    samples = rows(folder, caption="caption")
    memory = run(folder, samples=samples)
    stored = run(folder, tmp_path / "store", samples=samples)
    opened = EmbeddingSet.load(tmp_path / "store", encoder=Patches())
    usable = [i for i in range(COUNT) if i not in (3, 20, 40)]
    direct = Patches().encode_image(
        np.stack([SMALL.picture(Image.open(folder / f"p{i:04d}.png").convert("RGB")) for i in usable])
    )
    direct /= np.linalg.norm(direct.astype("f8"), axis=1, keepdims=True)
    for found in (memory, stored, opened):
        assert found.samples.ids == [f"p{i:04d}.png" for i in usable]
        np.testing.assert_allclose(found.vectors(), direct, atol=1e-6)
        np.testing.assert_array_equal(found.vectors(), memory.vectors())
        assert (found.rows_in, found.set_aside) == (COUNT, {"missing": 1, "not an image": 1, "truncated": 1})
        assert found.encoder == memory.encoder
        assert (found.preprocessing, found.inputs) == (memory.preprocessing, memory.inputs)
        assert found.samples.table["sha256"].to_pylist() == [
            hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found.samples.ids
        ]
        np.testing.assert_array_equal(found.text(["a picture of 1 things"]), memory.text(["a picture of 1 things"]))
        assert found.samples.image_path(0).resolve() == (folder / "p0000.png").resolve()


def test_the_store_follows_the_contract(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store)
    manifest = Manifest.from_json((store / "manifest.json").read_text())
    assert (manifest.layout, manifest.encoder, manifest.dim) == ("shards", "patches", 32)
    assert manifest.rows == {"in": 50, "used": 47, "set_aside": 3}
    assert [shard.rows for shard in manifest.images] == [15, 15, 15, 2]
    assert manifest.parameters["block_rows"] == [16, 16, 16, 2]
    table = pq.read_table(store / "rows.parquet")
    assert table.column_names == [*ROWS.names, "group"]
    by_id = {row["row_id"]: row for row in table.to_pylist()}
    assert by_id["p0003.png"]["status"] == "quarantined"
    assert by_id["p0003.png"]["sha256"] == hashlib.sha256(b"junk").hexdigest()
    assert (by_id["p0020.png"]["reason"], by_id["p0020.png"]["sha256"]) == ("missing", "")
    assert by_id["p0001.png"]["status"] == "ok"
    assert not [name for name in os.listdir(store) if "plan" in name]


def test_captions_and_prompts_are_embedded_once_each(folder, tmp_path):
    (tmp_path / "groups.toml").write_text(VOCABULARY)
    encoder = Patches()
    samples = rows(folder, caption="caption", vocabulary=tmp_path / "groups.toml")
    found = run(folder, tmp_path / "store", encoder, samples)
    wanted = [*(f"a picture of {i} things" for i in range(3)), "a photo of an a", "a photo of one a", "a photo of a b"]
    assert sorted(encoder.texts) == sorted(wanted)
    assert sorted(found.texts) == sorted(wanted)
    again = Patches()
    run(folder, tmp_path / "store", again, samples)
    assert (again.texts, again.seen) == ([], [])


def test_an_encoder_without_words_is_of_use(folder, tmp_path):
    class Mute(Patches):
        def encode_text(self, texts):
            raise InputError("'patches' has no text tower.")

    (tmp_path / "groups.toml").write_text(VOCABULARY)
    found = run(folder, encoder=Mute(), samples=rows(folder, vocabulary=tmp_path / "groups.toml"))
    assert len(found) == 47
    assert found.notes == ["Captions and prompts were not embedded: 'patches' has no text tower."]


def test_what_is_known_of_the_encoder_is_kept_in_the_store(folder, tmp_path):
    notes = ("the weights look untrained",)
    assert run(folder, tmp_path / "store", Patches(notes=notes)).notes == list(notes)
    assert EmbeddingSet.load(tmp_path / "store").notes == list(notes)


def test_threads_and_engines_decide_no_byte(folder, tmp_path, monkeypatch):
    def backwards(work, pending, tick):
        return reversed(list(engines.local(work, pending, tick)))

    monkeypatch.setattr(engines, "backwards", backwards, raising=False)
    monkeypatch.setitem(engines.ENGINES, "backwards", "equipoise.pictures.engines:backwards")
    run(folder, tmp_path / "a", workers=1)
    run(folder, tmp_path / "b", workers=5)
    run(folder, tmp_path / "c", engine="backwards")
    assert visible(tmp_path / "a") == visible(tmp_path / "b") == visible(tmp_path / "c")
    with pytest.raises(UnknownNameError, match="There is no engine 'locl'. Did you mean 'local'"):
        run(folder, engine="locl")


def test_progress_counts_every_row(folder, tmp_path):
    told = []
    with watched(lambda what, done, total: told.append((what, done, total))):
        run(folder, tmp_path / "store")
    pictures = [(done, total) for what, done, total in told if what == "pictures"]
    assert pictures[0] == (0, 50)
    assert pictures[-1] == (50, 50)
    assert pictures == sorted(pictures)


# ---------------------------------------------------------------------------------------------------- going on


def test_a_second_run_opens_no_picture_and_writes_nothing(folder, tmp_path, opened):
    store = tmp_path / "store"
    run(folder, store)
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.name != ".lock"}
    opened.clear()
    encoder = Patches()
    again = run(folder, store, encoder)
    assert (opened, encoder.seen) == ([], [])
    assert times == {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.name != ".lock"}
    np.testing.assert_array_equal(again.vectors(), EmbeddingSet.load(store).vectors())


class Stops(Patches):
    """Fails at the n-th batch."""

    left: int = 10**9

    def encode_image(self, images):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode_image(images)


@pytest.mark.parametrize("batches", [4, 5, 8, 9, 12, 17])
def test_an_interrupted_run_goes_on_where_it_stopped(folder, tmp_path, batches):
    run(folder, tmp_path / "once")
    stops = Stops()
    stops.left = batches
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "store", stops)
    with pytest.raises(MissingFileError, match="not a finished store.*run that again to finish it"):
        EmbeddingSet.load(tmp_path / "store")
    finished = len(list((tmp_path / "store" / "image").glob("*.safetensors")))
    encoder = Patches()
    run(folder, tmp_path / "store", encoder)
    assert sum(encoder.seen[5:]) == 47 - 15 * finished  # five calls try the model
    assert visible(tmp_path / "store") == visible(tmp_path / "once")


def test_rows_that_are_new_are_added_in_blocks_of_their_own(folder, tmp_path, opened):
    store = tmp_path / "store"
    run(folder, store)
    before = visible(store)
    names = [f"p{i:04d}.png" for i in range(COUNT)]
    more = write_images(folder, 7, first=COUNT)
    os.rename(folder / more[0], folder / "early.png")
    table = folder / "table.csv"
    table.write_text(table.read_text() + "".join(f"{name},A,x\n" for name in ["early.png", *more[1:]]))
    opened.clear()
    encoder = Patches()
    found = run(folder, store, encoder)
    assert set(opened) == {"early.png", *more[1:]}
    assert len(found) == 54
    assert found.samples.ids == sorted(found.samples.ids)
    after = visible(store)
    assert {name: after[name] for name in before if name.startswith("image/")} == {
        name: before[name] for name in before if name.startswith("image/")
    }
    manifest = Manifest.from_json(after["manifest.json"].decode())
    assert manifest.parameters["block_rows"] == [16, 16, 16, 2, 7]
    assert pq.read_table(store / "rows.parquet")["row_id"].to_pylist() == [*names, "early.png", *more[1:]]
    np.testing.assert_array_equal(found.vectors(), run(folder).vectors())
    np.testing.assert_array_equal(found.vectors(), EmbeddingSet.load(store).vectors())


def test_growth_that_was_interrupted_gives_the_bytes_of_growth_that_was_not(folder, tmp_path):
    for name in ("once", "store"):
        write_table(folder / "table.csv", [f"p{i:04d}.png" for i in range(COUNT)])
        run(folder, tmp_path / name)
        names = [*(f"p{i:04d}.png" for i in range(COUNT)), *write_images(folder, 40, first=COUNT)]
        write_table(folder / "table.csv", names)
        if name == "store":
            stops = Stops()
            stops.left = 11
            with pytest.raises(KeyboardInterrupt):
                run(folder, tmp_path / name, stops)
            assert not (tmp_path / name / "manifest.json").exists()
            with pytest.raises(OutputExistsError, match="40 of its rows are gone"):
                run(folder, tmp_path / name, samples=rows(folder, names[:COUNT]))
            write_table(folder / "table.csv", names)
        run(folder, tmp_path / name)
    assert visible(tmp_path / "store") == visible(tmp_path / "once")


def test_rows_that_are_gone_or_differ_are_refused(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store)
    before = visible(store)
    names = [f"p{i:04d}.png" for i in range(COUNT)]
    with pytest.raises(OutputExistsError, match="2 of its rows are gone from the table and 0 differ"):
        run(folder, store, samples=rows(folder, names[2:]))
    text = write_table(folder / "table.csv", names).read_text()
    (folder / "table.csv").write_text(text.replace("p0007.png,B", "p0007.png,A"))
    with pytest.raises(OutputExistsError, match=r"0 of its rows are gone from the table and 1 differ \('p0007.png'\)"):
        run(folder, store)
    assert visible(store) == before


# ------------------------------------------------------------------------------------------------ changed pictures


def test_changed_pictures_are_found_and_their_blocks_made_again(folder, tmp_path, opened):
    store = tmp_path / "store"
    run(folder, store)
    change(folder / "p0017.png")
    change(folder / "p0018.png")
    os.utime(folder / "p0000.png")  # touched, not changed
    before = visible(store)
    opened.clear()
    found = run(folder, store)
    assert "p0001.png" not in opened
    assert {name for name in opened if name < "p0016.png"} == {"p0000.png"}
    changed, twice = found.notes
    assert changed == "2 pictures have changed: 1 block was made again (16 rows)."
    assert twice.startswith("1 picture is listed with more than one 'group' (2 rows)")
    after = visible(store)
    assert [name for name in before if before[name] != after[name]] == [
        "image/00001.safetensors", "manifest.json", "rows.parquet",
    ]  # fmt: skip
    run(folder, tmp_path / "once")
    assert {name: value for name, value in after.items() if name != "manifest.json"} == {
        name: value for name, value in visible(tmp_path / "once").items() if name != "manifest.json"
    }
    opened.clear()
    assert run(folder, store).notes == [twice]
    assert opened == []


def test_a_picture_that_was_mended_is_taken_up(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store)
    for name in ("p0003.png", "p0020.png", "p0040.png"):
        change(folder / name)
    found = run(folder, store)
    assert (len(found), found.set_aside) == (50, {})
    assert found.notes[0] == "3 pictures have changed: 3 blocks were made again (48 rows)."


def test_a_picture_that_vanished_is_set_aside(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store)
    (folder / "p0001.png").unlink()
    found = run(folder, store)
    assert found.set_aside["missing"] == 2
    assert run(folder, store).notes == []


def test_changes_between_a_kill_and_the_resume_are_found(folder, tmp_path):
    stops = Stops()
    stops.left = 12
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "store", stops)
    change(folder / "p0001.png")
    run(folder, tmp_path / "store")
    run(folder, tmp_path / "once")
    assert visible(tmp_path / "store") == visible(tmp_path / "once")


def test_files_that_were_copied_are_compared_and_nothing_is_made_again(folder, tmp_path, opened):
    run(folder, tmp_path / "store")
    for path in folder.glob("*.png"):
        os.utime(path, ns=(1, 1))
    encoder = Patches()
    opened.clear()
    run(folder, tmp_path / "store", encoder)
    assert (len(opened), encoder.seen) == (49, [])
    opened.clear()
    run(folder, tmp_path / "store", encoder)
    assert opened == []


def test_a_store_may_move_with_its_pictures(folder, tmp_path):
    run(folder, tmp_path / "pictures" / "store")
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copy2)
    shutil.rmtree(folder)
    encoder = Patches()
    found = run(tmp_path / "elsewhere", tmp_path / "elsewhere" / "store", encoder)
    assert encoder.seen == []
    assert found.samples.image_path(0).exists()
    assert EmbeddingSet.load(tmp_path / "elsewhere" / "store").samples.image_path(0).exists()


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 8}, "batch_size: 4 -> 8"),
        ({"shard_rows": 32}, "shard_rows: 16 -> 32"),
        ({"policy": ImagePolicy(icc="srgb")}, "images.icc: ignore -> srgb"),
        ({"encoder": Patches(weights="b")}, r"encoder.weights: a{12}\.\.\. -> b{12}\.\.\."),
        ({"preprocess": SMALL.with_(size=(32, 32))}, "encoder.preprocessing.size"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_run_is_refused_with_the_difference(folder, tmp_path, options, said, finished):
    store = tmp_path / "store"
    if finished:
        run(folder, store)
    else:
        stops = Stops()
        stops.left = 12
        with pytest.raises(KeyboardInterrupt):
            run(folder, store, stops)
    before = visible(store)
    with pytest.raises(OutputExistsError, match=f"holds the output of another run: {said}.*--overwrite"):
        run(folder, store, **options)
    assert visible(store) == before
    if finished:
        run(folder, store, overwrite=True, **options)
        run(folder, tmp_path / "once", **options)
        assert visible(store) == visible(tmp_path / "once")


def test_a_corrected_label_or_prompt_embeds_no_picture_again(folder, tmp_path, opened):
    store, names = tmp_path / "store", [f"p{i:04d}.png" for i in range(COUNT)]
    run(folder, store)
    text = (folder / "table.csv").read_text()
    (folder / "table.csv").write_text(text.replace("p0007.png,B", "p0007.png,A"))
    (tmp_path / "groups.toml").write_text(VOCABULARY)
    for options in ({}, {"vocabulary": tmp_path / "groups.toml"}, {"caption": "caption"}):
        samples = rows(folder, **options)
        opened.clear()
        encoder = Patches()
        with pytest.raises(OutputExistsError, match="--overwrite"):
            run(folder, store, samples=samples)
        found = run(folder, store, encoder, samples, overwrite=True)
        assert (encoder.seen, opened) == ([], [])
        assert found.samples.column("group")[7 - 1] == "A"
        shutil.rmtree(tmp_path / "once", ignore_errors=True)
        run(folder, tmp_path / "once", samples=samples)
        assert visible(store) == visible(tmp_path / "once")
    less = rows(folder, names[1:])
    run(folder, store, samples=less, overwrite=True)
    np.testing.assert_array_equal(EmbeddingSet.load(store).vectors(), run(folder, samples=less).vectors())


def test_overwriting_mends_what_was_touched(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store)
    (store / "image" / "00001.safetensors").unlink()
    (store / "image" / ".00002.parquet").write_bytes(b"PAR1")
    encoder = Patches()
    run(folder, store, encoder, overwrite=True)
    assert sum(encoder.seen[5:]) == 30
    run(folder, tmp_path / "once")
    assert visible(store) == visible(tmp_path / "once")


def test_short_differences_come_first(folder, tmp_path):
    run(folder, tmp_path / "store")
    with pytest.raises(
        OutputExistsError, match=r"another run: batch_size: 4 -> 8; encoder.weights: aaaaaaaaaaaa\.\.\."
    ):
        run(folder, tmp_path / "store", Patches(weights="b"), batch_size=8)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("how", ["edit", "delete"])
def test_a_shard_that_was_touched_is_named(folder, tmp_path, how, finished):
    store = tmp_path / "store"
    stops = Stops()
    stops.left = 10**6 if finished else 14
    try:
        run(folder, store, stops)
    except KeyboardInterrupt:
        assert not finished
    path = store / "image" / "00001.safetensors"
    if how == "delete":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    with pytest.raises(MissingFileError if how == "delete" else ChecksumError, match=r"00001\.safetensors"):
        run(folder, store)


def test_an_edited_table_of_rows_is_named(folder, tmp_path):
    run(folder, tmp_path / "store")
    (tmp_path / "store" / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(ChecksumError, match=r"rows\.parquet"):
        run(folder, tmp_path / "store")


def test_two_processes_on_one_store(folder, tmp_path):
    (tmp_path / "store").mkdir()
    began = time.perf_counter()
    with lock(tmp_path / "store"), pytest.raises(LockedError, match="Another process"):
        run(folder, tmp_path / "store")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("after", range(0, 21, 2))
def test_a_full_disk_leaves_a_store_that_goes_on(folder, tmp_path, monkeypatch, after):
    run(folder, tmp_path / "once")
    left, real = [after], os.fsync

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left on device.*has space"):
        run(folder, tmp_path / "store")
    monkeypatch.setattr("os.fsync", real)
    run(folder, tmp_path / "store")
    assert visible(tmp_path / "store") == visible(tmp_path / "once")
    assert not list((tmp_path / "store").rglob("*.partial"))


def test_no_picture_can_be_used(folder, tmp_path):
    for path in folder.glob("*.png"):
        path.write_bytes(b"junk")
    for store in (None, tmp_path / "store"):
        with pytest.raises(
            EmbeddingError,
            match=r"No picture of 50 can be used: 49 not an image, 1 missing\. Relative paths start from",
        ):
            run(folder, store)
    write_images(folder, COUNT)
    assert len(run(folder, tmp_path / "store")) == 50


def test_what_is_asked_for_must_be_possible(folder):
    with pytest.raises(InputError, match="'patches' takes pictures, and no column of image paths was named"):
        run(folder, samples=read_samples({"group": ["A", "B"]}, attributes=["group"]))
    for name, value in (("batch_size", 0), ("shard_rows", -1), ("workers", 0), ("batch_size", 2.5), ("workers", True)):
        with pytest.raises(InputError, match=f"{name} is {value}"):
            run(folder, **{name: value})


# ------------------------------------------------------------------------------------------------------ hostile


def test_rows_without_a_path_and_pipes_are_set_aside(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    table = {"key": ["a", "b", "c", "d"], "path": ["p0000.png", "", None, "pipe.png"], "group": list("ABAB")}
    pq.write_table(pa.table(table), folder / "t.parquet")
    samples = read_samples(folder / "t.parquet", id="key", image="path", attributes=["group"])
    began = time.monotonic()
    for store in (None, tmp_path / "store", tmp_path / "store"):
        found = run(folder, store, samples=samples)
        assert found.set_aside == {"no image path": 2, "not a regular file": 1}
        assert (found.rows_in, len(found)) == (4, 1)
    assert time.monotonic() - began < 10


def test_one_path_in_several_rows(folder):
    samples = read_samples({"path": [str(folder / "p0000.png")] * 3, "id": list("abc"), "group": list("ABA")}, id="id", image="path", attributes=["group"])  # fmt: skip
    found = run(folder, samples=samples)
    assert np.ptp(found.vectors(), axis=0).max() == 0


def test_a_picture_that_hangs_is_set_aside(folder, tmp_path, monkeypatch):
    release, real = threading.Event(), reading.read_image_bytes

    def hang(path, policy):
        if os.path.basename(path) == "p0009.png":
            release.wait(20)
        return real(path, policy)

    monkeypatch.setattr(reading, "read_image_bytes", hang)
    encoder = Patches()
    try:
        found = run(folder, tmp_path / "store", encoder, policy=ImagePolicy(timeout=0.3), workers=1)
    finally:
        release.set()
    assert found.set_aside["timed out"] == 1
    seen = len(encoder.seen)
    assert run(folder, tmp_path / "store", encoder).set_aside["timed out"] == 1  # another time-out is no other run
    assert len(encoder.seen) == seen


def test_a_picture_that_changes_while_it_is_embedded_is_found_by_the_next_run(folder, tmp_path):
    class Writes(Patches):
        def encode_image(self, images):
            if len(self.seen) == 12:
                change(folder / "p0000.png")
            return super().encode_image(images)

    first = run(folder, tmp_path / "store", Writes())
    assert first.samples.table["sha256"][0].as_py() != hashlib.sha256((folder / "p0000.png").read_bytes()).hexdigest()
    again = run(folder, tmp_path / "store")
    assert again.samples.table["sha256"][0].as_py() == hashlib.sha256((folder / "p0000.png").read_bytes()).hexdigest()
    np.testing.assert_array_equal(again.vectors(), run(folder).vectors())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, n: x[::-1], "returns a batch in another order|another order"),
        (lambda x, n: x - x.mean(0), "depends on the pictures beside it"),
        (lambda x, n: x + n, "differently from call to call"),
        (lambda x, n: x * np.nan, "'patches' returned NaN or infinity"),
        (lambda x, n: x[:, :5], "of 32 columns"),
    ],
)
def test_a_model_that_cannot_be_trusted_embeds_nothing(folder, tmp_path, answer, said):
    class Wrong(Patches):
        def encode_image(self, images):
            return answer(super().encode_image(images), len(self.seen))

    with pytest.raises(EmbeddingError, match=said):
        run(folder, tmp_path / "store", Wrong())
    assert not list((tmp_path / "store").rglob("*.safetensors"))


def test_nan_in_the_middle_names_the_row_and_the_store_goes_on(folder, tmp_path):
    class Nan(Patches):
        def encode_image(self, images):
            out = super().encode_image(images)
            if sum(self.seen) > 40:
                out[1, 0] = np.nan
            return out

    with pytest.raises(
        EmbeddingError, match=r"Encoder 'patches' returned NaN or infinity for 1 of 4 pictures: 'p00\d\d.png'"
    ):
        run(folder, tmp_path / "store", Nan())
    run(folder, tmp_path / "store")
    run(folder, tmp_path / "once")
    assert visible(tmp_path / "store") == visible(tmp_path / "once")


def test_memory_that_runs_out_is_recorded(folder, tmp_path):
    class Small(Patches):
        def encode_image(self, images):
            if len(images) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
            return super().encode_image(images)

    found = run(folder, tmp_path / "store", Small())
    assert found.notes == ["Memory did not hold batches of 4: 3 of 4 blocks were made with batches down to 2."]
    document = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert document["parameters"]["smaller_batches"] == {"00000": 2, "00001": 2, "00002": 2}
    np.testing.assert_allclose(found.vectors(), run(folder).vectors(), atol=1e-6)


def test_a_row_without_direction_is_set_aside(folder):
    class Zero(Patches):
        def encode_image(self, images):
            out = super().encode_image(images)
            out[images.mean((1, 2, 3)) > 130] = 0
            return out

    found = run(folder, encoder=Zero())
    assert found.set_aside["embedding: zero length"] > 3
    assert len(found) + sum(found.set_aside.values()) == COUNT


class Leaving(Patches):
    """Ends the program after the trial."""

    def encode_image(self, images):
        if len(self.seen) > 12:
            raise SystemExit(0)
        return super().encode_image(images)


def test_a_model_that_ends_the_program_does_not_decide_the_exit_code(folder):
    with pytest.raises(EmbeddingError, match="SystemExit"):
        embed(Leaving(), rows(folder), batch_size=4, shard_rows=SHARD)


def test_a_model_that_could_not_be_tried_is_said(tmp_path):
    names = write_images(tmp_path / "same", 6)
    for name in names:
        shutil.copy(tmp_path / "same" / names[0], tmp_path / "same" / "x.png")
        shutil.copy(tmp_path / "same" / "x.png", tmp_path / "same" / name) if name != names[0] else None
    write_table(tmp_path / "same" / "table.csv", names)
    found = embed(Patches(), read_samples(tmp_path / "same" / "table.csv", image="image", attributes=["group"]))
    assert any("was not tried before it was used" in note for note in found.notes)


class Small(Patches):
    def encode_image(self, images):
        raise MemoryError


def test_no_memory_for_the_trial_is_said(folder):
    with pytest.raises(EmbeddingError, match="not enough memory"):
        embed(Small(), rows(folder))
