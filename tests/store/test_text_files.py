"""The texts of a store on disk: whole, its own, or refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.errors import ChecksumError, FingerprintError, InputError
from equipoise.store import text_files
from equipoise.store.files import read_arrays, read_metadata, write_arrays, write_table
from equipoise.store.text_files import ARRAYS, TABLE, KeptTexts, check_text, nothing, read_texts, write_texts

PICTURES, MADE_BY = (
    {"weights": "abc", "dtype": "float32"},
    {"weights": "abc", "dtype": "float32", "versions": {"torch": "2"}},
)
STRANGE = [
    "a photo of a nurse",
    "امرأة تعمل طبيبة",  # right to left
    "👩🏽‍⚕️ a doctor",  # joined emoji
    "cafe\u0301",  # combining accent
    "caf\u00e9",  # the same to the eye, another text
    "a {} with {braces} and %s",
    'quo"te, comma\nand line\tbreak \u2028 \x00 nul',
    " a leading space",
]


def kept(texts=STRANGE, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(texts), 5)).astype(np.float32)
    return KeptTexts(list(texts), rows, [len(text) > 30 for text in texts], MADE_BY)


def test_what_is_written_is_read(tmp_path):
    wanted = kept()
    write_texts(tmp_path, wanted, PICTURES)
    found = read_texts(tmp_path, 5, PICTURES)
    assert (found.texts, found.cut, found.made_by) == (wanted.texts, wanted.cut, MADE_BY)
    np.testing.assert_array_equal(found.rows, wanted.rows)
    unit = wanted.rows[4] / np.linalg.norm(wanted.rows[4])
    np.testing.assert_allclose(found(["caf\u00e9"])[0], unit, atol=1e-6)
    assert "cafe\u0301" in found
    assert "cafe" not in found
    assert found.truncated([STRANGE[6], STRANGE[0], STRANGE[6], "x"]) == [STRANGE[6]]
    table = pq.read_table(tmp_path / TABLE)
    assert table.schema == pa.schema([("text", pa.string()), ("truncated", pa.bool_())])


def test_equal_texts_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_texts(tmp_path / name, kept(), PICTURES)
    for file in (TABLE, ARRAYS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert list(json.loads(read_metadata(tmp_path / "a" / ARRAYS))) == sorted(
        json.loads(read_metadata(tmp_path / "a" / ARRAYS))
    )


def test_a_store_without_texts_has_none(tmp_path):
    assert read_texts(tmp_path, 5, PICTURES).texts == []
    write_table(tmp_path / TABLE, pa.table({"text": ["a"], "truncated": [False]}))  # killed before the first vectors
    assert read_texts(tmp_path, 5, PICTURES).texts == []


def test_a_kill_between_table_and_vectors_loses_the_new_texts_alone(tmp_path, monkeypatch):
    before = kept(STRANGE[:3])
    write_texts(tmp_path, before, PICTURES)
    after = before.with_(kept(STRANGE[3:]))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(text_files, "write_arrays", killed)
    with pytest.raises(KeyboardInterrupt):
        write_texts(tmp_path, after, PICTURES)
    monkeypatch.undo()
    assert len(pq.read_table(tmp_path / TABLE)) == len(STRANGE)
    found = read_texts(tmp_path, 5, PICTURES)
    assert found.texts == STRANGE[:3]
    np.testing.assert_array_equal(found.rows, before.rows)
    write_texts(tmp_path, found.with_(kept(STRANGE[3:])), PICTURES)
    assert read_texts(tmp_path, 5, PICTURES).texts == STRANGE


def test_each_text_once_in_order_of_first_appearance():
    both = kept(["b", "a"]).with_(kept(["a", "c", "b"], seed=1))
    assert both.texts == ["b", "a", "c"]
    np.testing.assert_array_equal(both.rows[:2], kept(["b", "a"]).rows)
    np.testing.assert_array_equal(both.rows[2], kept(["a", "c", "b"], seed=1).rows[1])
    assert nothing(5).with_(both).made_by == MADE_BY


@pytest.mark.parametrize("name", [TABLE, ARRAYS])
def test_every_flipped_bit_of_a_value_is_found(tmp_path, name):
    write_texts(tmp_path, kept(), PICTURES)
    whole = (tmp_path / name).read_bytes()
    said = []
    for place in range(8, len(whole), max(1, len(whole) // 60)):
        content = bytearray(whole)
        content[place] ^= 1
        (tmp_path / name).write_bytes(content)
        try:
            read = read_texts(tmp_path, 5, PICTURES)
        except (ChecksumError, FingerprintError) as error:
            said.append(str(error))
        else:  # padding, or a key of the header that decides nothing
            assert (read.texts, read.cut) == (kept().texts, kept().cut)
            np.testing.assert_array_equal(read.rows, kept().rows)
    assert len(said) > 20
    assert all(name in message for message in said)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda store: write_arrays(store / ARRAYS, {"text": kept().rows}),
        lambda store: write_arrays(store / ARRAYS, {"text": kept().rows}, "[]"),
        lambda store: write_arrays(store / ARRAYS, {"other": kept().rows}, read_metadata(store / ARRAYS)),
        lambda store: write_arrays(store / ARRAYS, {"text": kept().rows[:-1]}, read_metadata(store / ARRAYS)),
        lambda store: write_arrays(store / ARRAYS, {"text": kept().rows[::-1]}, read_metadata(store / ARRAYS)),
        lambda store: write_arrays(store / ARRAYS, {"text": kept().rows.astype("f8")}, read_metadata(store / ARRAYS)),
        lambda store: write_table(store / TABLE, pa.table({"text": STRANGE})),
        lambda store: write_table(store / TABLE, pa.table({"text": STRANGE[:2], "truncated": [False] * 2})),
        lambda store: write_table(store / TABLE, pa.table({"text": STRANGE[::-1], "truncated": kept().cut[::-1]})),
        lambda store: write_table(store / TABLE, pa.table({"text": STRANGE, "truncated": [True] * len(STRANGE)})),
        lambda store: (store / TABLE).write_bytes(b""),
        lambda store: (store / ARRAYS).write_bytes(b"\xff" * 64),
    ],
)
def test_files_that_were_edited_are_refused(tmp_path, break_it):
    write_texts(tmp_path, kept(), PICTURES)
    break_it(tmp_path)
    with pytest.raises(ChecksumError, match=r"text\.(parquet|safetensors)"):
        read_texts(tmp_path, 5, PICTURES)


def test_a_table_that_is_gone_is_missed(tmp_path):
    write_texts(tmp_path, kept(), PICTURES)
    (tmp_path / TABLE).unlink()
    with pytest.raises(InputError, match="no file"):
        read_texts(tmp_path, 5, PICTURES)


def test_texts_of_other_pictures_are_refused_with_the_difference(tmp_path):
    write_texts(tmp_path, kept(), PICTURES)
    with pytest.raises(FingerprintError, match="dtype: float32 -> bfloat16"):
        read_texts(tmp_path, 5, {**PICTURES, "dtype": "bfloat16"})
    with pytest.raises(ChecksumError):
        read_texts(tmp_path, 4, PICTURES)


def test_leftovers_of_a_killed_run_go(tmp_path):
    (tmp_path / f".{ARRAYS}.77.partial").write_bytes(b"x")
    (tmp_path / ".rows.parquet.77.partial").write_bytes(b"x")
    write_texts(tmp_path, kept(), PICTURES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".rows.parquet.77.partial", TABLE, ARRAYS]
    assert read_arrays(tmp_path / ARRAYS).keys() == {"text"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), (" \n\u00a0", "is empty"), (3, "is a int"), (None, "NoneType"), ("a\ud800", "Unicode")],
)
def test_what_is_no_text_is_refused_by_name(text, said):
    with pytest.raises(InputError, match=said) as caught:
        check_text(text)
    assert repr(text) in str(caught.value)
