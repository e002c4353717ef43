"""Shards: equal rows give equal bytes, whatever the batches and the interruptions."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from equipoise.errors import ChecksumError, EmbeddingError, FingerprintError, InputError, MissingFileError
from equipoise.store.shards import ShardReader, ShardWriter

ROWS = np.random.default_rng(0).standard_normal((1000, 6)).astype(np.float32)


def write(folder, rows=ROWS, batch=64, **options):
    writer = ShardWriter(folder, rows.shape[1], **{"rows_per_shard": 300, **options})
    for start in range(writer.rows, len(rows), batch):
        writer.append(rows[start : start + batch])
    return writer.finish()


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_round_trip(tmp_path):
    shards = write(tmp_path / "image")
    assert [shard.path for shard in shards] == [f"image/{i:05d}.safetensors" for i in range(4)]
    assert [shard.rows for shard in shards] == [300, 300, 300, 100]
    vectors = ShardReader(tmp_path, shards).vectors()
    np.testing.assert_array_equal(vectors.take(np.arange(1000)), ROWS)
    some = np.array([999, 0, 299, 300, 650, 3])
    np.testing.assert_array_equal(vectors.take(some), ROWS[some])
    np.testing.assert_allclose(vectors.lengths(), np.linalg.norm(ROWS.astype("f8"), axis=1))
    assert vectors.take(np.arange(0)).shape == (0, 6)


@pytest.mark.parametrize("batch", [1, 64, 300, 999, 1000])
def test_bytes_do_not_depend_on_batches(tmp_path, batch):
    write(tmp_path / "a", batch=37)
    write(tmp_path / "b", batch=batch)
    assert digests_of_shards(tmp_path / "a") == digests_of_shards(tmp_path / "b")


def digests_of_shards(folder):
    return {name: value for name, value in digests(folder).items() if name.endswith(".safetensors")}


def test_resuming_a_finished_folder_changes_nothing(tmp_path):
    write(tmp_path / "image")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "image").iterdir()}
    shards = write(tmp_path / "image")
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "image").iterdir()}
    assert sum(shard.rows for shard in shards) == 1000


def test_growth_gives_the_bytes_of_one_run(tmp_path):
    write(tmp_path / "once" / "image")
    write(tmp_path / "grown" / "image", ROWS[:450])
    write(tmp_path / "grown" / "image", ROWS[:451])
    write(tmp_path / "grown" / "image")
    assert digests(tmp_path / "once" / "image") == digests(tmp_path / "grown" / "image")


def test_half_precision(tmp_path):
    shards = write(tmp_path / "image", dtype="float16")
    np.testing.assert_array_equal(ShardReader(tmp_path, shards).vectors().take(np.arange(1000)), ROWS.astype("f2"))


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
    error = MissingFileError if change == "delete" else ChecksumError
    with pytest.raises(error, match="00001.safetensors"):
        ShardReader(tmp_path, shards)
    with pytest.raises(error, match="00001.safetensors"):
        ShardWriter(tmp_path / "image", 6, rows_per_shard=300)


def test_a_shard_off_the_record_is_dropped(tmp_path):
    write(tmp_path / "image", ROWS[:600])
    (tmp_path / "image" / "00002.safetensors").write_bytes(b"half")
    (tmp_path / "image" / ".00003.safetensors.1.partial").write_bytes(b"half")
    write(tmp_path / "image")
    write(tmp_path / "again" / "image")
    assert digests(tmp_path / "image") == digests(tmp_path / "again" / "image")


@pytest.mark.parametrize("options", [{"rows_per_shard": 100}, {"dtype": "float16"}])
def test_other_settings_are_refused_with_the_difference(tmp_path, options):
    write(tmp_path / "image", ROWS[:600])
    with pytest.raises(FingerprintError, match=next(iter(options))):
        write(tmp_path / "image", **options)
    with pytest.raises(FingerprintError, match="dim: 6 -> 5"):
        ShardWriter(tmp_path / "image", 5, rows_per_shard=300)


def test_a_broken_record(tmp_path):
    write(tmp_path / "image")
    (tmp_path / "image" / ".shards.json").write_text("{}")
    with pytest.raises(ChecksumError, match="shards.json"):
        write(tmp_path / "image")


def test_batches_that_are_refused(tmp_path):
    writer = ShardWriter(tmp_path / "image", 6)
    writer.append(ROWS[:3])
    bad = ROWS[:5].copy()
    bad[2, 1] = np.inf
    with pytest.raises(EmbeddingError, match="Row 6 is not finite as float32"):
        writer.append(bad)
    with pytest.raises(EmbeddingError, match="The batch has 5 columns, the shards 6"):
        writer.append(ROWS[:, :5])
    with pytest.raises(EmbeddingError, match="holds int64"):
        writer.append(np.ones((1, 6), int))
    half = ShardWriter(tmp_path / "half", 6, "float16")
    with pytest.raises(EmbeddingError, match="not finite as float16"):
        half.append(np.full((1, 6), 1e6))
    with pytest.raises(InputError, match="float32 or float16"):
        ShardWriter(tmp_path / "x", 6, "float64")
    with pytest.raises(InputError, match="holds nothing"):
        ShardWriter(tmp_path / "x", 6, rows_per_shard=0)


def test_no_shards(tmp_path):
    with pytest.raises(MissingFileError, match="has no shards"):
        ShardReader(tmp_path, [])


CHILD = """
import sys
import numpy as np
from equipoise.store.shards import ShardWriter
rows = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
writer = ShardWriter(sys.argv[1], 64, rows_per_shard=100)
print("ready", flush=True)
for start in range(writer.rows, len(rows), 50):
    writer.append(rows[start : start + 50])
writer.finish()
"""


def run(folder, kill_after=None):
    """Run the child to its end, or kill it so many seconds after it is ready; return its exit status."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        return child.wait()


def test_kills_and_resumes_give_the_bytes_of_one_run(tmp_path):
    began = time.perf_counter()
    assert run(tmp_path / "once" / "image") == 0
    took = time.perf_counter() - began
    rng = np.random.default_rng(1)
    ends = [run(tmp_path / "killed" / "image", rng.uniform(0, took / 8)) for _ in range(5)]
    assert -signal.SIGKILL in ends
    assert run(tmp_path / "killed" / "image") == 0
    assert digests(tmp_path / "once" / "image") == digests(tmp_path / "killed" / "image")
    assert not [name for name in os.listdir(tmp_path / "killed" / "image") if name.endswith(".partial")]
