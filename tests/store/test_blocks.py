"""Blocks: a file of vectors and a record each; finished ones stay, all else is dropped, what was touched is named."""

import json

import numpy as np
import pyarrow as pa
import pytest

from equipoise.errors import ChecksumError, InputError, MissingFileError, OutputExistsError
from equipoise.schema import ROWS
from equipoise.store.blocks import RECORD, Block, BlockStore, MemoryBlocks, joined
from equipoise.store.files import write_table
from equipoise.store.growth import Plan, planned

RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((10, 4)).astype(np.float32)


def rows(ids, **columns):
    given = {"row_id": ids, "image": [f"{key}.png" for key in ids], **columns}
    return pa.table({name: pa.array(given.get(name, [""] * len(ids)), pa.string()) for name in ROWS.names})


def ids(count, first=0):
    return [f"r{i:02d}" for i in range(first, first + count)]


PLAN = planned(rows(ids(10)), 4, None, "store")


def block(number, bad=()):
    start = 4 * number
    named = PLAN.rows.slice(start, PLAN.block_rows[number]).select(["row_id", "image"])
    reasons = ["truncated" if start + i in bad else "" for i in range(len(named))]
    record = pa.table(
        {
            **{name: named[name] for name in named.column_names},
            "sha256": [f"{start + i:064x}" for i in range(len(named))],
            "reason": reasons,
            "size": [7] * len(named),
            "mtime_ns": [start + i for i in range(len(named))],
        }
    ).cast(RECORD)
    kept = [start + i for i, reason in enumerate(reasons) if not reason]
    return Block(record, VECTORS[kept], 64)


def filled(store, *, bad=(), numbers=(0, 1, 2)):
    store.mkdir(exist_ok=True)
    blocks = BlockStore(store, PLAN, 4)
    for number in numbers:
        blocks.write(number, block(number, bad))
    return blocks


def contents(store):
    return {path.name: path.read_bytes() for path in sorted((store / "image").iterdir())}


def test_a_plan_is_cut_into_blocks_and_only_grows_at_its_end():
    assert PLAN.block_rows == (4, 4, 2)
    assert [(number, table["row_id"].to_pylist()) for number, table in PLAN][2] == (2, ["r08", "r09"])
    older = planned(rows(["b", "d", "e"]), 2, None, "store")
    grown = planned(rows(["a", "b", "c", "d", "e", "f"]), 2, older, "store")
    assert grown.rows["row_id"].to_pylist() == ["b", "d", "e", "a", "c", "f"]
    assert grown.block_rows == (2, 1, 2, 1)
    assert planned(grown.rows.take([3, 0, 4, 1, 2, 5]), 2, grown, "store") == grown


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (rows(["b", "d"]), "1 of its rows are gone from the table and 0 differ"),
        (rows(["b", "d", "e"], split=["", "", "val"]), r"0 of its rows are gone from the table and 1 differ \('e'\)"),
        (rows(["b", "d", "e"], image=["b.png", "other.png", "e.png"]), r"1 differ \('d'\)"),
    ],
)
def test_rows_that_are_gone_or_differ_are_refused(table, said):
    with pytest.raises(OutputExistsError, match=said):
        planned(table, 2, planned(rows(["b", "d", "e"]), 2, None, "store"), "store")


def test_what_a_run_found_out_is_no_change_of_a_row():
    before = Plan(rows(["b"], sha256=["ab"], status=["ok"], reason=["x"]), (1,))
    assert len(planned(rows(["b"]), 2, before, "store")) == 1


def test_round_trip_with_rows_set_aside_and_a_block_without_any(tmp_path):
    bad = {1, 4, 5, 6, 7}
    filled(tmp_path, bad=bad)
    found = BlockStore(tmp_path, PLAN, 4)
    assert [shard.rows for shard in found.shards()] == [3, 0, 2]
    assert [shard.path for shard in found.shards()] == [f"image/{i:05d}.safetensors" for i in range(3)]
    np.testing.assert_array_equal(found.vectors().take(np.arange(5)), VECTORS[[0, 2, 3, 8, 9]])
    record = joined([found.record(number) for number in PLAN.blocks])
    assert record["row_id"].to_pylist() == ids(10)
    assert {i for i, reason in enumerate(record["reason"].to_pylist()) if reason} == bad
    assert found.batch_size(1) == 64
    memory = MemoryBlocks()
    for number in PLAN.blocks:
        memory.write(number, block(number, bad))
    np.testing.assert_array_equal(memory.vectors().take(np.arange(5)), found.vectors().take(np.arange(5)))
    assert joined([memory.record(number) for number in PLAN.blocks]) == record


def test_files_depend_on_the_rows_alone(tmp_path):
    filled(tmp_path / "a")
    filled(tmp_path / "b", numbers=(2, 0))
    filled(tmp_path / "b", numbers=(1,))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_opening_changes_nothing_that_is_finished(tmp_path):
    filled(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "image").iterdir()}
    BlockStore(tmp_path, PLAN, 4)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "image").iterdir()}


def test_a_block_without_its_record_is_dropped(tmp_path):
    filled(tmp_path)
    image = tmp_path / "image"
    (image / ".00001.parquet").unlink()
    (image / "00007.safetensors").write_bytes(b"half")
    (image / ".00003.safetensors.1.partial").write_bytes(b"half")
    found = BlockStore(tmp_path, PLAN, 4)
    assert [found.record(number) is None for number in PLAN.blocks] == [False, True, False]
    assert sorted(path.name for path in image.iterdir()) == [
        ".00000.parquet",
        ".00002.parquet",
        "00000.safetensors",
        "00002.safetensors",
    ]


def test_a_block_of_other_rows_is_made_again(tmp_path):
    filled(tmp_path)
    other = planned(rows([*ids(4), "x4", *ids(5, 5)]), 4, None, "store")
    found = BlockStore(tmp_path, other, 4)
    assert [found.record(number) is None for number in other.blocks] == [False, True, False]


@pytest.mark.parametrize("change", ["flip", "truncate", "delete"])
def test_a_finished_block_that_was_touched_is_named(tmp_path, change):
    filled(tmp_path)
    path = tmp_path / "image" / "00001.safetensors"
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    elif change == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(MissingFileError if change == "delete" else ChecksumError, match="00001.safetensors.*overwrite"):
        BlockStore(tmp_path, PLAN, 4)


@pytest.mark.parametrize("kind", ["not parquet", "no metadata", "other columns", "no shard"])
def test_a_broken_record_is_named(tmp_path, kind):
    filled(tmp_path)
    path = tmp_path / "image" / ".00001.parquet"
    if kind == "not parquet":
        path.write_bytes(b"PAR1")
    else:
        metadata = {b"equipoise": json.dumps({"batch_size": 64, "shard": {}} if kind == "no shard" else {}).encode()}
        table = pa.table({"row_id": ["a"]}) if kind == "other columns" else block(1).record
        write_table(path, table.replace_schema_metadata(None if kind == "no metadata" else metadata))
    with pytest.raises(ChecksumError, match=r"\.00001\.parquet"):
        BlockStore(tmp_path, PLAN, 4)


def test_blocks_that_were_made_otherwise_are_dropped(tmp_path):
    tmp_path.mkdir(exist_ok=True)
    blocks = BlockStore(tmp_path, PLAN, 4, "model a")
    for number in PLAN.blocks:
        blocks.write(number, block(number))
    (tmp_path / "image" / "mine.safetensors").write_bytes(b"not ours")
    assert BlockStore(tmp_path, PLAN, 4, "model a").record(0) is not None
    found = BlockStore(tmp_path, PLAN, 4, "model b")
    assert [found.record(number) for number in PLAN.blocks] == [None] * 3
    assert [path.name for path in (tmp_path / "image").iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize("name", ["00001.safetensors", ".00001.parquet"])
def test_mending_drops_a_block_that_was_touched(tmp_path, name):
    filled(tmp_path)
    (tmp_path / "image" / name).write_bytes(b"else")
    found = BlockStore(tmp_path, PLAN, 4, mend=True)
    assert [found.record(number) is None for number in PLAN.blocks] == [False, True, False]


def test_discarding_and_noting(tmp_path):
    blocks = filled(tmp_path)
    blocks.discard(1)
    blocks.discard(1)
    later = block(0).record.set_column(5, "mtime_ns", pa.array([9] * 4, pa.int64()))
    blocks.note(0, later)
    found = BlockStore(tmp_path, PLAN, 4)
    assert found.record(1) is None
    assert found.record(0)["mtime_ns"].to_pylist() == [9] * 4
    np.testing.assert_array_equal(found.vectors().take(np.arange(4)), VECTORS[:4])


def test_a_full_disk_leaves_what_is_finished(tmp_path, monkeypatch):
    blocks = filled(tmp_path, numbers=(0,))
    real = __import__("os").fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device.*has space"):
        blocks.write(1, block(1))
    monkeypatch.setattr("os.fsync", real)
    found = BlockStore(tmp_path, PLAN, 4)
    assert [found.record(number) is None for number in PLAN.blocks] == [False, True, True]
    filled(tmp_path, numbers=(1, 2))
    filled(tmp_path / "once")
    assert contents(tmp_path) == contents(tmp_path / "once")
