"""Shards: rows of many files as one array, each file held against its checksum and its shape."""

import numpy as np
import pytest

from equipoise.errors import ChecksumError, MissingFileError
from equipoise.schema import Shard
from equipoise.store.files import write_arrays
from equipoise.store.shards import ShardReader

ROWS = np.random.default_rng(0).standard_normal((1000, 6)).astype(np.float32)


def write(folder, rows=ROWS, sizes=(300, 300, 0, 300, 100)):
    folder.mkdir(exist_ok=True)
    shards, start = [], 0
    for number, size in enumerate(sizes):
        path = f"{folder.name}/{number:05d}.safetensors"
        sha256 = write_arrays(folder.parent / path, {"vectors": rows[start : start + size]})
        shards.append(Shard(path=path, sha256=sha256, rows=size, dim=rows.shape[1], dtype=str(rows.dtype)))
        start += size
    return shards


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip_and_a_file_without_rows(tmp_path, dtype):
    rows = ROWS.astype(dtype)
    vectors = ShardReader(tmp_path, write(tmp_path / "image", rows)).vectors()
    np.testing.assert_array_equal(vectors.take(np.arange(1000)), rows)
    some = np.array([999, 0, 299, 300, 650, 3])
    np.testing.assert_array_equal(vectors.take(some), rows[some])
    np.testing.assert_allclose(vectors.lengths(), np.linalg.norm(rows.astype("f8"), axis=1))
    assert vectors.take(np.arange(0)).shape == (0, 6)


@pytest.mark.parametrize("change", ["flip", "truncate", "delete"])
def test_a_shard_that_was_touched_is_named(tmp_path, change):
    shards = write(tmp_path / "image")
    path = tmp_path / "image" / "00001.safetensors"
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif change == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(MissingFileError if change == "delete" else ChecksumError, match="00001.safetensors"):
        ShardReader(tmp_path, shards)


def test_another_shape_than_recorded(tmp_path):
    shards = write(tmp_path / "image")
    shards[1] = shards[1].model_copy(update={"rows": 299})
    with pytest.raises(ChecksumError, match=r"has the shape \(300, 6\), recorded was \(299, 6\)"):
        ShardReader(tmp_path, shards)


def test_no_shards(tmp_path):
    with pytest.raises(MissingFileError, match="has no shards"):
        ShardReader(tmp_path, [])
