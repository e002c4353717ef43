"""Files are whole or absent, and equal content gives equal bytes."""

import os
import stat

import numpy as np
import pyarrow as pa
import pytest

from equipoise.errors import ChecksumError, InputError, MissingFileError
from equipoise.store.atomic import (
    atomic_write,
    check_sha256,
    make_folder,
    read_arrays,
    read_metadata,
    read_table,
    remove_leftovers,
    sha256_of,
    write_arrays,
    write_table,
)

ARRAYS = {"b": np.arange(6, dtype="f4").reshape(2, 3), "a": np.ones((2, 2), "f2"), "c": np.array([1, 2])}


@pytest.mark.parametrize("content", [b"abc", "abc", lambda path: path.write_text("abc")], ids=["bytes", "text", "call"])
def test_atomic_write(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text("old and longer")
    assert atomic_write(path, content) == sha256_of(path)
    assert path.read_text() == "abc"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails(partial):
        assert not partial.name.endswith(".txt")
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"a\.txt' cannot be written: No space left on device"):
        atomic_write(path, fails)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_interrupts_leave_nothing_half_written(tmp_path):
    def interrupted(partial):
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a.txt", interrupted)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_absent_or_a_file(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        atomic_write(tmp_path / "absent" / "a.txt", b"x")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        make_folder(tmp_path / "file" / "folder")
    assert make_folder(tmp_path / "x" / "y").is_dir()


def test_leftovers_are_removed_everywhere_and_nothing_else(tmp_path):
    (tmp_path / "image").mkdir()
    for name in (".a.txt.123.partial", "image/.0.safetensors.9.partial", "image/0.safetensors", "x.partial"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["image", "x.partial"]
    assert os.listdir(tmp_path / "image") == ["0.safetensors"]


def test_arrays_round_trip_in_any_order_of_memory(tmp_path):
    path = tmp_path / "a.safetensors"
    sha256 = write_arrays(path, {**ARRAYS, "b": np.asfortranarray(ARRAYS["b"])}, '{"k": 1}')
    assert sha256 == sha256_of(path)
    found = read_arrays(path, sha256)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert read_metadata(path) == '{"k": 1}'


def test_equal_content_gives_equal_bytes(tmp_path):
    table = pa.table({"a": ["x", "y", None], "n": [1.0, 2.0, None]})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    one = (write_arrays(tmp_path / "1.safetensors", ARRAYS), write_table(tmp_path / "1.parquet", table))
    two = (
        write_arrays(tmp_path / "2.safetensors", dict(reversed(ARRAYS.items()))),
        write_table(tmp_path / "2.parquet", chunked),
    )
    assert one == two


def test_table_round_trip(tmp_path):
    table = pa.table({"a": ["x", None]})
    sha256 = write_table(tmp_path / "t.parquet", table)
    assert read_table(tmp_path / "t.parquet", sha256).equals(table)


def test_files_are_readable_by_others(tmp_path):
    old = os.umask(0o022)
    try:
        write_arrays(tmp_path / "a.safetensors", ARRAYS)
        write_table(tmp_path / "t.parquet", pa.table({"a": [1]}))
        atomic_write(tmp_path / "a.json", "{}")
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}


def test_one_flipped_bit_is_caught(tmp_path):
    path = tmp_path / "a.safetensors"
    sha256 = write_arrays(path, ARRAYS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    read_arrays(path)
    with pytest.raises(ChecksumError, match=r"a\.safetensors' has changed"):
        read_arrays(path, sha256)
    with pytest.raises(ChecksumError, match="has changed"):
        check_sha256(path, sha256)


def test_absent_files(tmp_path):
    for read in (read_arrays, read_table, read_metadata):
        with pytest.raises(MissingFileError):
            read(tmp_path / "absent")
    with pytest.raises(MissingFileError):
        check_sha256(tmp_path / "absent", "0" * 64)


def test_metadata_is_empty_when_there_is_none(tmp_path):
    write_arrays(tmp_path / "a.safetensors", ARRAYS)
    assert read_metadata(tmp_path / "a.safetensors") == ""
