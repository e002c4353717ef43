"""Weights and arrays as an attacker or a broken disk leaves them."""

import json
import pickle
import struct

import numpy as np
import pytest

from equipoise.errors import ChecksumError, EmbeddingError
from equipoise.models.precomputed import load
from equipoise.store.atomic import read_arrays, read_metadata, write_arrays


class Payload:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def safetensors(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


F32 = {"dtype": "F32", "shape": [2]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        safetensors({"a": {**F32, "data_offsets": [0, 8]}}, b"\x00" * 7),
        safetensors({"a": {**F32, "data_offsets": [0, 8]}}, b"\x00" * 16),
        safetensors({"a": {**F32, "data_offsets": [0, 8]}}, b"\x00" * 8, length=2**62),
        safetensors({"a": {**F32, "data_offsets": [0, 8]}}, b"\x00" * 8, length=10**8 + 1),
        safetensors({"a": {**F32, "data_offsets": [0, 8]}, "b": {**F32, "data_offsets": [4, 12]}}, b"\x00" * 12),
        safetensors({"a": {**F32, "shape": [2**40], "data_offsets": [0, 8]}}, b"\x00" * 8),
        safetensors({"a": {**F32, "dtype": "EVIL", "data_offsets": [0, 8]}}, b"\x00" * 8),
        safetensors(b"{not json"),
        pickle.dumps({"a": 1}),
    ],
    ids=[
        "empty", "short", "truncated", "longer", "giant-header", "header-over-limit", "overlap", "giant-shape", "dtype",
        "json", "pickle",
    ],
)  # fmt: skip
def test_safetensors_that_are_none(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (read_arrays, read_metadata):
        with pytest.raises(ChecksumError, match=r"a\.safetensors' cannot be read as safetensors"):
            read(path)


def test_every_single_flipped_bit_is_caught(tmp_path):
    path = tmp_path / "a.safetensors"
    sha256 = write_arrays(path, {"a": np.arange(3, dtype=np.float32)}, "{}")
    content = path.read_bytes()
    for bit in range(0, len(content) * 8, 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        with pytest.raises(ChecksumError):
            read_arrays(path, sha256)


def test_no_pickle_is_ever_read(new_tiny, tmp_path):
    tiny = new_tiny()
    trap = tmp_path / "trap"
    np.save(tiny.folder / "image.npy", np.array([[Payload(trap)]], object), allow_pickle=True)
    with pytest.raises(EmbeddingError, match=r"image\.npy' cannot be read as an array"):
        load(str(tiny.folder))
    (tiny.folder / "image.npy").write_bytes(pickle.dumps(Payload(trap)))
    with pytest.raises(EmbeddingError, match=r"image\.npy' cannot be read as an array"):
        load(str(tiny.folder))
    assert not trap.exists()


@pytest.mark.parametrize("keep", [0, 5, 10, 60, 127, 128, 1000])
def test_npy_cut_anywhere(new_tiny, keep):
    tiny = new_tiny()
    path = tiny.folder / "image.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EmbeddingError, match=r"image\.npy"):
        load(str(tiny.folder))


def test_npy_with_any_byte_of_the_header_changed(new_tiny):
    tiny = new_tiny()
    path = tiny.folder / "image.npy"
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in range(128):
        changed = bytearray(content)
        changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            load(str(tiny.folder))
        except EmbeddingError:
            refused += 1
    assert refused > 60


def test_npy_that_claims_a_giant_shape(new_tiny):
    tiny = new_tiny()
    path = tiny.folder / "image.npy"
    content = path.read_bytes().replace(b"(240, 16)", b"(2**40, 4)"[:9])
    path.write_bytes(content)
    with pytest.raises(EmbeddingError, match=r"image\.npy"):
        load(str(tiny.folder))
    giant = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**20)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, giant)
        file.write(b"\x00" * 64)
    with pytest.raises(EmbeddingError, match=r"image\.npy"):
        load(str(tiny.folder))
