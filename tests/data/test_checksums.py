"""SHA-256 of files and columns."""

import hashlib

import pyarrow as pa
import pytest

from equipoise.data.checksums import sha256_of, sha256_of_columns
from equipoise.errors import MissingFileError


def test_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 100_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(MissingFileError, match="There is no file"):
        sha256_of(tmp_path / "b")
    with pytest.raises(MissingFileError, match="cannot be read"):
        sha256_of(tmp_path)


def test_columns_do_not_depend_on_chunks_or_offsets():
    whole = pa.table({"a": ["x", "yy", None, "", "z"]})
    chunked = pa.concat_tables([whole.slice(0, 2), whole.slice(2)])
    sliced = pa.table({"a": ["pad", "x", "yy", None, "", "z"]}).slice(1)
    assert sha256_of_columns(whole) == sha256_of_columns(chunked) == sha256_of_columns(sliced)


@pytest.mark.parametrize(
    "other",
    [{"b": ["x", "y"]}, {"a": ["xy", ""]}, {"a": ["", "xy"]}, {"a": ["x", None]}, {"a": ["y", "x"]}, {"a": ["x"]}],
)
def test_columns_that_differ(other):
    assert sha256_of_columns(pa.table({"a": ["x", "y"]})) != sha256_of_columns(pa.table(other))


def test_numbers_and_empty_columns():
    assert sha256_of_columns(pa.table({"a": [1, 2]})) == sha256_of_columns(pa.table({"a": ["1", "2"]}))
    assert len(sha256_of_columns(pa.table({"a": pa.array([], pa.string())}))) == 64
